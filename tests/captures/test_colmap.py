"""Laws of the COLMAP reader: what pycolmap wrote is read as pycolmap reads it."""

import contextlib
import json
import struct

import numpy as np
import pytest

from nerf.captures.lenses.models import MODEL_IDS, MODELS
from nerf.captures.reading import read_capture
from nerf.errors import UserError
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tests.support.captures import refusal, transforms, write_images

pytestmark = pytest.mark.slow

SIZE = (64, 48)


@pytest.fixture(scope="module")
def reconstruction():
    pycolmap = pytest.importorskip("pycolmap")
    pycolmap.set_random_seed(0)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 2, 4, 60
    options.camera_width, options.camera_height = SIZE
    options.camera_params = [60.0, 32.5, 23.0, 0.03]
    return pycolmap.synthesize_dataset(options)


@pytest.fixture(params=["bin", "txt"])
def folder(request, reconstruction, tmp_path):
    """A scene as COLMAP writes it, with noise for images."""
    model = tmp_path / "scene" / "sparse" / "0"
    model.mkdir(parents=True)
    write = {"bin": reconstruction.write_binary, "txt": reconstruction.write_text}
    write[request.param](str(model))
    names = [f"images/{image.name}" for image in reconstruction.images.values()]
    write_images(tmp_path / "scene", names, size=SIZE)
    return tmp_path / "scene"


def test_cameras_images_and_points_are_those_that_were_written(folder, reconstruction):
    capture = load_folder(folder).capture
    assert capture.format == "colmap"
    by_name = {image.name: image for image in reconstruction.images.values()}
    assert [file.name for file in capture.files] == sorted(by_name)
    for file, pose in zip(capture.files, capture.camtoworlds, strict=True):
        image = by_name[file.name]
        np.testing.assert_allclose(pose[:, 3], image.projection_center(), atol=1e-9)
        np.testing.assert_allclose(-pose[:, 2], image.viewing_direction(), atol=1e-9)
        down = image.cam_from_world().rotation.matrix()[1]
        np.testing.assert_allclose(-pose[:, 1], down, atol=1e-9)
    expected = np.sort([point.xyz for point in reconstruction.points3D.values()], axis=0)
    np.testing.assert_allclose(np.sort(capture.points, axis=0), expected, atol=1e-12)
    np.testing.assert_allclose(capture.lens.centre, [[32.0, 22.5]] * 8)
    np.testing.assert_allclose(capture.lens.distortion[:, 0], 0.03)


def test_bounds_are_depths_of_the_points(folder, reconstruction):
    capture = load_folder(folder).capture
    points = np.array([point.xyz for point in reconstruction.points3D.values()])
    for file, bounds in zip(capture.files, capture.bounds, strict=True):
        image = next(i for i in reconstruction.images.values() if i.name == file.name)
        depth = image.cam_from_world() * points
        near, far = depth[:, 2].min(), depth[:, 2].max()
        assert near <= bounds[0] < bounds[1] <= far
        np.testing.assert_allclose(bounds, [near, far], rtol=0.05)


def test_points_are_known_in_the_images_that_show_them(folder, reconstruction):
    """Their depths, at the keypoints as the distorted lens shows them."""
    capture = load_folder(folder).capture
    known, names = capture.point_depths, [file.name for file in capture.files]
    by_name = {image.name: image for image in reconstruction.images.values()}
    assert len(known.view) > 100
    for view, column, row, depth in zip(*known[:4], strict=True):
        image = by_name[names[view]]
        expected = [
            (image.cam_from_world() * reconstruction.points3D[seen.point3D_id].xyz)[2]
            for seen in image.points2D
            if seen.has_point3D() and np.allclose(seen.xy, [column + 0.5, row + 0.5], atol=1e-6)
        ]
        np.testing.assert_allclose(depth, expected[0], rtol=1e-9)


