"""Laws of the LLFF loader: poses, images, and the published loader's results."""

import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from nerf.captures.readers import llff
from nerf.geometry.cameras import pinhole_rays
from nerf.geometry.ndc import ndc_rays
from nerf.geometry.poses import mean_pose
from nerf.scenes.llff_arrays import build_scene
from nerf.scenes.loading import load_folder
from nerf.scenes.normalize import forward_facing_poses
from nerf.scenes.options import CaptureOptions
from tests.support.llff_folder import (
    HEIGHT,
    WIDTH,
    load_llff,
    make_poses_bounds,
    refusal,
    write_garden,
    write_scene,
)


def normalized(poses_bounds):
    capture = llff.from_poses_bounds(poses_bounds, Path(), [])
    return forward_facing_poses(capture.camtoworlds, capture.bounds)[:3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_garden(tmp_path)


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
    np.testing.assert_allclose(
        scene.cameras.bounds, scene.unit_scale * poses_bounds[:, 15:], rtol=1e-6
    )
    assert scene.cameras.camtoworlds.dtype == scene.cameras.bounds.dtype == np.float32
    assert scene.source == "procedural"
    assert scene.space.name == "ndc"


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


# Images.


def test_images_are_sorted_by_name_whatever_their_ending(tmp_path: Path) -> None:
    names = ["e.PNG", "b.jpg", "d.JPEG", "a.png", "c.Jpg"]
    scene = load_llff(write_scene(tmp_path / "s", names, make_poses_bounds()))
    assert scene.image_names == ("a", "b", "c", "d", "e")
    expected = np.array([30, 10, 40, 20, 0]) / 255
    np.testing.assert_allclose(scene.images.stack()[:, 0, 0, 0], expected, atol=2 / 255)
    assert scene.images.stack().shape == (5, HEIGHT, WIDTH, 3)
    assert scene.images.stack().dtype == np.float32
    assert (scene.name, scene.source) == ("s", "photographs")


def test_hidden_files_and_other_files_are_ignored(folder: Path) -> None:
    for name in (".hidden.png", "._image000.png", "Thumbs.db", "notes.txt"):
        (folder / "images_32" / name).write_bytes(b"not an image")
    assert load_llff(folder).num_views == 5


@pytest.mark.parametrize(
    ("mode", "pixel", "expected"),
    [
        ("L", 51, (0.2, 0.2, 0.2)),
        ("LA", (51, 255), (0.2, 0.2, 0.2)),
        ("RGB", (255, 51, 0), (1.0, 0.2, 0.0)),
        ("RGBA", (255, 51, 0, 0), (1.0, 0.2, 0.0)),  # of one image alone: left out, no object
        ("RGBA", (255, 51, 0, 51), (1.0, 0.2, 0.0)),
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


def test_factor_none_reads_the_smallest_images_there_are(folder: Path) -> None:
    several_sizes(folder)
    (folder / "images_64").mkdir()  # empty: holds nothing to read
    assert load_llff(folder).origin.endswith("images_32")
    assert (
        "images_32; `factor` chooses another folder: images, images_4"
        in load_folder(folder).notes[0]
    )
    assert load_llff(folder, factor=4).origin.endswith("images_4")
    assert load_llff(folder, factor=1).origin.endswith("images")


def several_sizes(folder: Path) -> None:
    """Images of 256 x 192 and smaller copies, and what only looks like a folder of copies."""
    poses_bounds = make_poses_bounds()
    poses_bounds[:, [4, 9]] = 32 * HEIGHT, 32 * WIDTH
    np.save(folder / "poses_bounds.npy", poses_bounds)
    for images, scale in (("images", 32), ("images_4", 8), ("images_8x", 4)):
        (folder / images).mkdir()
        for i in range(5):
            image = Image.new("RGB", (WIDTH * scale, HEIGHT * scale), (10 * i,) * 3)
            image.save(folder / images / f"{i}.png")


def test_a_factor_without_a_folder_scales_larger_images(folder: Path) -> None:
    several_sizes(folder)
    scene = load_llff(folder, factor=16)
    assert scene.origin.endswith("images_4")
    assert scene.images.stack().shape == (5, 2 * HEIGHT, 2 * WIDTH, 3)
    np.testing.assert_allclose(scene.images[3], 30 / 255, atol=1e-4)
    assert scene.cameras.focal == pytest.approx(load_llff(folder, factor=1).cameras.focal / 16)


def test_a_factor_of_smaller_images_alone_is_refused(folder: Path) -> None:
    (folder / "images_64").mkdir()
    message = refusal(folder, factor=16)
    assert "images_16" in message
    assert "images_32, images_64" in message


def test_copies_that_are_not_so_many_times_smaller_give_way_to_the_originals(folder: Path) -> None:
    several_sizes(folder)
    for i in range(5):
        Image.new("RGB", (100, 75)).save(folder / "images_4" / f"{i}.png")
    loaded = load_folder(folder, CaptureOptions("llff", 4))
    assert loaded.scene.images.stack().shape == (5, 8 * HEIGHT, 8 * WIDTH, 3)
    assert any("another size" in note for note in loaded.notes)


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
    np.testing.assert_allclose(scene.cameras.bounds, expected["bounds"], atol=1e-4)
    camera = scene.cameras
    hwf = [camera.height, camera.width, camera.focal[0]]
    np.testing.assert_allclose(hwf, expected["hwf"], rtol=1e-6)
    assert scene.images.stack().shape == (34, 94, 126, 3)


def test_flower_rays_agree_with_the_published_ones() -> None:
    scene, expected = load_llff(photographs()), golden("rays_view_000.npz")
    rows, columns = jnp.meshgrid(jnp.arange(94), jnp.arange(126), indexing="ij")
    camera = scene.cameras[0].broadcast_to((94, 126))
    origins, directions = pinhole_rays(columns, rows, camera)
    ndc_origins, ndc_directions = ndc_rays(origins, directions, scene.space.scale)
    found = {
        "origins": origins,
        "directions": directions,
        "ndc_origins": ndc_origins,
        "ndc_directions": ndc_directions,
    }
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-4, err_msg=name)
