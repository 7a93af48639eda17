"""Fusion of depth maps into a signed distance, truncated, on a grid (TSDF).

    D(x) = sum_v w_v clip(s_v(x) / mu, -1, 1) / sum_v w_v

where s_v(x) is the distance of x from the surface that view v sees, more than 0 before it, and mu
the distance at which it is cut off. A view says nothing about what lies deeper than mu behind its
surface. The distance is that along the ray times the cosine between ray and normal, which is exact
for a plane; the weight of a view is the square of (that cosine / depth).

Only blocks of the grid that a surface passes are computed, so memory grows with the area of the
surface and not with the volume.

Source: Curless and Levoy 1996; Niessner et al. 2013 (voxel hashing) for the blocks.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nerf.export.depth_views import DepthView, Floats, normals, surface_points

BLOCK = 8  # grid points along each side of a block
_BLOCKS_PER_CALL = 128
_MIN_COSINE = 0.1  # a surface seen at less is not fused: its depth is uncertain
_FREE_COSINE = 0.3  # of rays that meet nothing: they would else move surfaces seen at a slant
_MAX_STEP = 0.02  # of the depth, between neighbours that are interpolated

Blocks = npt.NDArray[np.int32]  # [num_blocks, 3]


class Grid(NamedTuple):
    """Points at `low + cell * (i, j, k)`.

    Attributes:
      low: `[3]`, the first point.
      cell: the distance between neighbours.
      shape: the number of points along each axis.
    """

    low: Floats
    cell: float
    shape: tuple[int, int, int]


class FusedBlocks(NamedTuple):
    """Truncated distances in the blocks that a surface passes.

    Attributes:
      blocks: `[num_blocks, 3]`, which block of the grid; block (0, 0, 0) starts at point (0, 0, 0).
      distance: `[num_blocks, 8, 8, 8]`, in -1 to 1; NaN where no view sees it.
    """

    blocks: Blocks
    distance: Floats


class _Stacked(NamedTuple):
    """Views as arrays `[num_views, ...]`, padded to one size."""

    camtoworlds: jax.Array
    focal: jax.Array
    centre: jax.Array
    disparity: jax.Array  # 1 / depth; 0 for nothing, NaN for not known
    cosine: jax.Array  # between ray and normal; NaN for not known


def grid_around(points: Floats, cell: float, *, share: float = 0.002, margin: float = 4.0) -> Grid:
    """The grid around surface points.

    Args:
      points: `[num_points, 3]`.
      cell: the distance between grid points.
      share: of the points, left out at each end of each axis.
      margin: around the rest, in cells.
    """
    low, high = np.quantile(points, [share, 1.0 - share], axis=0)
    low, high = low - margin * cell, high + margin * cell
    nx, ny, nz = (int(n) for n in np.ceil((high - low) / cell).astype(int) + 1)
    return Grid(low.astype(np.float32), cell, (nx, ny, nz))


def fuse(
    views: Sequence[DepthView],
    grid: Grid,
    truncation: float,
    blocks: Blocks,
    *,
    on_blocks: Callable[[int], None] = lambda num_blocks: None,
) -> FusedBlocks:
    """Fuses the depth of views.

    Args:
      views: see `DepthView`.
      grid: where the distance is computed.
      truncation: mu above, in scene units.
      blocks: which blocks, see `surface_blocks`.
      on_blocks: receives the number of blocks that were added to what is done.
    """
    stacked = _stack(views)
    distance = np.full((len(blocks), BLOCK, BLOCK, BLOCK), np.nan, np.float32)
    for start in range(0, len(blocks), _BLOCKS_PER_CALL):
        some = blocks[start : start + _BLOCKS_PER_CALL]
        padded = np.pad(some, ((0, _BLOCKS_PER_CALL - len(some)), (0, 0)), mode="edge")
        found = _fuse_blocks(
            padded, grid.low, np.float32(grid.cell), np.float32(truncation), stacked
        )
        distance[start : start + len(some)] = np.asarray(found)[: len(some)]
        on_blocks(len(some))
    return FusedBlocks(blocks, distance)


def surface_blocks(views: Sequence[DepthView], grid: Grid) -> Blocks:
    """The blocks that hold a surface point of a view or lie next to one, sorted."""
    limit = -(-np.array(grid.shape) // BLOCK)
    found = np.zeros(0, np.int64)
    for view in views:
        points = surface_points(view).reshape(-1, 3)
        cells = (points[np.isfinite(points).all(axis=-1)] - grid.low) / grid.cell
        near = [_keys(cells + shift, limit) for shift in _CORNERS]
        found = np.unique(np.concatenate([found, *near]))
    return np.stack(np.unravel_index(found, limit), axis=-1).astype(np.int32)


_CORNERS = 1.5 * np.array(
    [[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32
)


def _keys(cells: Floats, limit: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """One number for each block that holds one of the points, which are in cells."""
    index = np.floor(cells / BLOCK).astype(np.int64)
    index = index[((index >= 0) & (index < limit)).all(axis=-1)]
    return np.unique(np.ravel_multi_index(tuple(index.T), tuple(limit)))


def _stack(views: Sequence[DepthView]) -> _Stacked:
    height, width = np.max([view.depth.shape for view in views], axis=0)

    def padded(values: Floats) -> Floats:
        rows, columns = height - values.shape[0], width - values.shape[1]
        return np.pad(values, ((0, rows), (0, columns)), constant_values=np.nan)

    poses, focal, centre = (np.stack([view[part] for view in views]) for part in range(3))
    disparity = np.stack([padded(1.0 / view.depth) for view in views])
    cosine = np.stack([padded(cosines(view)) for view in views])
    return _Stacked(*map(jnp.asarray, (poses, focal, centre, disparity, cosine)))


def cosines(view: DepthView) -> Floats:
    """`[height, width]`, between each ray and the normal of what it meets; NaN where unknown."""
    rays = surface_points(view) - view.camtoworld[:, 3]
    rays = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    cosine: Floats = np.abs(np.sum(rays * normals(view), axis=-1)).astype(np.float32)
    return cosine


@jax.jit
def _fuse_blocks(
    blocks: jax.Array, low: jax.Array, cell: jax.Array, truncation: jax.Array, views: _Stacked
) -> jax.Array:
    """Distances `[num_blocks, 8, 8, 8]`."""
    within = jnp.stack(jnp.meshgrid(*[jnp.arange(BLOCK)] * 3, indexing="ij"), axis=-1)
    index = BLOCK * blocks[:, None, None, None] + within[None]
    points = low[None] + cell * index.astype(jnp.float32).reshape(-1, 3)

    def add(
        sums: tuple[jax.Array, jax.Array], view: _Stacked
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        total, weights = sums
        value, weight = _view_contribution(points, view, truncation)
        return (total + weight * value, weights + weight), None

    zero = jnp.zeros(len(points))
    (total, weights), _ = jax.lax.scan(add, (zero, zero), views)
    mean = jnp.where(weights > 0, total / jnp.where(weights > 0, weights, 1.0), jnp.nan)
    return mean.reshape(len(blocks), BLOCK, BLOCK, BLOCK)


def _view_contribution(
    points: jax.Array, view: _Stacked, truncation: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Truncated distance and weight, each `[num_points]`, that one view gives to points."""
    local = (points - view.camtoworlds[None, :, 3]) @ view.camtoworlds[:, :3]
    depth = -local[:, 2]
    is_ahead = depth > 1e-6
    safe = jnp.where(is_ahead, depth, 1.0)
    column = view.focal[0] * local[:, 0] / safe + view.centre[0]
    row = -view.focal[1] * local[:, 1] / safe + view.centre[1]
    disparity, cosine = _look_up(view, column, row)
    surface_depth = jnp.where(
        disparity > 0, 1.0 / jnp.where(disparity > 0, disparity, 1.0), jnp.inf
    )
    per_depth = jnp.linalg.norm(local, axis=-1) / safe
    is_free = jnp.isinf(surface_depth)
    cosine = jnp.where(is_free, _FREE_COSINE, cosine)
    distance = jnp.where(is_free, truncation, (surface_depth - depth) * per_depth * cosine)
    is_reliable = (
        is_ahead & ~jnp.isnan(disparity) & (cosine > _MIN_COSINE) & (distance > -truncation)
    )
    weight = jnp.where(is_reliable, jnp.square(cosine / safe), 0.0)
    value = jnp.where(is_reliable, jnp.clip(distance / truncation, -1.0, 1.0), 0.0)
    return value, weight


