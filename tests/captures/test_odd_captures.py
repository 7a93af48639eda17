"""Unusual captures: odd names, copies of other sizes, strong lenses, stray points."""

import shutil

import numpy as np
import pytest
from PIL import Image

from nerf.captures.images.files import read_image
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tests.support.captures import (
    HEIGHT,
    WIDTH,
    assert_same,
    convert,
    forward_poses,
    orbit_poses,
    refusal,
    write_images,
    write_nerfstudio,
)

pytestmark = pytest.mark.slow


def rename(folder, old, new):
    """Images and the names of them, from one folder to another."""
    (folder / old).rename(folder / new)
    path = folder / "transforms.json"
    path.write_text(path.read_text().replace(f'"{old}/', f'"{new}/'))


@pytest.mark.parametrize("name", ["images_raw", "images_", "images_0", "images_2b", "imagesX"])
def test_folders_that_only_look_like_smaller_copies(tmp_path, name):
    folder = write_nerfstudio(tmp_path)
    rename(folder, "images", name)
    assert load_folder(folder).scene.images.stack().shape[1:3] == (HEIGHT, WIDTH)


def test_what_is_called_png_and_is_not_is_refused(tmp_path):
    """Pillow would start another program to decode some of what it knows."""
    folder = write_nerfstudio(tmp_path)
    text = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 12 8\nshowpage\n"
    (folder / "images" / "view_0.png").write_bytes(text)
    assert "view_0.png, which is PostScript: convert it" in refusal(folder)
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "images" / "view_0.png", format="GIF")
    assert "view_0.png, which is GIF: convert it" in refusal(folder)


@pytest.mark.parametrize("name", ["", ".", "./", "/"])
def test_lists_may_name_nothing(tmp_path, name):
    lists = {"train_filenames": [name], "test_filenames": ["images/view_1.png"]}
    assert "leave no view to train on" in refusal(write_nerfstudio(tmp_path, **lists))


def test_a_name_of_nothing_stays_in_the_folder(tmp_path):
    write_images(tmp_path, ["scene.png"])

    def change(content):
        content["frames"][0]["file_path"] = "."

    assert "names no image" in refusal(write_nerfstudio(tmp_path / "scene", change=change))


# Sizes that the file does not say.


def without_sizes(content):
    for key in ("w", "h"):
        del content[key]


