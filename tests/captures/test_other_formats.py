"""Laws of other programs' formats: a scene in any of them has the rays of the scene itself."""

import json

import jax
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from nerf.captures.formats import FORMATS, formats_in
from nerf.captures.images.files import read_image
from nerf.captures.reading import read_capture
from nerf.errors import UserError
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tests.support.captures import (
    all_rays,
    orbit_poses,
    refusal,
    write_nerfstudio,
)
from tools.other_formats import (
    WRITERS,
    write_csv,
    write_kitti,
    write_metashape,
    write_polycam,
    write_realitycapture_csv,
    write_realitycapture_xmp,
    write_record3d,
    write_tum,
)

LENS = {"fl_x": 10.0, "fl_y": 10.0, "cx": 6.7, "cy": 3.8, "k1": 0.05, "k2": -0.02}
BENT = {**LENS, "p1": 0.004, "p2": -0.006}


@pytest.fixture(scope="module")
def bent(tmp_path_factory):
    return write_nerfstudio(tmp_path_factory.mktemp("bent") / "ns", **BENT)


def load(folder):
    return load_folder(folder, CaptureOptions(max_size=0)).scene


def assert_same_rays(found, expected):
    """View by view in the order of the names, which may differ."""
    assert found.space.name == expected.space.name
    rays, others = all_rays(found), all_rays(expected)
    assert len(rays) == len(others)
    for name, other in zip(found.image_names, expected.image_names, strict=True):
        ray, truth = (r[n.split("/")[-1]] for r, n in ((rays, name), (others, other)))
        for one, two in zip(*map(jax.tree.leaves, (ray, truth)), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)
    for one, two in zip(found.images, expected.images, strict=True):
        np.testing.assert_array_equal(one, two)


# The axis of the bundled scenes is half a pixel from the middle, which some cannot say.
CENTRAL = ("bundler", "gaussian_splatting")


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in CENTRAL])
def test_a_bundled_scene_has_the_same_rays_in_every_format(tmp_path, bundled, name):
    folder = WRITERS[name][0](read_capture(bundled), tmp_path / "out")
    assert formats_in(folder) == [name.split(" ")[0]]
    assert_same_rays(load(folder), load(bundled))


@pytest.mark.parametrize("name", [name for name, (_, is_bent) in WRITERS.items() if is_bent])
def test_distortion_and_an_axis_off_the_centre_are_read(tmp_path, bent, name):
    folder = WRITERS[name][0](read_capture(bent), tmp_path / "out")
    assert_same_rays(load(folder), load(bent))


@pytest.mark.parametrize("name", ["record3d", "polycam", "trajectory kitti"])
def test_an_axis_off_the_centre_is_read_without_distortion(tmp_path, name):
    lens = {key: value for key, value in LENS.items() if not key.startswith("k")}
    source = write_nerfstudio(tmp_path / "ns", **lens)
    folder = WRITERS[name][0](read_capture(source), tmp_path / "out")
    assert_same_rays(load(folder), load(source))


@pytest.mark.parametrize("name", WRITERS)
def test_an_image_without_a_pose_and_a_pose_without_an_image(tmp_path, bundled, name):
    """One image is missing and one is added; where names tell, the others still train."""
    capture = read_capture(bundled)
    folder = WRITERS[name][0](capture, tmp_path / "out")
    images = [p for p in folder.rglob("*") if p.suffix == ".png"]
    shape = read_image(images[0]).shape
    sorted(images)[2].rename(tmp_path / "gone.png")
    if name in ("trajectory kitti",):
        assert "poses and" in refusal(folder)
        return
    found = read_capture(folder)
    assert found.num_views == capture.num_views - 1
    assert read_image(found.files[0]).shape == shape
    if not name.startswith("trajectory tum"):
        assert any("1 pose has no image" in note for note in found.notes)


def test_every_format_is_written_by_this_test_or_by_export():
    from nerf.captures.export import EXPORT_FORMATS

    assert {name.split(" ")[0] for name in WRITERS} | set(EXPORT_FORMATS) == set(FORMATS)


def test_tum_images_may_be_listed_in_a_file(tmp_path, bundled):
    capture = read_capture(bundled)
    found = read_capture(write_tum(capture, tmp_path / "out", listed=True))
    assert found.num_views == capture.num_views
    np.testing.assert_allclose(found.camtoworlds, capture.camtoworlds[::-1], atol=1e-9)


def test_4x4_matrices_are_read_as_kitti_poses(tmp_path, bundled):
    folder = write_kitti(read_capture(bundled), tmp_path / "out", rows=4)
    assert_same_rays(load(folder), load(bundled))


@pytest.mark.parametrize("text", ["10 10 5.5 3.5", "10 0 5.5\n0 10 3.5\n0 0 1\n"])
def test_the_lens_of_a_trajectory_as_numbers_or_as_a_matrix(tmp_path, text):
    source = write_nerfstudio(tmp_path / "ns")
    folder = write_csv(read_capture(source), tmp_path / "out")
    (folder / "intrinsics.json").unlink()
    assert "come without a lens (" in refusal(folder)
    assert "out has images/, poses.csv): add intrinsics.json" in refusal(folder)
    (folder / "intrinsics.txt").write_text(text)
    assert_same_rays(load(folder), load(source))


