"""Laws of the LLFF loader, and the sentence that each broken folder earns."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from nerf.cameras import ndc_rays, pinhole_rays
from nerf.errors import UserError
from nerf.scenes import llff
from nerf.scenes.formats import Reading, load_folder
from nerf.scenes.llff import build_scene
from nerf.scenes.normalize import Normalization, in_front, mean_pose

HEIGHT, WIDTH = 6, 8


def normalized(poses_bounds):
    capture = llff.from_poses_bounds(poses_bounds, Path(), [])
    return in_front(capture.camtoworlds, capture.bounds)[:3]


def load_llff(folder, factor=None):
    return load_folder(folder, Reading("llff", factor)).scene


def make_poses_bounds(num_views: int = 5, seed: int = 0) -> np.ndarray:
    """Forward-facing views with small rotations, in LLFF's axes and units."""
    rng = np.random.default_rng(seed)
    rotations = Rotation.from_rotvec(rng.normal(0.0, 0.1, (num_views, 3))).as_matrix()
    right, up, back = (rotations[:, :, i] for i in range(3))
    size = np.tile([3000.0, 4000.0, 3500.0], (num_views, 1))
    columns = [-up, right, back, rng.normal(0.0, 2.0, (num_views, 3)), size]
    near = rng.uniform(20.0, 30.0, num_views)
    matrices = np.stack(columns, axis=-1).reshape(num_views, 15)
    return np.concatenate([matrices, near[:, None], 5 * near[:, None]], axis=1)


def write_scene(
    folder: Path, names: list[str], poses_bounds: np.ndarray, images: str = "images_32"
) -> Path:
    (folder / images).mkdir(parents=True)
    for i, name in enumerate(names):
        pixels = np.full((HEIGHT, WIDTH, 3), 10 * i, np.uint8)
        Image.fromarray(pixels).save(folder / images / name)
    np.save(folder / "poses_bounds.npy", poses_bounds)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = [f"image{i:03d}.png" for i in range(5)]
    return write_scene(tmp_path / "garden", names, make_poses_bounds())