def with_transforms(folder, out, matrix, scale, moved=0.0):
    """The same scene in a transforms.json with COLMAP's model beside it."""
    capture = read_capture(folder)
    out.mkdir()
    (out / "sparse").symlink_to(folder / "sparse")
    (out / "images").symlink_to(folder / "images")
    poses = np.concatenate(
        [matrix[:, :3] @ capture.camtoworlds[:, :, :3],
         scale * (matrix[:, :3] @ capture.camtoworlds[:, :, 3:] + matrix[:, 3:] + moved)],
        axis=-1,
    )  # fmt: skip
    names = [f"images/{file.name}" for file in capture.files]
    shared = {"fl_x": 60.0, "fl_y": 60.0, "cx": 32.5, "cy": 23.0, "k1": 0.03}
    content = transforms(
        poses, names, **shared, applied_transform=matrix.tolist(), applied_scale=scale
    )
    content |= {"w": SIZE[0], "h": SIZE[1]}
    (out / "transforms.json").write_text(json.dumps(content))
    return read_capture(out, format="nerfstudio", follow_links=True), capture


def test_points_beside_a_transforms_json_are_known_in_its_views(folder, tmp_path):
    matrix = np.array([[0.0, 1, 0, 0.3], [-1, 0, 0, 0.1], [0, 0, 1, -0.2]])
    found, expected = with_transforms(folder, tmp_path / "ns", matrix, 0.5)
    for one, other, factor in zip(
        found.point_depths, expected.point_depths, (1, 1, 1, 0.5, 0.5, 1), strict=True
    ):
        np.testing.assert_allclose(one, factor * other, rtol=1e-6)


def test_points_that_the_views_show_elsewhere_are_not_known(folder, tmp_path):
    found, _ = with_transforms(folder, tmp_path / "ns", np.eye(3, 4), 1.0, moved=0.3)
    assert found.point_depths is None
    assert any("are not used: its images have other poses" in note for note in found.notes)


def test_images_and_poses_that_do_not_match_are_listed(folder):
    names = sorted(path.name for path in (folder / "images").iterdir())
    (folder / "images" / names[2]).unlink()
    write_images(folder, ["images/extra.png"], size=SIZE)
    loaded = load_folder(folder)
    assert loaded.scene.num_views == 7
    assert any(f"no image and is left out: {names[2]}" in note for note in loaded.notes)
    assert any("no pose and is not used: extra.png" in note for note in loaded.notes)
    for path in (folder / "images").iterdir():
        path.unlink()
    assert "none of the 8 images" in refusal(folder)


def test_images_may_be_smaller_than_colmaps(folder):
    whole = load_folder(folder).scene
    (folder / "images").rename(folder / "images_2")
    names = [path.name for path in (folder / "images_2").iterdir()]
    write_images(folder, [f"images_2/{name}" for name in names], size=(32, 24))
    half = load_folder(folder).scene
    assert half.images.stack().shape[1:3] == (24, 32)
    np.testing.assert_allclose(half.cameras.lens.focal, 0.5 * whole.cameras.lens.focal)
    np.testing.assert_allclose(
        half.cameras.lens.centre + 0.5, 0.5 * (whole.cameras.lens.centre + 0.5)
    )


@pytest.mark.parametrize("place", ["colmap/sparse/0", "sparse", "colmap"])
def test_the_model_is_found_where_tools_leave_it(folder, place):
    expected = load_folder(folder).scene.cameras.camtoworlds
    (folder / "sparse" / "0").rename(folder / "model")
    (folder / "sparse").rmdir()
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / "model").rename(folder / place)
    np.testing.assert_array_equal(load_folder(folder).scene.cameras.camtoworlds, expected)


def test_the_names_of_models_may_be_in_small_letters(folder):
    path = folder / "sparse" / "0" / "cameras.txt"
    if not path.exists():
        pytest.skip("the binary form has numbers of models")
    before = load_folder(folder).scene.cameras.lens
    path.write_text(path.read_text().replace("SIMPLE_RADIAL", "simple_radial"))
    after = load_folder(folder).scene.cameras.lens
    np.testing.assert_array_equal(after.distortion, before.distortion)


def test_a_second_model_is_mentioned(folder):
    import shutil

    shutil.copytree(folder / "sparse" / "0", folder / "sparse" / "1")
    assert any("2 models" in note for note in load_folder(folder).notes)


