"""Laws of lenses that stand in a file of their own, beside a trajectory."""

import json

import jax
import numpy as np
import pytest

from nerf.captures.reading import read_capture
from nerf.geometry.lenses import directions
from tests.support.captures import HEIGHT, WIDTH, refusal, write_images, write_nerfstudio
from tools.other_formats import write_csv, write_kitti, write_tum

LENS = {"fl_x": 10.0, "fl_y": 9.0, "cx": 6.7, "cy": 3.8}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return read_capture(write_nerfstudio(tmp_path_factory.mktemp("lens") / "ns"))


@pytest.fixture
def folder(tmp_path, source):
    """Poses in a CSV, without a lens."""
    folder = write_csv(source, tmp_path / "out")
    (folder / "intrinsics.json").unlink()
    return folder


def with_json(folder, name="intrinsics.json", **values):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(values))
    return folder


def rays(capture):
    """Through some pixels of the first image."""
    columns, rows = np.float32([0, 3, 11]), np.float32([0, 5, 7])
    lens = jax.tree.map(lambda x: np.repeat(x[:1], 3, axis=0), capture.lens)
    return np.asarray(directions(columns, rows, lens))


@pytest.mark.parametrize(
    "values",
    [
        {**LENS, "k1": 0.02, "camera_model": "OPENCV_FISHEYE"},
        {**LENS, "is_fisheye": True},
        {"K": [[10, 0, 6.7], [0, 9, 3.8], [0, 0, 1]], "p1": 0.01},
        {"x_fov": 60.0, "y_fov": 40.0},
        {"camera_angle_x": 0.9, "k2": 0.1},
        {"camera_model": "EQUIRECTANGULAR"},
    ],
)
def test_a_lens_file_means_what_the_same_keys_of_a_transforms_file_mean(tmp_path, folder, values):
    size = {"w": WIDTH, "h": HEIGHT}
    own = read_capture(with_json(folder, **values, **size))
    whole = {"fl_x": None, **values, **size}
    expected = read_capture(write_nerfstudio(tmp_path / "whole", **whole))
    np.testing.assert_allclose(rays(own), rays(expected), atol=1e-6)


@pytest.mark.parametrize(
    "values",
    [
        {"fx": 10, "fy": 9, "cx": 6.7, "cy": 3.8, "width": WIDTH, "height": HEIGHT},
        {"intrinsics": {"fx": 10, "fy": 9, "cx": 6.7, "cy": 3.8}, "w": WIDTH, "h": HEIGHT},
        {"camera": {"width": WIDTH, "height": HEIGHT, **LENS}},
        {"width": WIDTH, "height": HEIGHT, "intrinsic_matrix": [10, 0, 0, 0, 9, 0, 6.7, 3.8, 1]},
    ],
)
def test_other_names_of_the_keys_are_known(folder, values):
    expected = rays(read_capture(with_json(folder, **LENS, w=WIDTH, h=HEIGHT)))
    capture = read_capture(with_json(folder, **values))
    np.testing.assert_allclose(rays(capture), expected, atol=1e-6)
    assert not any("not known" in note for note in capture.notes)


@pytest.mark.parametrize(
    "name",
    ["camera_intrinsics.json", "camera.json", "INTRINSICS.JSON", "images/intrinsics.json"],
)
def test_the_file_is_found_under_other_names_and_beside_the_images(folder, name):
    np.testing.assert_allclose(read_capture(with_json(folder, name, **LENS)).lens.focal[0], [10, 9])


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({**LENS, "dist_coeffs": [0.1, 0, 0, 0]}, "dist_coeffs is ignored: write its numbers"),
        ({**LENS, "D": [0.1, 0, 0, 0]}, "D is ignored: write its numbers"),
        ({**LENS, "ftheta_p1": 0.2}, "is not traced"),
        ({**LENS, "k5": 0.2}, "distortion by a fraction (k5) is not traced"),
        ({**LENS, "camera_model": "FOV"}, "camera_model 'FOV' is not read"),
        ({"camera_angle_x": 4.0}, "camera_angle_x must be between 0 and pi"),
        ({"cx": 6}, "has no focal length"),
        ({**LENS, "w": WIDTH}, "has one of w and h"),
    ],
)
def test_what_a_lens_file_cannot_say_is_refused(folder, values, sentence):
    assert sentence in refusal(with_json(folder, **values))


