"""Poses of a forward-facing capture in the scene units of NDC, and whether NDC is possible."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nerf.captures.capture import Array
from nerf.geometry.lenses import Lens, slopes
from nerf.geometry.ndc import NDC, NEAR_PLANE
from nerf.geometry.poses import look_at, mean_pose, similarity, transform_poses
from nerf.geometry.upright import quarter_turns

Sizes = npt.NDArray[np.int64]  # [num_views, 2], width and height of the images in pixels

NEAREST_DEPTH = 1.0 / 0.75  # of the nearest bound in NDC, so that everything is beyond z = -1
_MIN_FORWARD = 0.1  # the least component along -z of a ray that is warped into NDC


class NormalizedPoses(NamedTuple):
    """Poses and bounds in scene units.

    Attributes:
      camtoworlds: `[num_views, 3, 4]`.
      bounds: `[num_views, 2]`, near and far.
      capture_to_scene: `[4, 4]`, the transform from the files' coordinates to scene units.
    """

    camtoworlds: Array
    bounds: Array
    capture_to_scene: Array


def forward_facing_poses(
    camtoworlds: Array, bounds: Array, up: Array | None = None
) -> NormalizedPoses:
    """Poses and bounds of a forward-facing rig, whose mean pose becomes the identity.

        scale = 1 / (0.75 min near);   pose_i <- inverse(mean pose) pose_i

    Args:
      camtoworlds: `[num_views, 3, 4]`.
      bounds: `[num_views, 2]`, in the files' unit.
      up: `[3]`, which way is up. Where the cameras lie on their side, the mean pose is upright.

    Source: bmild/nerf `load_llff.py`.
    """
    scale = NEAREST_DEPTH / float(bounds.min())
    mean = mean_pose(camtoworlds)
    if up is not None and quarter_turns(mean, up):
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = look_at(camtoworlds[:, :, 2].sum(0), up, mean[:, 3])
    transform = similarity(mean[:, :3].T, scale, mean[:, 3])
    return NormalizedPoses(transform_poses(transform, camtoworlds), bounds * scale, transform)


def ndc_of_views(lens: Lens, sizes: Sizes) -> NDC:
    """The space in which the views reach from -1 to 1; of views of several sizes, the widest."""
    if (sizes == sizes[:1]).all():
        width, height = sizes[0].tolist()
        return NDC.of_views(focal=float(np.mean(lens.focal)), height=height, width=width)
    x, y = (2.0 * np.asarray(lens.focal) / sizes).min(axis=0).tolist()
    return NDC((x, y))


def reason_against_ndc(normalized: NormalizedPoses, lens: Lens, sizes: Sizes) -> str:
    """Why the warp into NDC is not possible; empty if it is possible."""
    if lens.panorama is not None:
        return "panoramas show all directions"
    poses = normalized.camtoworlds
    if not np.isfinite(poses).all():
        return "the viewing directions cancel out"
    x, y = np.moveaxis(_border_slopes(lens, sizes), -1, 0)
    local = np.stack([x, -y, -np.ones_like(x)], axis=-1)
    directions = np.einsum("vij,vcj->vci", poses[:, :, :3], local)
    directions = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    if (directions[..., 2] > -_MIN_FORWARD).any():
        return "not a forward-facing scene, some rays point away from the mean viewing direction"
    if (poses[:, 2, 3] <= -NEAR_PLANE).any():
        return "some cameras are beyond the nearest bound of others"
    return ""


def _border_slopes(lens: Lens, sizes: Sizes) -> Array:
    """Slopes `[num_views, num_pixels, 2]` of a grid of pixels of each view, with its corners."""
    ticks = np.linspace(0, 1, 5)
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(1, -1, 2)
    pixels = grid * (sizes[:, None] - 1)
    if not (np.any(lens.distortion) or np.any(lens.fisheye)):
        focal, centre = np.asarray(lens.focal)[:, None], np.asarray(lens.centre)[:, None]
        return np.asarray((pixels - centre) / focal)
    shape = pixels.shape[:2]
    each = jax.tree.map(
        lambda x: jnp.broadcast_to(jnp.asarray(x)[:, None], (*shape, *x.shape[1:])), lens
    )
    columns, rows = (jnp.asarray(pixels[..., axis]) for axis in (0, 1))
    return np.asarray(jax.jit(slopes)(columns, rows, each), np.float64)
