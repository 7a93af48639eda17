"""Every broken LLFF folder gives one sentence."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nerf.errors import UserError
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tests.support.llff_folder import (
    HEIGHT,
    WIDTH,
    change_poses,
    load_llff,
    make_poses_bounds,
    refusal,
    write_garden,
    write_scene,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_garden(tmp_path)


# What is missing.


def test_no_folder(tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in refusal(tmp_path / "nowhere")


def test_no_poses(folder: Path) -> None:
    (folder / "poses_bounds.npy").unlink()
    message = refusal(folder)
    assert "no poses_bounds.npy" in message
    assert str(folder) in message


def test_no_image_folder(tmp_path: Path) -> None:
    np.save(tmp_path / "poses_bounds.npy", make_poses_bounds())
    assert "no images or images_N folder" in refusal(tmp_path)


def test_no_images(folder: Path) -> None:
    for file in (folder / "images_32").iterdir():
        file.unlink()
    assert "no images (" in refusal(folder)
    assert "no images (" in refusal(folder, factor=32)


# The poses file.


@pytest.mark.parametrize("shape", [(17,), (5, 15), (0, 17), (5, 17, 1)])
def test_wrong_shapes_are_named(folder: Path, shape: tuple[int, ...]) -> None:
    np.save(folder / "poses_bounds.npy", np.zeros(shape))
    assert str(shape) in refusal(folder)


@pytest.mark.parametrize("dtype", ["U8", "c16", "?"])
def test_arrays_that_are_not_real_numbers_are_refused(folder: Path, dtype: str) -> None:
    np.save(folder / "poses_bounds.npy", np.zeros((5, 17), dtype))
    assert "real numbers" in refusal(folder)


class Trap:
    """Sets a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_pickled_arrays_are_refused_and_never_run(folder: Path, tmp_path: Path) -> None:
    poses_bounds = np.array([[Trap(tmp_path / "sprung")] * 17] * 5, dtype=object)
    np.save(folder / "poses_bounds.npy", poses_bounds, allow_pickle=True)
    assert "poses_bounds.npy" in refusal(folder)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("num_bytes", [0, 5, 100, 500])
def test_truncated_poses(folder: Path, num_bytes: int) -> None:
    path = folder / "poses_bounds.npy"
    path.write_bytes(path.read_bytes()[:num_bytes])
    assert "cannot read" in refusal(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("column", [0, 3, 14])
def test_views_that_are_not_finite_are_named(folder: Path, value: float, column: int) -> None:
    change_poses(folder, lambda p: p.__setitem__(([1, 3], column), value))
    assert "views 1 (image001), 3 (image003) contain NaN or infinity" in refusal(folder)


@pytest.mark.parametrize("bounds", [(0, 9), (-1, 9), (9, 8), (9, 9)])
def test_bad_bounds_are_named(folder: Path, bounds: tuple[int, int]) -> None:
    change_poses(folder, lambda p: p.__setitem__((2, slice(15, 17)), bounds))
    assert "view 2 (image002) has bounds" in refusal(folder)


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        (14, 0.0, "not positive"),
        (4, 1e-30, "less than 1 pixel"),
        (9, 1e30, "more than 2^31"),
        (14, 99.0, "differ"),
        (0, 0.0, "perpendicular"),
    ],
)
def test_impossible_cameras_are_named(folder: Path, column: int, value: float, fault: str) -> None:
    change_poses(folder, lambda p: p.__setitem__((4, column), value))
    message = refusal(folder)
    assert "view 4 (image004)" in message
    assert fault in message


def test_with_a_view_that_looks_back_there_is_no_ndc(folder: Path) -> None:
    def turn_round(poses_bounds: np.ndarray) -> None:
        poses_bounds[2, [1, 6, 11]] *= -1  # right
        poses_bounds[2, [2, 7, 12]] *= -1  # back

    change_poses(folder, turn_round)
    assert load_llff(folder).space.name == "contracted"
    with pytest.raises(UserError, match="not a forward-facing scene"):
        load_folder(folder, CaptureOptions(space="ndc"))


# Images and poses that do not match.


def remove(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).unlink()


def test_missing_images_are_named_by_the_gap_in_their_numbers(folder: Path) -> None:
    remove(folder / "images_32", "image001.png", "image003.png")
    message = refusal(folder)
    assert "3 images" in message
    assert "5 poses" in message
    assert "no image for views 1 (image001), 3 (image003)" in message