def smaller_copies(folder, factor):
    names = [f"images_{factor}/view_{i}.png" for i in range(6)]
    write_images(folder, names, size=(WIDTH // factor, HEIGHT // factor))


def test_a_focal_length_without_a_size_is_that_of_the_originals(tmp_path):
    folder = write_nerfstudio(tmp_path, change=without_sizes)
    smaller_copies(folder, 2)
    loaded = load_folder(folder, CaptureOptions(factor=2))
    assert loaded.capture.files[0].parent.name == "images_2"
    assert loaded.scene.images.stack().shape[1:3] == (HEIGHT // 2, WIDTH // 2)
    assert loaded.scene.cameras.focal == pytest.approx(5.0)
    assert loaded.notes == ()


def test_the_same_if_there_are_smaller_copies_alone(tmp_path):
    folder = write_nerfstudio(tmp_path, change=without_sizes)
    smaller_copies(folder, 4)
    shutil.rmtree(folder / "images")
    scene = load_folder(folder).scene
    assert scene.images.stack().shape[1:3] == (HEIGHT // 4, WIDTH // 4)
    assert scene.cameras.focal == pytest.approx(2.5)


# Splits.


def test_a_named_split_holds_for_smaller_copies_and_dotted_names(tmp_path):
    names = [f"images/view.{i:04d}" for i in range(6)]

    def change(content):
        for frame, name in zip(content["frames"], names, strict=True):
            frame["file_path"] = name

    lists = {"train_filenames": [f"./{n}.png" for n in names[:4]], "test_filenames": names[4:]}
    folder = write_nerfstudio(tmp_path, **lists, change=change)
    for i in range(6):
        (folder / "images" / f"view_{i}.png").rename(folder / f"{names[i]}.png")
    copies = [name.replace("images", "images_2") + ".png" for name in names]
    write_images(folder, copies, size=(WIDTH // 2, HEIGHT // 2))
    for factor in (1, 2):
        assert load_folder(folder, CaptureOptions(factor=factor)).scene.split(16) == (
            (0, 1, 2, 3),
            (4, 5),
        )


def test_numbers_in_names_are_sorted_by_value(tmp_path):
    poses = orbit_poses(12)
    folder = write_nerfstudio(tmp_path, poses=poses, change=lambda c: c["frames"].reverse())
    loaded = load_folder(folder)
    assert loaded.scene.image_names == tuple(f"view_{i}" for i in range(12))
    np.testing.assert_allclose(loaded.capture.camtoworlds, poses, atol=1e-12)


def test_ignored_keys_are_noted(tmp_path):
    def change(content):
        content["frames"][1]["mask_path"] = "masks/1.png"
        content["train_filenames"] = ["images/view_0.png"]

    notes = load_folder(write_nerfstudio(tmp_path, change=change)).notes
    assert any("1 mask that transforms.json names are missing" in note for note in notes)
    assert any("train_filenames" in note for note in notes)


@pytest.mark.parametrize(
    ("lists", "train", "test", "message"),
    [
        ({"test": [3, 5]}, {0, 1, 2, 4}, {3, 5}, None),
        ({"val": [1]}, {0, 2, 3, 4, 5}, {1}, None),
        ({"train": [0, 1], "test": [2]}, {0, 1}, {2}, "3 views are in no list"),
        ({"train": [0, 1, 2, 4, 5], "test": [2, 3]}, {0, 1, 2, 4, 5}, {3}, "1 view is listed for"),
        ({"train": [0, 1, 9], "test": [2, 3, 4, 5]}, {0, 1}, {2, 3, 4, 5}, "1 name in the lists"),
    ],
)
def test_the_files_own_lists_are_the_split_and_what_does_not_fit_is_said(
    tmp_path, lists, train, test, message
):
    def change(content):
        for part, indices in lists.items():
            content[f"{part}_filenames"] = [f"images/view_{i}.png" for i in indices]

    loaded = load_folder(write_nerfstudio(tmp_path, change=change))
    split = loaded.capture.split
    assert (set(split.train), set(split.test)) == (train, test)
    about = [note for note in loaded.notes if "list" in note]
    assert [message in note for note in about] == ([True] if message else [])


# Lenses.


def test_a_matrix_with_a_little_scale_becomes_a_rotation(tmp_path):
    poses = orbit_poses()
    poses[:, :, :3] *= 1.02
    capture = load_folder(write_nerfstudio(tmp_path / "a", poses=poses)).capture
    np.testing.assert_allclose(capture.camtoworlds, orbit_poses(), atol=1e-9)
    assert_same(tmp_path / "a", convert(tmp_path / "a", "colmap", tmp_path / "b"))


@pytest.mark.parametrize(
    ("lens", "is_noted"),
    [
        ({"fl_x": 10.0, "k1": -0.02}, False),
        ({"fl_x": 7.0, "k1": -0.55}, True),  # turns back inside of the image
        ({"fl_x": WIDTH / np.pi, "camera_model": "OPENCV_FISHEYE"}, True),
    ],
)
def test_pixels_without_a_ray_are_noted(tmp_path, lens, is_noted):
    loaded = load_folder(write_nerfstudio(tmp_path, **lens))
    assert any("wrong ray" in note for note in loaded.notes) == is_noted


def test_with_a_wide_fisheye_there_is_no_ndc(tmp_path):
    lens = {"fl_x": 4.6, "camera_model": "OPENCV_FISHEYE"}
    folder = write_nerfstudio(tmp_path, poses=forward_poses(), **lens)
    given = CaptureOptions(near=1.0, far=9.0)
    assert load_folder(folder, given).scene.space.name != "ndc"


# Points and bounds.


def write_points(folder, points):
    """COLMAP's points, where nerfstudio's tools leave them."""
    model = folder / "colmap" / "sparse" / "0"
    model.mkdir(parents=True)
    (model / "cameras.txt").write_text("1 PINHOLE 12 8 10 10 6 4\n")
    (model / "images.txt").write_text("1 1 0 0 0 0 0 0 1 view_0.png\n\n")
    lines = [f"{i} {x} {y} {z} 0 0 0 0.5 1 0\n" for i, (x, y, z) in enumerate(points.tolist())]
    (model / "points3D.txt").write_text("".join(lines))


@pytest.mark.parametrize("poses", [orbit_poses(), forward_poses()], ids=["inward", "forward"])
def test_points_beside_a_transforms_file_give_near_and_far(tmp_path, poses):
    folder = write_nerfstudio(tmp_path / "a", poses=poses)
    middle = (poses[:, :, 3] - 3.0 * poses[:, :, 2]).mean(axis=0)
    points = middle + np.random.default_rng(0).normal(0, 0.2, (50, 3))
    write_points(folder, points)
    capture = load_folder(folder, CaptureOptions("nerfstudio")).capture
    depth = (points[None] - poses[:, None, :, 3]) @ -poses[:, :, 2, None]
    np.testing.assert_allclose(capture.bounds[:, 0], depth.min(axis=(1, 2)), rtol=0.05)
    shutil.move(folder / "colmap", tmp_path / "kept")
    shutil.copytree(tmp_path / "kept", folder / "colmap")
    assert_same(folder, convert(folder, "colmap", tmp_path / "b"))


def test_points_in_another_frame_are_not_used(tmp_path):
    folder = write_nerfstudio(tmp_path)
    write_points(folder, 1e4 + np.random.default_rng(0).normal(size=(50, 3)))
    loaded = load_folder(folder, CaptureOptions("nerfstudio"))
    assert len(loaded.capture.points) == 0
    assert any("another frame" in note for note in loaded.notes)


def test_near_and_far_count_in_contracted_space_too(tmp_path):
    folder = write_nerfstudio(tmp_path)
    given = CaptureOptions(near=0.5, far=20.0)
    scene = load_folder(folder, given).scene
    assert scene.space.name == "contracted"
    np.testing.assert_allclose(
        scene.cameras.bounds, [np.array([0.5, 20.0]) * scene.unit_scale] * 6, rtol=1e-5
    )


# Export.


@pytest.mark.parametrize("to", ["blender", "colmap", "llff", "nerfstudio"])
def test_images_that_differ_in_their_ending_alone_are_all_written(tmp_path, to):
    poses = orbit_poses(4)

    def change(content):
        for frame in content["frames"]:
            frame |= {"near": 1.0, "far": 5.0}
        content["frames"][1]["file_path"] = "images/view_0.jpg"

    folder = write_nerfstudio(tmp_path / "a", poses=poses, change=change)
    write_images(folder, ["images/view_0.jpg"], seed=5)
    out = convert(folder, to, tmp_path / "b")
    assert load_folder(out).scene.num_views == 4
    assert len(list((out / "images").iterdir())) == 4


def test_images_are_exported_as_they_are_loaded(tmp_path):
    """EXIF says upside down; the poses were made from the images as they are stored."""
    from tests.cli.test_inspect import inspect

    folder = write_nerfstudio(tmp_path / "a")
    exif = Image.Exif()
    exif[0x0112] = 3
    for i in range(6):
        pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        pixels[: HEIGHT // 2] = 255
        Image.fromarray(pixels).save(folder / "images" / f"view_{i}.png", exif=exif)
    status, _, err = inspect(
        folder, "--max_size=6", "--export_format=nerfstudio", f"--out={tmp_path / 'b'}"
    )
    assert status == 0, err
    found = read_image(tmp_path / "b" / "images" / "view_0.png")
    assert found[0].min() > 0.9
    assert found[-1].max() < 0.1


# COLMAP beside other scenes.


def test_a_model_in_the_folder_itself_is_the_only_one(tmp_path):
    for name in ("one", "two"):
        folder = convert(write_nerfstudio(tmp_path / f"ns-{name}"), "colmap", tmp_path / name)
        for path in (folder / "sparse" / "0").iterdir():
            path.rename(folder / path.name)
        shutil.rmtree(folder / "sparse")
    assert not any("models" in note for note in load_folder(tmp_path / "one").notes)


def test_the_command_that_inspect_ends_with_reads_the_same(tmp_path):
    from tests.cli.test_inspect import inspect

    folder = write_nerfstudio(tmp_path / "my scene")
    status, out, _ = inspect(folder, "--format=nerfstudio", "--max_size=6", "--holdout=3")
    assert status == 0
    command = out.strip().splitlines()[-1]
    assert f"'--scene={folder}'" in command
    for given in ("--format=nerfstudio", "--max_size=6", "--holdout=3"):
        assert given in command


def test_one_half_transparent_pixel_does_not_make_a_scene_transparent(tmp_path):
    folder = write_nerfstudio(tmp_path)
    for i in range(6):
        pixels = np.full((400, 600, 4), 255, np.uint8)
        pixels[0, 0, 3] = 250 if i == 0 else 255
        Image.fromarray(pixels).save(folder / "images" / f"view_{i}.png")
    assert load_folder(folder).scene.images.alpha_of(0) is None


def test_names_are_not_only_text(tmp_path):
    """A name that is not UTF-8 in COLMAP's list is the name of the file with the same bytes."""
    folder = convert(write_nerfstudio(tmp_path / "a"), "colmap", tmp_path / "b")
    path = folder / "sparse" / "0" / "images.bin"
    path.write_bytes(path.read_bytes().replace(b"view_0", b"view_\xff"))
    (folder / "images" / "view_0.png").rename(folder / "images" / "view_\udcff.png")
    assert load_folder(folder).scene.image_names[-1] == "view_\\udcff"  # that can be printed
    again = convert(folder, "colmap", tmp_path / "c")
    assert b"view_\xff" in (again / "sparse" / "0" / "images.bin").read_bytes()
    assert load_folder(again).scene.num_views == 6