def test_of_several_models_the_largest_is_read(folder, tmp_path):
    """COLMAP often starts with two images that it cannot join to the others."""
    import shutil

    shutil.move(folder / "sparse" / "0", folder / "sparse" / "1")
    small = write_text(tmp_path / "small")
    shutil.copytree(small / "sparse" / "0", folder / "sparse" / "0")
    loaded = load_folder(folder)
    assert loaded.scene.num_views == 8
    assert any("only the largest, 1, is read" in note for note in loaded.notes)


def test_without_points_bounds_come_from_the_cameras(folder):
    for path in (folder / "sparse" / "0").glob("points3D.*"):
        path.unlink()
    loaded = load_folder(folder)
    assert loaded.capture.bounds is None
    assert any("no points" in note for note in loaded.notes)


# Broken files.


@pytest.mark.parametrize("name", ["cameras", "images"])
def test_a_file_that_ends_early_is_refused(folder, name):
    for path in (folder / "sparse" / "0").glob(f"{name}.*"):
        whole = path.read_bytes()
        start = 4 if path.suffix == ".bin" else len(whole) - 8
        for end in {start, len(whole) // 2, len(whole) - 3}:
            path.write_bytes(whole[:end])
            if path.suffix == ".bin":
                assert "ends too early" in refusal(folder)
            else:  # a line may end early and still be one
                with contextlib.suppress(UserError):
                    load_folder(folder)


def test_a_false_length_is_refused(folder):
    path = folder / "sparse" / "0" / "images.bin"
    if not path.is_file():
        pytest.skip("the text form has no counts")
    path.write_bytes(struct.pack("<Q", 2**60) + path.read_bytes()[8:])
    assert "ends too early" in refusal(folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 FULL_OPENCV 64 48 " + "1 " * 12, "FULL_OPENCV whose k4, k5, k6 are not zero"),
        ("1 THIN_PRISM_FISHEYE 64 48 " + "1 " * 11 + "0", "p1, p2, sx1 are not zero"),
        ("1 THIN_PRISM_FISHEYE 64 48 " + "1 " * 12, "camera_model OPENCV_FISHEYE"),
        ("1 FOV 64 48 50 50 32 24 1", "model FOV, and only SIMPLE_PINHOLE"),
        ("1 SPHERICAL 64 48 1", "panoramas are read as EQUIRECTANGULAR"),
        ("1 RADIAL_5 64 48 1", "image_undistorter"),
        ("1 PINHOLE 64 48 1 2 3", "3 parameters, not 4"),
        ("1 PINHOLE 0 48 1 2 3 4", "0 x 48 pixels"),
        ("1 PINHOLE wide 48 1 2 3 4", "could not convert"),
        ("1 PINHOLE", "fewer than 4 words"),
        ("2 PINHOLE 64 48 50 50 32 24", "not in its list"),
        ("1 PINHOLE 64 48 -50 50 32 24", "focal length"),
        ("1 PINHOLE 64 48 nan 50 32 24", "focal length"),
    ],
)
def test_each_mistake_in_a_camera_has_its_sentence(tmp_path, line, message):
    assert message in refusal(write_text(tmp_path, cameras=line))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 0 0 0 0 0 0 0 1 a.png", "not a unit quaternion"),
        ("1 nan 0 0 0 0 0 0 1 a.png", "not a unit quaternion"),
        ("1 1 0 0 0 inf 0 0 1 a.png", "NaN or infinity"),
        ("1 1 0 0 0 0 0 0 1 ../../c.png", "leads out of"),
        ("1 1 0 0 0 0 0 0 1 /c.png", "leads out of"),
        ("1 1 0 0 0 0 0 0", "fewer than 10 words"),
        ("", "no posed image"),
    ],
)
def test_each_mistake_in_a_pose_has_its_sentence(tmp_path, line, message):
    assert message in refusal(write_text(tmp_path, images=f"{line}\n\n"))


