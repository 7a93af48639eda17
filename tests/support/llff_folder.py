"""Small folders in LLFF form, complete or broken, and the message that a broken one gives."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from nerf.errors import UserError
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions

HEIGHT, WIDTH = 6, 8


def load_llff(folder, factor=None):
    return load_folder(folder, CaptureOptions("llff", factor)).scene


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


def write_garden(tmp_path: Path) -> Path:
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
