"""A scene of images and LLFF poses in memory, such as those of the bundled scenes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nerf.captures.capture import InvalidCapture
from nerf.captures.checks.cameras import check_cameras
from nerf.captures.readers import llff
from nerf.errors import UserError
from nerf.scenes.image_store import ImageStore
from nerf.scenes.normalize import make_scene
from nerf.scenes.scene import Scene, Source


def build_scene(
    images: npt.NDArray[np.uint8] | npt.NDArray[np.float32],
    poses_bounds: npt.ArrayLike,
    *,
    name: str,
    source: Source,
    origin: str,
    image_names: Sequence[str] | None = None,
    transparent: bool = False,
) -> Scene:
    """Makes a scene of images and their LLFF poses, without reading files.

    Args:
      images: `[num_views, height, width, 3]`, uint8, or float in [0, 1], which is rounded to 8
        bits; with alpha `[num_views, height, width, 4]`, shown over white.
      poses_bounds: `[num_views, 17]`, see `nerf.captures.readers.llff`.
      name: the name of the scene.
      source: "photographs" or "procedural".
      origin: where it was found; error messages begin with it.
      image_names: one for each view; None numbers them.
      transparent: whether alpha is the opacity of the scene.

    Raises:
      UserError: if the poses are not finite or their bounds are not 0 < near < far, or if the
        numbers of images and poses differ.
    """
    poses_bounds = np.asarray(poses_bounds, np.float64)
    num_views, _, _, _ = images.shape
    if poses_bounds.shape != (num_views, 17):
        raise UserError(
            f"{origin}: {num_views} images need poses of shape ({num_views}, 17), "
            f"not {poses_bounds.shape}"
        )
    names = tuple(image_names or (f"view_{i:03d}" for i in range(num_views)))
    llff.check_values(poses_bounds, names, origin)
    capture = llff.from_poses_bounds(poses_bounds, Path(), [Path(f"{name}.png") for name in names])
    problems = check_cameras(capture, llff.FORMAT.lens_advice)
    if problems:
        raise InvalidCapture([f"{origin}: {problem}" for problem in problems])
    return make_scene(
        capture,
        ImageStore.of(images, transparent=transparent),
        name=name,
        source=source,
        origin=origin,
    )