def write_text(
    folder,
    cameras="1 PINHOLE 64 48 50 50 32 24",
    images="1 1 0 0 0 0 0 0 1 a.png\n\n2 1 0 0 0 1 0 0 1 b.png\n\n",
    points="",
):
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    for name, text in (("cameras", cameras), ("images", images), ("points3D", points)):
        (model / f"{name}.txt").write_text(f"# a comment\n{text}\n")
    write_images(folder, ["images/a.png", "images/b.png"], size=SIZE)
    return folder


def test_names_may_contain_spaces_and_folders(tmp_path):
    poses = "1 1 0 0 0 0 0 0 1 left eye/a b.png\n1 2 3\n2 1 0 0 0 1 0 0 1 b.png\n\n"
    folder = write_text(tmp_path, images=poses)
    write_images(folder, ["images/left eye/a b.png"], size=SIZE)
    loaded = load_folder(folder, CaptureOptions(factor=1))
    assert set(loaded.scene.image_names) == {"left eye/a b", "b"}


def test_models_have_the_numbers_that_colmap_gives_them():
    pycolmap = pytest.importorskip("pycolmap")
    known = {
        number: name for number, name in MODEL_IDS.items() if hasattr(pycolmap.CameraModelId, name)
    }
    assert set(MODEL_IDS.values()) - set(known.values()) <= {
        "EUCM",
        "EQUIRECTANGULAR",
    }  # of COLMAP 4.1
    for number, name in known.items():
        assert int(getattr(pycolmap.CameraModelId, name)) == number
        if name in MODELS:
            camera = pycolmap.Camera.create_from_model_name(1, name, 1.0, 2, 2)
            assert len(camera.params) == len(MODELS[name])


@pytest.mark.parametrize(
    ("number", "params", "focal"),
    [(14, [40, 32, 24], 40.0), (15, [40, 40, 32, 24], 40.0), (17, [64, 48], 64 / (2 * np.pi))],
)
def test_the_models_of_colmap_4_are_read_by_their_numbers(tmp_path, number, params, focal):
    folder = write_text(tmp_path)
    model = folder / "sparse" / "0"
    kind = struct.pack("<QiiQQ", 1, 1, number, *SIZE)
    (model / "cameras.bin").write_bytes(kind + struct.pack(f"<{len(params)}d", *params))
    pose = struct.pack("<7d", 1, 0, 0, 0, 0, 0, 0)
    images = b"".join(
        struct.pack("<i", i) + pose + struct.pack("<i", 1) + name + b"\0" + struct.pack("<Q", 0)
        for i, name in enumerate((b"a.png", b"b.png"))
    )
    (model / "images.bin").write_bytes(struct.pack("<Q", 2) + images)
    capture = read_capture(folder)
    np.testing.assert_allclose(capture.lens.focal[0, 0], focal)
    np.testing.assert_allclose(capture.lens.centre[0], [31.5, 23.5])
    assert capture.is_panorama.all() == (number == 17)
    assert capture.lens.fisheye.all() == (number != 17)


def test_a_model_that_is_not_read_is_called_by_its_name(tmp_path):
    folder = write_text(tmp_path)
    model = folder / "sparse" / "0"
    (model / "images.bin").write_bytes(struct.pack("<Q", 0))
    for number, name in ((7, "FOV"), (16, "EUCM"), (99, "number 99")):
        (model / "cameras.bin").write_bytes(struct.pack("<QiiQQ", 1, 1, number, *SIZE))
        assert f"model {name}," in refusal(folder)


def test_the_bounds_of_panoramas_are_distances(tmp_path):
    """Points behind the camera count as well."""
    points = [(0, 0, 2.0), (0, 0, -3.0), (4.0, 0, 0), (0, -5.0, 0), *[(0, 0, 3.0)] * 6]
    lines = "".join(f"{i} {x} {y} {z} 0 0 0 1\n" for i, (x, y, z) in enumerate(points))
    poses = "1 1 0 0 0 0 0 0 1 a.png\n\n2 1 0 0 0 0 0 0 1 b.png\n\n"
    camera = "1 EQUIRECTANGULAR 64 48 64 48"
    folder = write_text(tmp_path, cameras=camera, images=poses, points=lines)
    np.testing.assert_allclose(read_capture(folder).bounds, [[2.0, 5.0]] * 2, rtol=0.01)
