"""Rays through the space that a field lives in."""

import dataclasses
import functools
from typing import TYPE_CHECKING, Literal

import chex
import jax
import jax.numpy as jnp

from nerf.geometry.cameras import Cameras, pinhole_rays

if TYPE_CHECKING:
    from nerf.geometry.spaces import Space


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("origins", "directions", "viewdirs", "near", "far", "depths"),
    meta_fields=("space",),
)
@dataclasses.dataclass(frozen=True, eq=False)
class Rays:
    """Rays of a parameter t in [near, far]; `positions` gives the points along them.

    Attributes:
      origins: `[..., 3]`, in the field's space; of contracted rays, in scene units.
      directions: `[..., 3]`, not normalised, in the same units as `origins`.
      viewdirs: `[..., 3]`, unit vectors: the direction that the field is given.
      near, far: `[...]`, range of t.
      space: the space that the field lives in.
      depths: `[..., 2]`, scene units, the depths at t = 0 and t = 1 of contracted rays; None in
        other spaces.
    """

    origins: jax.Array
    directions: jax.Array
    viewdirs: jax.Array
    near: jax.Array
    far: jax.Array
    space: "Space"
    depths: jax.Array | None = None


def normalize(vectors: jax.Array) -> jax.Array:
    """Unit vectors along `vectors`, `[..., 3]`; a zero vector stays zero."""
    chex.assert_axis_dimension(vectors, -1, 3)
    squared = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
    return vectors * jax.lax.rsqrt(jnp.maximum(squared, jnp.finfo(vectors.dtype).tiny))


def scene_rays(
    columns: jax.Array,
    rows: jax.Array,
    cameras: Cameras,
    space: "Space",
    *,
    viewdir_space: Literal["ndc", "world"],
    pixel_offset: float,
) -> Rays:
    """Rays through pixels, in the space that the field lives in.

    Differentiable with respect to the arrays of `cameras`.

    Args:
      columns, rows: `[...]`, pixel coordinates.
      cameras: `[...]`, one a pixel, see `pixel_cameras` and `Cameras.broadcast_to`.
      space: the space that the field lives in.
      viewdir_space: where `viewdirs` are taken: in scene units ("world"), or in the space itself
        ("ndc"), which differs in NDC alone.
      pixel_offset: see `pinhole_rays`.

    Returns:
      Rays `[...]`.
    """
    chex.assert_shape(cameras.bounds, (*columns.shape, 2))
    near, far = jnp.moveaxis(jnp.asarray(cameras.bounds), -1, 0)
    origins, directions = pinhole_rays(columns, rows, cameras, pixel_offset=pixel_offset)
    rays = space.warp(origins, directions, near, far)
    if viewdir_space == "ndc":
        return rays
    return dataclasses.replace(rays, viewdirs=normalize(directions))


def positions(rays: Rays, t_vals: jax.Array) -> jax.Array:
    """Points along rays, in the space that the field lives in.

    Args:
      rays: `[...]`.
      t_vals: `[..., num_samples]`, ray parameters.

    Returns:
      `[..., num_samples, 3]`.
    """
    chex.assert_shape([rays.origins, rays.directions], (*t_vals.shape[:-1], 3))
    return rays.space.positions(rays, t_vals)


def straight_positions(rays: Rays, t_vals: jax.Array) -> jax.Array:
    """`origins + t directions`, for `[..., num_samples]` parameters t."""
    return rays.origins[..., None, :] + t_vals[..., None] * rays.directions[..., None, :]
