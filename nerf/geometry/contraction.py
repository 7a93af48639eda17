"""Contracted space: all of an unbounded scene, in a cube."""

import dataclasses
from typing import ClassVar

import chex
import jax
import jax.numpy as jnp

from nerf.config.settings import Vector
from nerf.geometry.arrangement import suitable_path
from nerf.geometry.lenses import Array
from nerf.geometry.rays import Rays, normalize, straight_positions


@dataclasses.dataclass(frozen=True)
class Contracted:
    """The space of unbounded scenes: `contract` brings every point into the cube from -1 to 1.

    Rays are bent. Their parameter t runs from 0 at the near bound to 1 at the far one, evenly in
    depth near the camera and evenly in 1 / depth far away, see `depth_of_contracted`.
    """

    name: ClassVar[str] = "contracted"
    description: ClassVar[str] = (
        "unbounded: points farther than 1 from the origin are contracted, by 1 / distance"
    )
    is_bounded: ClassVar[bool] = False
    has_straight_rays: ClassVar[bool] = False
    has_depth_axis: ClassVar[bool] = False
    box: ClassVar[tuple[Vector, Vector]] = ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0))

    def warp(
        self, origins: jax.Array, directions: jax.Array, near: jax.Array, far: jax.Array
    ) -> Rays:
        """See `Space`."""
        zero, depths = jnp.zeros_like(near), jnp.stack([near, far], axis=-1)
        return Rays(origins, directions, normalize(directions), zero, zero + 1.0, self, depths)

    def positions(self, rays: Rays, t_vals: jax.Array) -> jax.Array:
        """See `Space`."""
        assert rays.depths is not None
        return contract(straight_positions(rays, depth_of_contracted(t_vals, rays.depths)))

    def field_points(self, points: jax.Array) -> jax.Array:
        """See `Space`."""
        return contract(points)

    def scene_points(self, points: jax.Array) -> jax.Array:
        """See `Space`."""
        return expand(points)

    def depth(
        self,
        t: jax.Array,
        origins: jax.Array,
        directions: jax.Array,
        near: jax.Array,
        far: jax.Array,
    ) -> jax.Array:
        """See `Space`."""
        return depth_of_contracted(t[..., None], jnp.stack([near, far], axis=-1))[..., 0]

    def parameter(
        self,
        depth: jax.Array,
        origins: jax.Array,
        directions: jax.Array,
        near: jax.Array,
        far: jax.Array,
    ) -> jax.Array:
        """See `Space`."""
        at_near, at_far, at_depth = (_linear_in_t(x) for x in (near, far, depth))
        return (at_depth - at_near) / (at_far - at_near)

    def default_camera_path(self, camtoworlds: Array) -> str:
        """See `Space`."""
        return suitable_path(camtoworlds)


def contract(points: jax.Array) -> jax.Array:
    """Brings all of space into the cube from -1 to 1; what lies within 1 fills its inner half.

        x -> x / 2                         where |x| <= 1
        x -> (1 - 1 / (2 |x|)) x / |x|     beyond, with |x| the greatest of |x_i|

    Args:
      points: `[..., 3]`, scene units.

    Returns:
      `[..., 3]`, from -1 to 1.

    Source: Barron et al. 2022 (mip-NeRF 360), equation 10, halved, with the norm of Tancik et al.
    2023 (Nerfstudio).

    >>> contract(jnp.array([[0.5, 0.0, 0.0], [4.0, 0.0, -2.0]])).tolist()
    [[0.25, 0.0, 0.0], [0.875, 0.0, -0.4375]]
    """
    chex.assert_axis_dimension(points, -1, 3)
    x, y, z = (jnp.abs(points[..., i, None]) for i in range(3))
    # Not `jnp.max`: its gradient divides by the number of values that equal the maximum, which is
    # zero where the compiler computes the points twice and rounds them differently.
    larger = jnp.where(x >= y, x, y)
    size = jnp.where(larger >= z, larger, z)
    beyond = jnp.maximum(size, 1.0)
    return jnp.where(size <= 1.0, 0.5 * points, (1.0 - 0.5 / beyond) * points / beyond)


def expand(points: jax.Array) -> jax.Array:
    """The inverse of `contract`; points on the faces of the cube go to a distance of 5e5.

        x -> 2 x                               where |x| <= 1/2
        x -> x / (2 |x| (1 - |x|))             beyond

    Args:
      points: `[..., 3]`, from -1 to 1.

    Returns:
      `[..., 3]`, scene units.

    >>> expand(jnp.array([[0.25, 0.0, 0.0], [0.875, 0.0, -0.4375]])).tolist()
    [[0.5, 0.0, 0.0], [4.0, 0.0, -2.0]]
    """
    chex.assert_axis_dimension(points, -1, 3)
    size = jnp.max(jnp.abs(points), axis=-1, keepdims=True)
    outer = 2.0 * jnp.maximum(size, 0.5) * jnp.maximum(1.0 - size, 1e-6)
    return jnp.where(size <= 0.5, 2.0 * points, points / outer)


def depth_of_contracted(t_vals: jax.Array, depths: jax.Array) -> jax.Array:
    """The depth at parameter t of a contracted ray: even in depth, then even in 1 / depth.

        g(depth) = depth / 4 up to depth 2, then 1 - 1 / depth;   t is linear in g

    Args:
      t_vals: `[..., num_samples]`, from 0 to 1.
      depths: `[..., 2]`, at t = 0 and at t = 1, scene units.

    Returns:
      `[..., num_samples]`, scene units.

    Source: the samples of Nerfstudio (Tancik et al. 2023), linear and then in disparity.

    >>> t_vals = jnp.array([[0.0, 0.25, 0.5, 0.75]])
    >>> depth_of_contracted(t_vals, jnp.array([[0.0, 1e6]])).round(3).tolist()
    [[0.0, 1.0, 2.0, 4.0]]
    """
    near, far = jnp.moveaxis(_linear_in_t(depths), -1, 0)
    even = near[..., None] + t_vals * (far - near)[..., None]
    return jnp.where(even < 0.5, 4.0 * even, 1.0 / jnp.maximum(1.0 - even, 1e-7))


def _linear_in_t(depths: jax.Array) -> jax.Array:
    """g of `depth_of_contracted`."""
    return jnp.where(depths < 2.0, 0.25 * depths, 1.0 - 1.0 / jnp.maximum(depths, 2.0))