def refusal(folder: Path, factor: int | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_llff(folder, factor=factor)
    message = str(caught.value)
    assert "\n" not in message
    return message


def change_poses(folder: Path, change: Callable[[np.ndarray], None]) -> None:
    poses_bounds = make_poses_bounds()
    change(poses_bounds)
    np.save(folder / "poses_bounds.npy", poses_bounds)


# Poses.


def test_a_camera_at_the_mean_becomes_the_identity() -> None:
    poses_bounds = make_poses_bounds(num_views=1)
    poses, bounds, _ = normalized(poses_bounds)
    np.testing.assert_allclose(poses[0], np.eye(3, 4), atol=1e-12)
    np.testing.assert_allclose(bounds.min(), 4 / 3)


def test_the_mean_of_recentred_poses_is_the_identity_and_they_stay_rigid() -> None:
    poses, _, _ = normalized(make_poses_bounds())
    np.testing.assert_allclose(mean_pose(poses), np.eye(3, 4), atol=1e-12)
    rotations = poses[:, :, :3]
    expected = np.tile(np.eye(3), (5, 1, 1))
    np.testing.assert_allclose(rotations.swapaxes(1, 2) @ rotations, expected, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0)


def test_distances_between_cameras_scale_by_unit_scale() -> None:
    poses_bounds = make_poses_bounds()
    scene = build_scene(
        np.zeros((5, HEIGHT, WIDTH, 3), np.uint8), poses_bounds, name="a", source="procedural",
        origin="here",
    )  # fmt: skip
    before = poses_bounds[:, :15].reshape(5, 3, 5)[:, :, 3]
    after = scene.cameras.camtoworlds[:, :, 3]
    np.testing.assert_allclose(
        np.linalg.norm(after[1:] - after[:-1], axis=-1),
        scene.unit_scale * np.linalg.norm(before[1:] - before[:-1], axis=-1),
        rtol=1e-5,
    )
    np.testing.assert_allclose(scene.bounds, scene.unit_scale * poses_bounds[:, 15:], rtol=1e-6)
    assert scene.cameras.camtoworlds.dtype == scene.bounds.dtype == np.float32
    assert scene.source == "procedural"
    assert scene.space == "ndc"


def test_columns_turn_from_down_right_back_to_right_up_back() -> None:
    """The first camera's right, seen from the second, is the same before and after."""
    matrices = make_poses_bounds()[:, :15].reshape(5, 3, 5)
    down, right, back = (matrices[:, :, i] for i in range(3))
    poses, _, _ = normalized(make_poses_bounds())
    for column, axis in enumerate((right, -down, back)):
        for other, other_axis in enumerate((right, -down, back)):
            np.testing.assert_allclose(
                poses[0, :, column] @ poses[1, :, other], axis[0] @ other_axis[1], atol=1e-12
            )


def test_the_focal_length_follows_the_width_alone() -> None:
    for height, width in ((94, 126), (50, 126), (94, 252)):
        scene = build_scene(
            np.zeros((5, height, width, 3), np.uint8), make_poses_bounds(), name="a",
            source="procedural", origin="here",
        )  # fmt: skip
        assert scene.cameras.focal == pytest.approx(3500 * width / 4000)
        assert (scene.cameras.height, scene.cameras.width) == (height, width)


# Pictures.


def test_images_are_sorted_by_name_whatever_their_ending(tmp_path: Path) -> None:
    names = ["e.PNG", "b.jpg", "d.JPEG", "a.png", "c.Jpg"]
    scene = load_llff(write_scene(tmp_path / "s", names, make_poses_bounds()))
    assert scene.image_names == ("a", "b", "c", "d", "e")
    expected = np.array([30, 10, 40, 20, 0]) / 255
    np.testing.assert_allclose(scene.images[:, 0, 0, 0], expected, atol=2 / 255)
    assert scene.images.shape == (5, HEIGHT, WIDTH, 3)
    assert scene.images.dtype == np.float32
    assert (scene.name, scene.source) == ("s", "photographs")


def test_hidden_files_and_other_files_are_ignored(folder: Path) -> None:
    for name in (".hidden.png", "._image000.png", "Thumbs.db", "notes.txt"):
        (folder / "images_32" / name).write_bytes(b"not a picture")
    assert load_llff(folder).num_views == 5


@pytest.mark.parametrize(
    ("mode", "pixel", "expected"),
    [
        ("L", 51, (0.2, 0.2, 0.2)),
        ("LA", (51, 255), (0.2, 0.2, 0.2)),
        ("RGB", (255, 51, 0), (1.0, 0.2, 0.0)),
        ("RGBA", (255, 51, 0, 0), (1.0, 1.0, 1.0)),
        ("RGBA", (255, 51, 0, 51), (1.0, 0.84, 0.8)),
        ("I;16", 13107, (0.2, 0.2, 0.2)),
        ("1", 1, (1.0, 1.0, 1.0)),
    ],
)
def test_every_kind_of_pixel_becomes_rgb_in_0_1(
    folder: Path, mode: str, pixel: object, expected: tuple[float, ...]
) -> None:
    Image.new(mode, (WIDTH, HEIGHT), pixel).save(folder / "images_32" / "image002.png")
    scene = load_llff(folder)
    np.testing.assert_allclose(
        scene.images[2], np.broadcast_to(expected, (HEIGHT, WIDTH, 3)), atol=1e-6
    )


def test_factor_none_reads_the_smallest_pictures_there_are(folder: Path) -> None:
    several_sizes(folder)
    (folder / "images_64").mkdir()  # empty: holds nothing to read
    assert load_llff(folder).origin.endswith("images_32")
    assert "images_32; there is images, images_4" in load_folder(folder).notes[0]
    assert load_llff(folder, factor=4).origin.endswith("images_4")
    assert load_llff(folder, factor=1).origin.endswith("images")


def several_sizes(folder: Path) -> None:
    """Pictures of 256 x 192 and smaller copies, and what only looks like a folder of copies."""
    poses_bounds = make_poses_bounds()
    poses_bounds[:, [4, 9]] = 32 * HEIGHT, 32 * WIDTH
    np.save(folder / "poses_bounds.npy", poses_bounds)
    for images, scale in (("images", 32), ("images_4", 8), ("images_8x", 4)):
        (folder / images).mkdir()
        for i in range(5):
            picture = Image.new("RGB", (WIDTH * scale, HEIGHT * scale), (10 * i,) * 3)
            picture.save(folder / images / f"{i}.png")


def test_a_factor_without_a_folder_scales_larger_pictures(folder: Path) -> None:
    several_sizes(folder)
    scene = load_llff(folder, factor=16)
    assert scene.origin.endswith("images_4")
    assert scene.images.shape == (5, 2 * HEIGHT, 2 * WIDTH, 3)
    np.testing.assert_allclose(scene.images[3], 30 / 255, atol=1e-4)
    assert scene.cameras.focal == pytest.approx(load_llff(folder, factor=1).cameras.focal / 16)


def test_a_factor_of_smaller_pictures_alone_is_refused(folder: Path) -> None:
    (folder / "images_64").mkdir()
    message = refusal(folder, factor=16)
    assert "images_16" in message
    assert "images_32, images_64" in message


def test_copies_that_are_not_so_many_times_smaller_give_way_to_the_originals(folder: Path) -> None:
    several_sizes(folder)
    for i in range(5):
        Image.new("RGB", (100, 75)).save(folder / "images_4" / f"{i}.png")
    loaded = load_folder(folder, Reading("llff", 4))
    assert loaded.scene.images.shape == (5, 8 * HEIGHT, 8 * WIDTH, 3)
    assert any("another size" in note for note in loaded.notes)


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
    assert "no pictures" in refusal(folder)
    assert "no pictures" in refusal(folder, factor=32)


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


@pytest.mark.parametrize("kept", [0, 5, 100, 500])
def test_truncated_poses(folder: Path, kept: int) -> None:
    path = folder / "poses_bounds.npy"
    path.write_bytes(path.read_bytes()[:kept])
    assert "cannot read" in refusal(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("column", [0, 3, 14, 16])
def test_views_that_are_not_finite_are_named(folder: Path, value: float, column: int) -> None:
    change_poses(folder, lambda p: p.__setitem__(([1, 3], column), value))
    assert "views 1 (image001), 3 (image003) hold NaN or infinity" in refusal(folder)


@pytest.mark.parametrize("bounds", [(0, 9), (-1, 9), (9, 8), (9, 9)])
def test_bad_bounds_are_named(folder: Path, bounds: tuple[int, int]) -> None:
    change_poses(folder, lambda p: p.__setitem__((2, slice(15, 17)), bounds))
    assert "view 2 (image002) has bounds" in refusal(folder)


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [(14, 0.0, "not positive"), (14, 99.0, "differ"), (0, 0.0, "perpendicular")],
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
    assert load_llff(folder).space == "contracted"
    with pytest.raises(UserError, match="not a forward-facing scene"):
        load_folder(folder, Reading(normalization=Normalization("ndc")))


# Pictures and poses that do not match.


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
    assert "the names do not tell" in message
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


def test_two_pictures_of_one_name(folder: Path) -> None:
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "images_32" / "image002.jpg")
    assert "more than one picture called image002" in refusal(folder)


# Broken pictures.


def test_different_sizes_name_one_of_each(folder: Path) -> None:
    Image.new("RGB", (WIDTH + 1, HEIGHT)).save(folder / "images_32" / "image003.png")
    message = refusal(folder)
    assert "4 of 8 x 6, 1 of 9 x 6" in message
    assert "image003.png" in message


@pytest.mark.parametrize("name", ["image003.png", "image003.jpg"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
def test_truncated_pictures_are_named(folder: Path, name: str, share: float) -> None:
    remove(folder / "images_32", "image003.png")
    path = folder / "images_32" / name
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert name in refusal(folder)


def test_corrupt_pictures_are_named(folder: Path) -> None:
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
@pytest.mark.parametrize("side", [9_000, 11_000, 60_000])
def test_huge_pictures_are_refused_before_they_are_read(folder: Path, side: int) -> None:
    (folder / "images_32" / "image001.png").write_bytes(png_header(side, side))
    message = refusal(folder)
    assert "image001.png" in message
    assert "pixels" in message


# Goldens.


def photographs() -> Path:
    data_dir = os.environ.get("NERF_DATA_DIR")
    if not data_dir or not (Path(data_dir) / "flower").is_dir():
        pytest.skip("NERF_DATA_DIR is unset or has no flower: the photographs are not shipped")
    return Path(data_dir) / "flower"


def golden(name: str) -> dict[str, np.ndarray]:
    folder = os.environ.get("NERF_GOLDEN_DIR")
    golden_dir = Path(folder) if folder else (photographs().parent / "../../golden").resolve()
    path = golden_dir / "flower" / name
    if not path.is_file():
        pytest.skip(f"no golden file {name}: set NERF_GOLDEN_DIR")
    return dict(np.load(path))


def test_flower_agrees_with_the_published_loader() -> None:
    scene, expected = load_llff(photographs()), golden("poses.npz")
    np.testing.assert_allclose(scene.cameras.camtoworlds, expected["poses"], atol=1e-4)
    np.testing.assert_allclose(scene.bounds, expected["bounds"], atol=1e-4)
    camera = scene.cameras
    hwf = [camera.height, camera.width, camera.focal]
    np.testing.assert_allclose(hwf, expected["hwf"], rtol=1e-6)
    assert scene.images.shape == (34, 94, 126, 3)


def test_flower_rays_agree_with_the_published_ones() -> None:
    cameras, expected = load_llff(photographs()).cameras, golden("rays_view_000.npz")
    rows, columns = jnp.meshgrid(jnp.arange(94), jnp.arange(126), indexing="ij")
    matrices = jnp.broadcast_to(cameras.camtoworlds[0], (94, 126, 3, 4))
    camera = {"focal": cameras.focal, "height": 94, "width": 126}
    origins, directions = pinhole_rays(columns, rows, matrices, **camera)
    ndc_origins, ndc_directions = ndc_rays(origins, directions, **camera)
    found = {
        "origins": origins,
        "directions": directions,
        "ndc_origins": ndc_origins,
        "ndc_directions": ndc_directions,
    }
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-4, err_msg=name)
