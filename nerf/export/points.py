"""A cloud of coloured surface points with normals, from depth maps."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nerf.export.depth_views import DepthView, Floats, directions, normals, surface_points

_MIN_COSINE = 0.1  # a surface seen at less has no certain depth


class PointCloud(NamedTuple):
    """Points on surfaces.

    Attributes:
      points: `[num_points, 3]`.
      normals: `[num_points, 3]`, unit, towards the camera that saw the point.
      rgb: `[num_points, 3]`, sRGB in [0, 1].
    """

    points: Floats
    normals: Floats
    rgb: Floats


def point_cloud(views: Sequence[DepthView], num_points: int, seed: int = 0) -> PointCloud:
    """Points of all views, evenly chosen.

    Args:
      views: what is seen.
      num_points: at most that many.
      seed: of the choice; the same seed gives the same points.
    """
    share = _share(views, num_points)
    rng = np.random.default_rng(seed)
    parts = []
    for view in views:
        at, normal, rays = surface_points(view), normals(view), directions(view)
        cosine = -np.sum(normal * rays, axis=-1) / np.linalg.norm(rays, axis=-1)
        with np.errstate(invalid="ignore"):
            is_good = np.isfinite(at).all(axis=-1) & (cosine > _MIN_COSINE)
        chosen = np.flatnonzero(is_good & (rng.random(is_good.shape) < share))
        parts.append([x.reshape(-1, 3)[chosen] for x in (at, normal, view.rgb)])
    joined = [np.concatenate(part).astype(np.float32) for part in zip(*parts, strict=True)]
    kept = np.sort(rng.permutation(len(joined[0]))[:num_points])
    return PointCloud(*(part[kept] for part in joined))


def _share(views: Sequence[DepthView], num_points: int) -> float:
    """The share of the surface's pixels that is enough for `num_points`."""
    num_pixels = sum(int(np.isfinite(view.depth).sum()) for view in views)
    return min(1.0, 1.2 * num_points / max(num_pixels, 1))