@pytest.mark.parametrize("index", [0, 4])
def test_a_missing_first_or_last_image_is_named(folder: Path, index: int) -> None:
    remove(folder / "images_32", f"image00{index}.png")
    assert f"no image for view {index} (image00{index})" in refusal(folder)


def test_numbers_may_begin_anywhere(tmp_path: Path) -> None:
    names = [f"DSC_{i:04d}.jpg" for i in (11, 12, 14, 15)]
    message = refusal(write_scene(tmp_path / "s", names, make_poses_bounds()))
    assert "no image for view 2 (DSC_0013)" in message


def test_missing_images_are_named_by_a_complete_folder(tmp_path: Path) -> None:
    names = [f"{stem}.png" for stem in ("ant", "bee", "cat", "dog", "elk")]
    folder = write_scene(tmp_path / "zoo", names, make_poses_bounds(), "images_8")
    write_scene(folder, names, make_poses_bounds(), "images")
    remove(folder / "images_8", "bee.png")
    message = refusal(folder)
    assert "4 images" in message
    assert "no image for view 1 (bee)" in message


def test_missing_images_without_a_clue_are_the_last(tmp_path: Path) -> None:
    names = [f"{stem}.png" for stem in ("ant", "cat", "elk")]
    message = refusal(write_scene(tmp_path / "zoo", names, make_poses_bounds()))
    assert "the names do not show" in message
    assert "views 3, 4 have no image" in message


def test_extra_images_are_named(folder: Path) -> None:
    for name in ("image005.png", "image006.png"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "images_32" / name)
    message = refusal(folder)
    assert "7 images" in message
    assert "no pose for image005, image006" in message


def test_extra_images_are_named_by_a_folder_that_agrees(folder: Path) -> None:
    write_scene(folder, [f"image{i:03d}.jpg" for i in range(5)], make_poses_bounds(), "images")
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "images_32" / "a_map.png")
    assert "no pose for a_map;" in refusal(folder)


def test_two_images_of_one_name(folder: Path) -> None:
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "images_32" / "image002.jpg")
    assert "more than one image called image002" in refusal(folder)


# Broken images.


def test_an_image_that_is_a_pixel_larger_is_read_as_it_is(folder: Path) -> None:
    Image.new("RGB", (WIDTH + 1, HEIGHT)).save(folder / "images_32" / "image003.png")
    widths = load_folder(folder).scene.images.widths
    assert widths.tolist() == [WIDTH, WIDTH, WIDTH, WIDTH + 1, WIDTH]


def test_each_camera_may_have_its_own_size_and_focal_length(folder: Path) -> None:
    whole = load_folder(folder).scene.cameras
    change_poses(folder, lambda p: p.__setitem__((4, [4, 9, 14]), p[4, [9, 4, 14]] * 1.5))
    file = folder / "images_32" / "image004.png"
    Image.new("RGB", (HEIGHT, WIDTH)).save(file)
    camera = load_folder(folder).scene.view(4).camera
    assert (camera.height, camera.width) == (WIDTH, HEIGHT)
    np.testing.assert_allclose(camera.lens.focal, [whole.focal[4]] * 2, rtol=1e-6)
    np.testing.assert_array_equal(camera.lens.centre, [HEIGHT / 2, WIDTH / 2])


@pytest.mark.parametrize("name", ["image003.png", "image003.jpg"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
def test_truncated_images_are_named(folder: Path, name: str, share: float) -> None:
    remove(folder / "images_32", "image003.png")
    path = folder / "images_32" / name
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert name in refusal(folder)


def test_corrupt_images_are_named(folder: Path) -> None:
    path = folder / "images_32" / "image003.png"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    assert "image003.png" in refusal(folder)


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [14_000, 60_000])
def test_huge_images_are_refused_before_they_are_read(folder: Path, side: int) -> None:
    (folder / "images_32" / "image001.png").write_bytes(png_header(side, side))
    message = refusal(folder)
    assert "image001.png" in message
    assert "pixels" in message


@pytest.mark.parametrize("near", [0.0, -0.4, np.nan])
def test_bounds_of_the_user_count_before_those_of_the_file(folder: Path, near: float) -> None:
    change_poses(folder, lambda p: p.__setitem__((slice(None), 15), near))
    assert "give `near` and `far`" in refusal(folder)
    given = CaptureOptions(near=1.0, far=9.0)
    assert (load_folder(folder, given).capture.bounds == [1.0, 9.0]).all()