def test_keys_that_nobody_knows_are_noted(folder):
    notes = read_capture(with_json(folder, **LENS, tilt=0.3)).notes
    assert any(
        "keys of intrinsics.json that are not known, and are ignored: tilt" in n for n in notes
    )


def test_what_stands_in_a_group_of_intrinsics_is_not_passed_over(tmp_path):
    """Also in a transforms.json, where only fx, fy, cx, cy are read from it."""
    inside = {"fx": 10, "fy": 9, "cx": 6, "cy": 4, "k1": 0.1}
    assert "has k1 beside fx, fy, cx, cy" in refusal(
        write_nerfstudio(tmp_path, fl_x=None, intrinsics=inside)
    )


@pytest.mark.parametrize(
    "text",
    [
        "fx: 10\nfy: 9\ncx: 6.2\ncy: 3.3\n",
        "fx=10 fy=9 cx=6.2 cy=3.3",
        "# of ORB-SLAM\nCamera.fx: 10.0\nCamera.fy: 9.0\nCamera.cx: 6.2\nCamera.cy: 3.3\n"
        f"Camera.width: {WIDTH}\nCamera.height: {HEIGHT}\nCamera.fps: 30.0\n",
        "%YAML:1.0\nCamera1.fx: 10.0\nCamera1.fy: 9.0\nCamera1.cx: 6.2\nCamera1.cy: 3.3\n"
        "Viewer.PointSize: 2\nORBextractor.nFeatures: 1000\n",
        "10 9 6.2 3.3",
        "10\t0\t6.2\n0\t9\t3.3\n0\t0\t1\n",
    ],
)
@pytest.mark.parametrize(
    ("encoding", "name"),
    [("utf-8", "calibration.txt"), ("utf-8-sig", "camera.yaml"), ("utf-16", "intrinsics.txt")],
)
def test_a_text_file_may_name_its_numbers(folder, text, encoding, name):
    (folder / name).write_text(text, encoding=encoding)
    expected = rays(read_capture(with_json(folder, **LENS)))
    (folder / "intrinsics.json").unlink()
    np.testing.assert_allclose(rays(read_capture(folder)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("fx: 10\nfy: 9\ncx: 6\ncy: 4\nxi: 1.2\n", "has xi, which is not read"),
        ("fx: 10\nfy: 9\n", "has no cx, cy: give fx, fy, cx, cy in pixels"),
        ("fx: wide\nfy: 9\ncx: 6\ncy: 4\n", "fx must be a finite number, not 'wide'"),
        (f"fx: 10\nfy: 9\ncx: 6\ncy: 4\nwidth: {WIDTH}\n", "has one of width and height"),
        ("10 9 6", "has 3 numbers: write fx fy cx cy"),
        ("10,5 9,5 6,2 3,3", "decimal commas"),
    ],
)
def test_a_text_file_that_cannot_be_understood_is_refused(folder, text, sentence):
    (folder / "intrinsics.txt").write_text(text)
    assert sentence in refusal(folder)


# A lens for each image, in the table of the poses.


@pytest.mark.parametrize("names", ["fx,fy,cx,cy,k1,width,height", "fl_x,fl_y,cx,cy,k1,w,h"])
def test_a_table_may_have_the_lens_of_each_image(folder, names):
    """Measured from the centre of a pixel, as in text files."""
    path = folder / "poses.csv"
    header, *rows = path.read_text().splitlines()
    values = [f"{10.5 + 0.1 * i},9,6.2,3.3,0.0{i},{WIDTH},{HEIGHT}" for i in range(len(rows))]
    lines = [f"{row},{more}" for row, more in zip(sorted(rows), values, strict=True)]
    path.write_text("\n".join([f"{header},{names}", *reversed(lines)]))
    capture = read_capture(folder)
    for number in range(capture.num_views):
        (folder / "intrinsics.txt").write_text(f"{10.5 + 0.1 * number} 9 6.2 3.3 0.0{number} 0 0 0")
        path.write_text("\n".join([header, *rows]))
        expected = read_capture(folder)
        for found, expected_lens in zip(capture.lens[:4], expected.lens[:4], strict=True):
            np.testing.assert_array_equal(found[number], expected_lens[number])
    assert capture.notes == ()
    path.write_text("\n".join([f"{header},{names}", *lines]))
    (note,) = read_capture(folder).notes
    assert note == "poses.csv has the lens of each image, and intrinsics.txt is not read"
    path.write_text(path.read_text().replace("fy,", "").replace("fl_y,", "").replace(",9,", ","))
    assert "has no fy: give fx, fy, cx, cy in pixels" in refusal(folder)


