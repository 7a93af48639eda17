"""A cloud of coloured surface points with normals, from depth maps."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

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
      num_points: the number of points, or all if there are fewer.
      seed: of the choice; the same seed gives the same points.
    """
    counts = [int(np.count_nonzero(_is_certain(view, normals(view)))) for view in views]
    ends = np.cumsum(counts)
    chosen = np.sort(np.random.default_rng(seed).permutation(sum(counts))[:num_points])
    parts = []
    for view, count, end in zip(views, counts, ends, strict=True):
        normal = normals(view)
        own = chosen[(chosen >= end - count) & (chosen < end)] - (end - count)
        pixels = np.flatnonzero(_is_certain(view, normal))[own]
        parts.append([x.reshape(-1, 3)[pixels] for x in (surface_points(view), normal, view.rgb)])
    return PointCloud(
        *(np.concatenate(part).astype(np.float32) for part in zip(*parts, strict=True))
    )


def _is_certain(view: DepthView, normal: Floats) -> npt.NDArray[np.bool_]:
    """`[height, width]`, whether a view sees a surface at an angle that is not too grazing."""
    rays = directions(view)
    cosine = -np.sum(normal * rays, axis=-1) / np.linalg.norm(rays, axis=-1)
    with np.errstate(invalid="ignore"):
        certain: npt.NDArray[np.bool_] = np.isfinite(view.depth) & (cosine > _MIN_COSINE)
    return certain