def _look_up(view: _Stacked, column: jax.Array, row: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Disparity, interpolated within a surface, and cosine at pixels; NaN outside the image."""
    height, width = view.disparity.shape
    nearest = jnp.round(jnp.stack([row, column])).astype(jnp.int32)
    is_inside = (nearest[0] >= 0) & (nearest[0] < height) & (nearest[1] >= 0) & (nearest[1] < width)
    i, j = jnp.clip(nearest[0], 0, height - 1), jnp.clip(nearest[1], 0, width - 1)
    own, cosine = view.disparity[i, j], view.cosine[i, j]
    top = jnp.clip(jnp.floor(row).astype(jnp.int32), 0, height - 2)
    left = jnp.clip(jnp.floor(column).astype(jnp.int32), 0, width - 2)
    down = jnp.clip(row - top.astype(jnp.float32), 0.0, 1.0)
    right = jnp.clip(column - left.astype(jnp.float32), 0.0, 1.0)
    corners = [view.disparity[top + a, left + b] for a in (0, 1) for b in (0, 1)]
    mixed = (1 - down) * ((1 - right) * corners[0] + right * corners[1]) + down * (
        (1 - right) * corners[2] + right * corners[3]
    )
    least = jnp.minimum(jnp.minimum(*corners[:2]), jnp.minimum(*corners[2:]))
    most = jnp.maximum(jnp.maximum(*corners[:2]), jnp.maximum(*corners[2:]))
    is_smooth = most - least <= _MAX_STEP * own
    value = jnp.where(is_smooth, mixed, own)
    return jnp.where(is_inside, value, jnp.nan), cosine