def test_realitycapture_may_count_its_cameras_first(tmp_path, bundled):
    folder = write_realitycapture_csv(read_capture(bundled), tmp_path / "out", count_line=True)
    assert_same_rays(load(folder), load(bundled))


def test_values_of_xmp_may_be_attributes(tmp_path, bundled):
    folder = write_realitycapture_xmp(read_capture(bundled), tmp_path / "out", elements=False)
    assert_same_rays(load(folder), load(bundled))


def test_xmp_files_and_images_may_lie_in_a_folder_of_any_name(tmp_path, bundled):
    folder = write_realitycapture_xmp(read_capture(bundled), tmp_path / "out")
    (folder / "images").rename(folder / "photos")
    assert_same_rays(load(folder), load(bundled))


def test_a_camera_at_heading_0_that_looks_at_the_horizon_looks_north(tmp_path, bundled):
    """By the definition of RealityCapture: y is north, z is up; pitch 0 looks down, 90 ahead."""
    capture = read_capture(bundled)
    folder = write_realitycapture_csv(capture, tmp_path / "out")
    lines = (folder / "cameras.csv").read_text().splitlines()
    for number, (heading, pitch) in enumerate([(0, 90), (90, 90), (0, 0)], 1):
        words = lines[number].split(",")
        lines[number] = ",".join([*words[:4], str(heading), str(pitch), "0", *words[7:]])
    (folder / "cameras.csv").write_text("\n".join(lines))
    forward = -read_capture(folder).camtoworlds[:3, :, 2]
    np.testing.assert_allclose(forward, [[0, 1, 0], [1, 0, 0], [0, 0, -1]], atol=1e-9)


def test_what_metashape_did_not_align_or_joined_otherwise_is_left_out_with_notes(tmp_path, bundled):
    capture = read_capture(bundled)
    more = (
        '<camera id="90" sensor_id="0" label="lost"/>'
        '<camera id="91" sensor_id="0" label="off" enabled="0"/>'
        '<group><camera id="92" sensor_id="0" component_id="5" label="other">'
        "<transform>1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1</transform></camera></group>"
    )
    found = read_capture(write_metashape(capture, tmp_path / "out", more))
    assert found.num_views == capture.num_views
    notes = " | ".join(found.notes)
    assert "1 camera was not aligned: lost" in notes
    assert "1 camera is disabled" in notes
    assert "2 components" in notes


def test_a_panorama_of_metashape_is_refused(tmp_path, bundled):
    folder = write_metashape(read_capture(bundled), tmp_path / "out")
    path = folder / "cameras.xml"
    path.write_text(path.read_text().replace('type="frame"', 'type="spherical"'))
    assert "only frame and fisheye are read" in refusal(folder)


def test_a_model_of_realitycapture_that_is_not_read_is_refused(tmp_path, bent):
    folder = write_realitycapture_xmp(read_capture(bent), tmp_path / "out")
    for path in (folder / "images").glob("*.xmp"):
        path.write_text(path.read_text().replace("brown4t2", "division"))
    assert "the distortion model 'division' is not read" in refusal(folder)


BOMB = """<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>
<document><chunk><cameras><camera label="&b;"/></cameras></chunk></document>"""
OUTSIDE = """<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<document><chunk><cameras><camera label="&a;"/></cameras></chunk></document>"""


@pytest.mark.parametrize("text", [BOMB, OUTSIDE, BOMB.encode("utf-16")])
def test_xml_with_entities_is_refused_unread(tmp_path, bundled, text):
    folder = write_metashape(read_capture(bundled), tmp_path / "out")
    content = text if isinstance(text, bytes) else text.encode()
    (folder / "cameras.xml").write_bytes(content)
    with pytest.raises(UserError, match="DOCTYPE"):
        read_capture(folder, format="metashape") if content[:1] == b"<" else read_xml(folder)


def read_xml(folder):
    from nerf.captures.safe_files.xml_files import read_xml as read

    return read(folder / "cameras.xml")


def test_names_of_another_computer_stand_for_the_files_here(tmp_path, bundled):
    folder = write_realitycapture_csv(read_capture(bundled), tmp_path / "out")
    path = folder / "cameras.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *(f"C:\\scan\\photos\\{line}" for line in lines[1:])]))
    assert_same_rays(load(folder), load(bundled))


@pytest.mark.parametrize("name", [".", "/", "..", "", "a\0b", "x" * 3000, "C:", "images/"])
def test_names_of_nothing_are_told_or_noted(tmp_path, bundled, name):
    folder = write_csv(read_capture(bundled), tmp_path / "out")
    path = folder / "poses.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], name + lines[-1][lines[-1].index(",") :]]))
    if name != "images/":
        with pytest.raises(UserError):
            read_capture(folder)
    else:
        assert any("1 pose has no image" in note for note in read_capture(folder).notes)


