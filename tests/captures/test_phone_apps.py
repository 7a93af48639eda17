"""Recordings of the apps Record3D and Polycam: poses, lenses, and what is told of their faults."""

import json

import numpy as np
import pytest

from nerf.captures.capture import InvalidCapture
from nerf.captures.reading import read_capture
from tests.captures.test_other_formats import assert_same_rays, load
from tests.support.captures import orbit_poses, refusal
from tools.other_formats import write_polycam, write_record3d


def test_record3d_with_intrinsics_for_each_frame(tmp_path, bundled):
    folder = write_record3d(read_capture(bundled), tmp_path / "out", per_frame=True)
    assert_same_rays(load(folder), load(bundled))


def test_polycam_without_corrected_poses_is_read_with_a_note(tmp_path, bundled):
    folder = write_polycam(read_capture(bundled), tmp_path / "out", corrected=False)
    assert any("the phone's own tracking" in note for note in read_capture(folder).notes)
    assert_same_rays(load(folder), load(bundled))


@pytest.mark.parametrize("corrected", [True, False])
def test_polycams_folders_may_lie_at_the_top(tmp_path, bundled, corrected):
    folder = write_polycam(read_capture(bundled), tmp_path / "out", corrected=corrected)
    expected = read_capture(folder)
    for inner in sorted((folder / "keyframes").iterdir()):
        inner.rename(folder / inner.name)
    (folder / "keyframes").rmdir()
    found = read_capture(folder)
    assert (found.format, found.names) == ("polycam", expected.names)
    np.testing.assert_array_equal(found.camtoworlds, expected.camtoworlds)


def test_corrected_poses_of_polycam_are_preferred(tmp_path, bundled):
    capture = read_capture(bundled)
    folder = write_polycam(capture, tmp_path / "out")
    other = orbit_poses(capture.num_views)
    write_polycam(type(capture)(**{**vars(capture), "camtoworlds": other}), folder, corrected=False)
    assert_same_rays(load(folder), load(bundled))


def test_faults_of_all_keyframes_are_told(tmp_path, bundled):
    folder = write_polycam(read_capture(bundled), tmp_path / "out")
    for path in sorted((folder / "keyframes" / "corrected_cameras").iterdir())[:2]:
        content = json.loads(path.read_text())
        content["t_00"] = None
        path.write_text(json.dumps(content))
    with pytest.raises(InvalidCapture) as caught:
        read_capture(folder)
    (problem,) = caught.value.problems  # once, with both files
    assert "2 keyframes have this fault: view_000.json, view_001.json" in problem
    assert all("t_00 must be a number" in problem for problem in caught.value.problems)


def test_all_faulty_poses_of_record3d_are_told_at_once(tmp_path, bundled):
    folder = write_record3d(read_capture(bundled), tmp_path / "out")
    content = json.loads((folder / "metadata.json").read_text())
    for index in (2, 5, 7):
        content["poses"][index][:4] = [0, 0, 0, 0]
    (folder / "metadata.json").write_text(json.dumps(content))
    message = refusal(folder)
    assert "pose 2" in message
    assert "3 poses have this fault" in message


def test_record3ds_images_may_be_numbered_from_one(tmp_path, bundled):
    folder = write_record3d(read_capture(bundled), tmp_path / "out")
    expected = read_capture(folder)
    images = sorted((folder / "rgb").iterdir(), key=lambda file: int(file.stem), reverse=True)
    for file in images:
        file.rename(file.with_stem(str(int(file.stem) + 1)))
    found = read_capture(folder)
    np.testing.assert_array_equal(found.camtoworlds, expected.camtoworlds)
    assert [int(file.stem) - 1 for file in found.files] == [
        int(file.stem) for file in expected.files
    ]


def test_record3d_may_have_rows_of_k_and_be_an_unpacked_archive(tmp_path, bundled):
    """The app's archive has `metadata`, without an ending, and `rgbd/`."""
    folder = write_record3d(read_capture(bundled), tmp_path / "out")
    expected = read_capture(folder)
    content = json.loads((folder / "metadata.json").read_text())
    content["K"] = np.reshape(content["K"], (3, 3)).T.tolist()
    (folder / "metadata").write_text(json.dumps(content))
    (folder / "metadata.json").unlink()
    (folder / "rgb").rename(folder / "rgbd")
    (folder / "rgbd" / "0.depth").write_bytes(b"lzfse")
    found = read_capture(folder)
    np.testing.assert_array_equal(found.camtoworlds, expected.camtoworlds)
    np.testing.assert_array_equal(found.lens.focal, expected.lens.focal)
    np.testing.assert_array_equal(found.lens.centre, expected.lens.centre)
