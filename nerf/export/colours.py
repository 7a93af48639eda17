"""The colours of surface points: the mean over the views that see them."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nerf.export.depth_views import DepthView, Floats
from nerf.export.fusion import cosines

_POINTS_PER_CALL = 2**16
_HIDDEN = 1e-6  # the weight of a view that does not see a point, for points that none sees


class _ViewArrays(NamedTuple):
    camtoworld: jax.Array
    focal: jax.Array
    centre: jax.Array
    depth: jax.Array
    rgb: jax.Array
    cosine: jax.Array


def surface_colours(points: Floats, views: Sequence[DepthView], tolerance: float) -> Floats:
    """Colours of points on a surface.

    A view that sees a point from the front and from near counts most.

    Args:
      points: `[num_points, 3]`, scene units.
      views: what they are seen in.
      tolerance: in scene units, how far from a view's surface a point may be that it shows.

    Returns:
      `[num_points, 3]`, sRGB in [0, 1]; grey where no view shows the point.
    """
    total, weights = np.zeros((len(points), 3)), np.zeros((len(points), 1))
    for view in views:
        whole = _ViewArrays(*(jnp.asarray(part) for part in (*view, cosines(view))))
        for start in range(0, len(points), _POINTS_PER_CALL):
            some = points[start : start + _POINTS_PER_CALL].astype(np.float32)
            padded = np.pad(some, ((0, _POINTS_PER_CALL - len(some)), (0, 0)))
            rgb, weight = (
                np.asarray(x)[: len(some)] for x in _view_colours(padded, whole, tolerance)
            )
            total[start : start + len(some)] += weight[:, None] * rgb
            weights[start : start + len(some)] += weight[:, None]
    grey = np.where(weights > 0, 0.0, 0.5)
    return (total / np.where(weights > 0, weights, 1.0) + grey).astype(np.float32)


@jax.jit
def _view_colours(
    points: jax.Array, view: _ViewArrays, tolerance: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """What a view shows at points: colours `[num_points, 3]` and their weights `[num_points]`."""
    local = (points - view.camtoworld[None, :, 3]) @ view.camtoworld[:, :3]
    depth = -local[:, 2]
    safe = jnp.where(depth > 1e-6, depth, 1.0)
    column = view.focal[0] * local[:, 0] / safe + view.centre[0]
    row = -view.focal[1] * local[:, 1] / safe + view.centre[1]
    height, width = view.depth.shape
    i, j = jnp.round(row).astype(jnp.int32), jnp.round(column).astype(jnp.int32)
    is_inside = (depth > 1e-6) & (i >= 0) & (i < height) & (j >= 0) & (j < width)
    i, j = jnp.clip(i, 0, height - 1), jnp.clip(j, 0, width - 1)
    error = (view.depth[i, j] - depth) / tolerance
    is_seen = is_inside & jnp.isfinite(error)
    nearness = jnp.exp(-jnp.square(jnp.where(is_seen, error, 0.0))) + _HIDDEN
    cosine = jnp.where(jnp.isnan(view.cosine[i, j]), _HIDDEN, view.cosine[i, j])
    weight = jnp.where(is_seen, nearness * cosine / jnp.square(safe), 0.0)
    top = jnp.clip(jnp.floor(row).astype(jnp.int32), 0, height - 2)
    left = jnp.clip(jnp.floor(column).astype(jnp.int32), 0, width - 2)
    down = jnp.clip(row - top.astype(jnp.float32), 0.0, 1.0)[:, None]
    right = jnp.clip(column - left.astype(jnp.float32), 0.0, 1.0)[:, None]
    rgb = (1 - down) * ((1 - right) * view.rgb[top, left] + right * view.rgb[top, left + 1])
    rgb += down * ((1 - right) * view.rgb[top + 1, left] + right * view.rgb[top + 1, left + 1])
    return rgb, weight