FAULTS = [
    ("record3d", "metadata.json", '"poses"', '"posen"', "has no list `poses`"),
    ("record3d", "metadata.json", '"w": 16', '"w": "a"', "w must be a finite number"),
    ("metashape", "cameras.xml", "</chunk>", "", "is not valid XML"),
    ("metashape", "cameras.xml", 'sensor_id="0"', 'sensor_id="7"', "has no sensor"),
    ("realitycapture csv", "cameras.csv", ".png,", ".png,x", "x must be a finite number"),
    ("trajectory csv", "poses.csv", ".png,", ".png,nan", "tx must be a finite number"),
    ("trajectory kitti", "poses.txt", "\n", " 1\n", "must have 8 (TUM"),
    ("trajectory tum", "groundtruth.txt", "# ground", "1 2 3\n# ground", "must have 8 (TUM"),
    ("trajectory tum", "intrinsics.txt", " ", " 1 ", "numbers: write fx fy cx cy"),
]


@pytest.mark.parametrize(("name", "file", "old", "new", "sentence"), FAULTS)
def test_faults_are_told_in_one_sentence(tmp_path, bundled, name, file, old, new, sentence):
    folder = WRITERS[name][0](read_capture(bundled), tmp_path / "out")
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    assert sentence in refusal(folder)


def test_a_folder_that_is_not_there_has_no_format(tmp_path):
    assert formats_in(tmp_path / "nothing") == []


def test_a_folder_without_a_format_is_told_all_of_them(tmp_path):
    message = refusal(tmp_path)
    for program in ("LLFF", "Record3D", "Polycam", "Metashape", "RealityCapture", "trajectory"):
        assert program in message


def test_frame_numbers_are_not_taken_for_seconds(tmp_path):
    """64 poses at 30 a second, and images called by their numbers: they are matched in order."""
    folder = tmp_path
    (folder / "images").mkdir()
    poses = orbit_poses(64)
    lines = []
    for index, pose in enumerate(poses):
        Image.new("RGB", (16, 12), (index, 0, 0)).save(folder / "images" / f"{index:06d}.png")
        quaternion = Rotation.from_matrix(pose[:, :3] * [1, -1, -1]).as_quat()
        numbers = [index / 30, *pose[:, 3], *quaternion]
        lines.append(" ".join(map(str, map(float, numbers))))
    (folder / "trajectory.txt").write_text("\n".join(lines))
    (folder / "intrinsics.txt").write_text("20 20 8 6")
    capture = read_capture(folder)
    assert capture.num_views == 64
    np.testing.assert_allclose(capture.camtoworlds, poses, atol=1e-6)
    assert any("in the order of the images' names" in note for note in capture.notes)


def test_a_csv_with_semicolons_and_decimal_commas_is_read(tmp_path, bundled):
    folder = write_csv(read_capture(bundled), tmp_path / "out")
    expected = read_capture(folder)
    path = folder / "poses.csv"
    path.write_text(path.read_text().replace(",", ";").replace(".", ",").replace(",png", ".png"))
    found = read_capture(folder)
    assert found.names == expected.names
    np.testing.assert_array_equal(found.camtoworlds, expected.camtoworlds)


def test_kitti_s_own_names_are_known(tmp_path, bundled):
    folder = write_kitti(read_capture(bundled), tmp_path / "out")
    (folder / "poses.txt").rename(folder / "00.txt")
    assert formats_in(folder) == ["trajectory"]
    np.testing.assert_allclose(
        read_capture(folder).camtoworlds, read_capture(bundled).camtoworlds, atol=1e-6
    )


def test_a_term_of_metashape_that_is_not_read_is_named(tmp_path, bent):
    folder = write_metashape(read_capture(bent), tmp_path / "out")
    path = folder / "cameras.xml"
    assert "<k1>" in path.read_text()
    path.write_text(path.read_text().replace("<k1>", "<p3>0.01</p3><k5>0</k5><k1>"))
    assert "has p3, which is not read" in refusal(folder)


@pytest.mark.parametrize("term", ["fx", "skew", "k6", "p4"])
def test_terms_of_metashape_that_nobody_reads_are_not_passed_over(tmp_path, bent, term):
    folder = write_metashape(read_capture(bent), tmp_path / "out")
    path = folder / "cameras.xml"
    path.write_text(path.read_text().replace("<k1>", f"<{term}>0.5</{term}><k1>"))
    assert f"has {term}, which is not read" in refusal(folder)


@pytest.mark.parametrize("write", [write_polycam, write_record3d])
@pytest.mark.parametrize("key", ["k1", "distortion_coefficients", "skew"])
def test_a_lens_that_an_app_does_not_write_is_not_passed_over(tmp_path, bundled, write, key):
    folder = write(read_capture(bundled), tmp_path / "out")
    for path in folder.rglob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), key: [0.1]}))
    assert f"has {key}, which is not read and would change the rays" in refusal(folder)