# One lens, and images of several sizes.


def turn_one(folder):
    write_images(folder, ["images/view_0.png"], size=(HEIGHT, WIDTH))
    return folder


@pytest.mark.parametrize("values", [LENS, {"camera_angle_x": 0.9}])
def test_a_lens_without_a_size_is_not_taken_for_portrait_and_landscape(folder, tmp_path, values):
    sentence = "has one lens without w and h, and the images are 5 of 12x8, 1 of 8x12"
    assert sentence in refusal(turn_one(with_json(folder, **values)))
    whole = {"fl_x": None, "w": None, "h": None, **values}
    assert sentence in refusal(turn_one(write_nerfstudio(tmp_path / "whole", **whole)))


def test_a_focal_length_alone_holds_for_portrait_and_landscape(folder):
    capture = read_capture(turn_one(with_json(folder, fl_x=10.0)))
    assert capture.sizes[:2].tolist() == [[HEIGHT, WIDTH], [WIDTH, HEIGHT]]
    np.testing.assert_allclose(capture.lens.centre[0] + 0.5, [HEIGHT / 2, WIDTH / 2])


def test_a_lens_text_is_refused_for_portrait_and_landscape(tmp_path, source):
    folder = write_tum(source, tmp_path / "out")
    (folder / "intrinsics.txt").write_text("10 9 6.2 3.3")
    image = sorted((folder / "rgb").iterdir())[0]
    write_images(folder, [f"rgb/{image.name}"], size=(HEIGHT, WIDTH))
    assert "intrinsics.txt has one lens without w and h" in refusal(folder)


# KITTI.


def test_the_last_column_of_kitti_s_matrix_says_where_its_camera_is(tmp_path, source):
    """A point has the same pixel by the matrix, from camera 0, as from the moved pose."""
    folder = write_kitti(source, tmp_path / "out")
    projection = np.array([[10.0, 0, 5.5, -4.0], [0, 9.0, 3.5, 1.5], [0, 0, 1, 0.25]])
    words = " ".join(map(str, projection.ravel().tolist()))
    (folder / "calib.txt").write_text(f"P0: {' '.join(['1.0'] * 12)}\nP2: {words}\n")
    capture = read_capture(folder)
    assert any("camera 0" in note and "0.597" in note for note in capture.notes), capture.notes
    first = np.eye(4)
    first[:3] = np.loadtxt(folder / "poses.txt")[1].reshape(3, 4)
    point = first @ [0.3, -0.2, 4.0, 1.0]
    u, v, depth = projection @ [0.3, -0.2, 4.0, 1.0]
    pose, lens = capture.camtoworlds[1], jax.tree.map(lambda x: x[1], capture.lens)
    local = pose[:, :3].T @ (point[:3] - pose[:, 3])
    ray = np.asarray(directions(np.float32(u / depth), np.float32(v / depth), lens))
    np.testing.assert_allclose(ray / -ray[2], local / -local[2], atol=1e-5)


@pytest.mark.parametrize("key", ["is_fisheye", "latlong"])
@pytest.mark.parametrize(
    ("value", "is_true"), [(1, True), ("True", True), ("false", False), ("0", False)]
)
def test_truth_may_be_a_word_or_a_number(folder, key, value, is_true):
    capture = read_capture(with_json(folder, **LENS, w=WIDTH, h=HEIGHT, **{key: value}))
    found = capture.lens.fisheye if key == "is_fisheye" else capture.is_panorama
    assert np.asarray(found).tolist() == [is_true] * capture.num_views
