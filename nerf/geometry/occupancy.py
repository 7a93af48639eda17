"""Which parts of a box may hold something: rays end where nothing can be, or have no length."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from nerf.geometry.rays import Rays, positions
from nerf.geometry.world import intersect_box


class Occupancy(NamedTuple):
    """Cells of an axis-aligned box; nothing is outside the box.

    Attributes:
      occupied: `[nx, ny, nz]` bool; a cell that is not occupied is empty for certain.
      low, high: `[3]`, corners of the box, in the space that the field lives in.
    """

    occupied: jax.Array
    low: jax.Array
    high: jax.Array


def is_occupied(occupancy: Occupancy, points: jax.Array) -> jax.Array:
    """Whether points are in an occupied cell.

    Args:
      occupancy: the cells.
      points: `[..., 3]`.

    Returns:
      `[...]`, bool.

    >>> cells = Occupancy(jnp.array([[[True]], [[False]]]), jnp.zeros(3), jnp.ones(3))
    >>> points = jnp.array([[0.4, 0.5, 0.5], [0.6, 0.5, 0.5], [-0.1, 0.5, 0.5]])
    >>> is_occupied(cells, points).tolist()
    [True, False, False]
    """
    chex.assert_axis_dimension(points, -1, 3)
    shape = (1,) * (points.ndim - 1) + (3,)
    low, high = occupancy.low.reshape(shape), occupancy.high.reshape(shape)
    is_inside = jnp.all((points >= low) & (points <= high), axis=-1)
    return is_inside & _look_up(occupancy.occupied, points, low, high)


def clip_rays(rays: Rays, occupancy: Occupancy) -> Rays:
    """The part of each ray between the first and the last occupied cell that it may meet.

    A ray is probed so densely that each of its points is within half a cell of a probe, on every
    axis. Cells beside an occupied one count as occupied, so that none is missed.

    Args:
      rays: `[num_rays]`, straight.
      occupancy: the cells.

    Returns:
      The same rays with other `near` and `far`; these are equal where a ray meets nothing.
    """
    if not rays.space.has_straight_rays:
        raise ValueError("only straight rays can be clipped to a box")
    (num_rays,) = rays.near.shape
    box = (occupancy.low, occupancy.high)
    near, far = intersect_box(rays.origins, rays.directions, rays.near, rays.far, box)
    num_probes = max(occupancy.occupied.shape)
    unit = (jnp.arange(num_probes, dtype=jnp.float32) + 0.5) / num_probes
    span = (far - near)[:, None]
    points = positions(rays, near[:, None] + span * unit[None])
    low, high = occupancy.low.reshape(1, 1, 3), occupancy.high.reshape(1, 1, 3)
    found = _look_up(_with_neighbours(occupancy.occupied), points, low, high)
    chex.assert_shape(found, (num_rays, num_probes))
    first, last = jnp.argmax(found, axis=-1), num_probes - jnp.argmax(found[:, ::-1], axis=-1)
    step = (far - near) / num_probes
    clipped_near = jnp.where(first == 0, near, near + step * first.astype(jnp.float32))
    clipped_far = jnp.where(last == num_probes, far, near + step * last.astype(jnp.float32))
    is_hit = jnp.any(found, axis=-1) & _crosses(rays, near, far, box)
    return dataclasses.replace(
        rays,
        near=jnp.where(is_hit, clipped_near, rays.far),
        far=jnp.where(is_hit, clipped_far, rays.far),
    )


def is_empty(rays: Rays) -> jax.Array:
    """Whether rays have no length, as `clip_rays` leaves those that meet nothing; `[...]`, bool."""
    return rays.near >= rays.far


def _crosses(
    rays: Rays, near: jax.Array, far: jax.Array, box: tuple[jax.Array, jax.Array]
) -> jax.Array:
    """Whether the middle of a ray's part in a box is in the box, with a margin for rounding."""
    middle = positions(rays, 0.5 * (near + far)[:, None])[:, 0]
    low, high = (corner.reshape(1, 3) for corner in box)
    margin = 1e-4 * (high - low)
    return jnp.all((middle >= low - margin) & (middle <= high + margin), axis=-1)


def _look_up(cells: jax.Array, points: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    """The value of the cell nearest to each point, `[...]`."""
    counts = jnp.array(cells.shape, jnp.int32).reshape(low.shape)
    position = (points - low) / (high - low) * counts.astype(jnp.float32)
    index = jnp.clip(jnp.floor(position).astype(jnp.int32), 0, counts - 1)
    _, ny, nz = cells.shape
    flat = (index[..., 0] * ny + index[..., 1]) * nz + index[..., 2]
    return cells.reshape(-1).at[flat].get(mode="promise_in_bounds")


def _with_neighbours(occupied: jax.Array) -> jax.Array:
    """The cells that are occupied, or touch one that is, `[nx, ny, nz]`."""
    padded = jnp.pad(occupied, ((1, 1),) * 3)
    return combine_pairs(combine_pairs(padded, jnp.logical_or), jnp.logical_or)


def combine_pairs(
    values: jax.Array, combine: Callable[[jax.Array, jax.Array], jax.Array]
) -> jax.Array:
    """Combines the values at the eight corners of each cell, or of the eight cells at each corner.

    Args:
      values: `[nx + 1, ny + 1, nz + 1, ...]`.
      combine: of two arrays of one shape, element by element; associative and commutative.

    Returns:
      `[nx, ny, nz, ...]`.

    >>> combine_pairs(jnp.arange(8).reshape(2, 2, 2), jnp.maximum).tolist()
    [[[7]]]
    """
    for axis in range(3):
        count = values.shape[axis] - 1
        before = jax.lax.slice_in_dim(values, 0, count, axis=axis)
        after = jax.lax.slice_in_dim(values, 1, count + 1, axis=axis)
        values = combine(before, after)
    return values
