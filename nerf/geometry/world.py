"""World space: scene units as they are, with or without a box around the scene."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from nerf.config.settings import Vector
from nerf.geometry.arrangement import suitable_path
from nerf.geometry.lenses import Array
from nerf.geometry.rays import Rays, normalize, straight_positions

Box = tuple[Vector, Vector]  # the lowest and the highest corner


@dataclasses.dataclass(frozen=True)
class World:
    """The space of cameras around an object.

    Positions are in scene units, and t is depth along the viewing axis.

    Attributes:
      box: corners of a box outside which the scene is empty: rays start and end at its faces; None
        for no such box.
    """

    box: Box | None = None
    name: ClassVar[str] = "world"
    description: ClassVar[str] = "scene units, in a box around what all cameras see"
    has_straight_rays: ClassVar[bool] = True
    has_depth_axis: ClassVar[bool] = False

    @classmethod
    def cube(cls, half_side: float) -> "World":
        """A box around the origin with sides of twice `half_side`."""
        low, high = -half_side, half_side
        return cls(((low, low, low), (high, high, high)))

    @property
    def is_bounded(self) -> bool:
        """See `Space`."""
        return self.box is not None

    def warp(
        self, origins: jax.Array, directions: jax.Array, near: jax.Array, far: jax.Array
    ) -> Rays:
        """See `Space`; near and far move to the faces of the box."""
        if self.box is not None:
            near, far = intersect_box(origins, directions, near, far, self.box)
        return Rays(origins, directions, normalize(directions), near, far, self)

    def positions(self, rays: Rays, t_vals: jax.Array) -> jax.Array:
        """See `Space`."""
        return straight_positions(rays, t_vals)

    def field_points(self, points: jax.Array) -> jax.Array:
        """See `Space`; the same points."""
        return points

    def scene_points(self, points: jax.Array) -> jax.Array:
        """See `Space`; the same points."""
        return points

    def depth(
        self,
        t: jax.Array,
        origins: jax.Array,
        directions: jax.Array,
        near: jax.Array,
        far: jax.Array,
    ) -> jax.Array:
        """See `Space`; the parameter of a pinhole ray is its depth."""
        return t

    def parameter(
        self,
        depth: jax.Array,
        origins: jax.Array,
        directions: jax.Array,
        near: jax.Array,
        far: jax.Array,
    ) -> jax.Array:
        """See `Space`; the depth itself."""
        return depth

    def default_camera_path(self, camtoworlds: Array) -> str:
        """See `Space`."""
        return suitable_path(camtoworlds)


def intersect_box(
    origins: jax.Array,
    directions: jax.Array,
    near: jax.Array,
    far: jax.Array,
    box: Box | tuple[jax.Array, jax.Array],
) -> tuple[jax.Array, jax.Array]:
    """Where rays enter and leave a box, between near and far.

    Args:
      origins, directions: `[..., 3]`.
      near, far: `[...]`.
      box: its corners.

    Returns:
      near and far, `[...]`, with near < far; a ray that misses the box gets an interval of nearly
      no length.

    Source: the slabs of Kay and Kajiya 1986.

    >>> ahead, past = jnp.array([0.0, 0.0, -1.0]), jnp.array([0.0, 1.0, -1.0])
    >>> rays = jnp.array([[0.0, 0.0, 3.0]] * 2), jnp.stack([ahead, past])
    >>> near, far = intersect_box(
    ...     *rays, jnp.zeros(2), jnp.full(2, 9.0), ((-1.0,) * 3, (1.0,) * 3)
    ... )
    >>> near.tolist(), (far - near > 1e-3).tolist()
    ([2.0, 2.0], [True, False])
    """
    shape = (1,) * (origins.ndim - 1) + (3,)
    low, high = (jnp.array(corner, jnp.float32).reshape(shape) for corner in box)
    tiny = jnp.where(directions < 0, -1e-9, 1e-9)
    inverse = 1.0 / jnp.where(jnp.abs(directions) < 1e-9, tiny, directions)
    at_low, at_high = (low - origins) * inverse, (high - origins) * inverse
    entered = jnp.max(jnp.minimum(at_low, at_high), axis=-1)
    left = jnp.min(jnp.maximum(at_low, at_high), axis=-1)
    # A ray parallel to a pair of faces, and not between them, has an arbitrary `entered`.
    near = jnp.clip(entered, near, far)
    return near, jnp.maximum(jnp.minimum(far, left), near * (1.0 + 1e-5) + 1e-5)
