"""Laws of matching the timestamps of images and poses."""

import numpy as np
import pytest

from nerf.captures.formats import read_capture
from tests.support.captures import orbit_poses, refusal, write_nerfstudio
from tools.other_formats import write_csv, write_kitti, write_pose_folder, write_tum


def test_a_pose_belongs_to_the_nearest_image_alone(tmp_path):
    """Two images are within 0.02 s of one pose: it is that of the nearer, the other has none."""
    source = read_capture(write_nerfstudio(tmp_path / "ns"))
    folder = write_tum(source, tmp_path / "out")
    path = folder / "groundtruth.txt"
    first, *lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    images = sorted((folder / "rgb").iterdir())
    time = float(first.split()[0])
    for image, away in zip(images[:2], (0.012, 0.004), strict=True):
        image.rename(image.with_name(f"{time + away:.6f}.png"))
    path.write_text("\n".join([first, *lines[1:]]) + "\n")  # without the pose of the second

    found = read_capture(folder)
    assert found.num_views == source.num_views - 1
    assert f"{time + 0.004:.6f}.png" in [file.name for file in found.files]
    np.testing.assert_allclose(found.camtoworlds[0], source.camtoworlds[0], atol=1e-9)
    without = [note for note in found.notes if "has no pose" in note]
    assert len(without) == 1
    assert f"{time + 0.012:.6f}.png" in without[0]
    assert len(np.unique(found.camtoworlds.round(6), axis=0)) == found.num_views


@pytest.mark.parametrize("header", ["image_path", "img", "path", "Bild"])
def test_names_of_images_count_whatever_their_column_is_called(tmp_path, header):
    source = read_capture(write_nerfstudio(tmp_path / "ns"))
    folder = write_csv(source, tmp_path / "out")  # in another order than that of the names
    path = folder / "poses.csv"
    columns, *rows = path.read_text().splitlines()
    name, rest = columns.split(",", 1)
    path.write_text("\n".join([f"{header},{rest}", *rows]))
    found = read_capture(folder)
    assert name == "image"
    np.testing.assert_allclose(found.camtoworlds, source.camtoworlds, atol=1e-6)


def test_the_advice_on_inverted_matrices_is_in_the_axes_of_the_format(tmp_path):
    """Followed to the letter, it gives the poses back."""
    source = read_capture(write_nerfstudio(tmp_path / "ns", poses=orbit_poses(12)))
    folder = write_kitti(source, tmp_path / "out", rows=4)
    path = folder / "poses.txt"
    right = path.read_text()
    matrices = np.array([line.split() for line in right.splitlines()], float).reshape(-1, 4, 4)
    inverted = np.linalg.inv(matrices)
    path.write_text("\n".join(" ".join(map(repr, m.ravel().tolist())) for m in inverted))
    (note,) = [note for note in read_capture(folder).notes if "world to camera" in note]
    assert "invert each matrix (that of a trajectory is camera to world)" in note
    assert "sign" not in note
    opengl = matrices @ np.diag([1.0, -1.0, -1.0, 1.0])
    path.write_text("\n".join(" ".join(map(repr, m.ravel().tolist())) for m in opengl))
    (note,) = [note for note in read_capture(folder).notes if "look away" in note]
    assert "the axes are OpenGL's (right, up, back)" in note


def test_matrices_that_are_not_finite_are_left_out_and_other_text_is_refused(tmp_path):
    """ScanNet has such matrices where its tracking was lost."""
    source = read_capture(write_nerfstudio(tmp_path / "ns"))
    folder = write_pose_folder(source, tmp_path / "out")
    (folder / "pose" / "view_3.txt").write_text("-inf -inf -inf -inf\n" * 4)
    found = read_capture(folder)
    assert found.num_views == source.num_views - 1
    assert "1 pose is not finite and is left out: view_3.txt" in found.notes
    np.testing.assert_allclose(found.camtoworlds[:3], source.camtoworlds[:3], atol=1e-9)
    (folder / "pose" / "view_4.txt").write_text("1 2 3")
    assert "view_4.txt is no 3x4 or 4x4 matrix" in refusal(folder)
