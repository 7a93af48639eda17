"""Normalised device coordinates (NDC): what forward-facing cameras see, in a box."""

import dataclasses
from typing import ClassVar

import chex
import jax
import jax.numpy as jnp

from nerf.geometry.lenses import Array
from nerf.geometry.rays import Rays, normalize, straight_positions

NEAR_PLANE = 1.0  # distance of the near plane from the world's origin, in scene units


@dataclasses.dataclass(frozen=True)
class NDC:
    """The space of forward-facing cameras, which look along the world's -z axis.

    Straight rays stay straight, and t runs from 0 at the near plane to 1 at infinity. The warp is a
    property of the scene, not of the camera that a ray belongs to: cameras with images of any size
    see the same field.

    Attributes:
      scale: (2 f / W, 2 f / H) of the scene's own views.
    """

    scale: tuple[float, float]
    name: ClassVar[str] = "ndc"
    description: ClassVar[str] = "normalised device coordinates, for forward-facing cameras"
    is_bounded: ClassVar[bool] = False
    has_straight_rays: ClassVar[bool] = True
    has_depth_axis: ClassVar[bool] = True
    box: ClassVar[None] = None

    @classmethod
    def of_views(cls, *, focal: float, height: int, width: int) -> "NDC":
        """The space of a scene whose views have this focal length and image size in pixels.

        >>> NDC.of_views(focal=5.0, height=6, width=8).scale
        (1.25, 1.6666666666666667)
        """
        return cls((2.0 * focal / width, 2.0 * focal / height))

    def warp(
        self, origins: jax.Array, directions: jax.Array, near: jax.Array, far: jax.Array
    ) -> Rays:
        """See `Space`; the bounds are not used, since t in [0, 1] spans everything."""
        warped_origins, warped_directions = ndc_rays(origins, directions, self.scale)
        zero = jnp.zeros_like(near)
        return Rays(
            warped_origins, warped_directions, normalize(warped_directions), zero, zero + 1.0, self
        )

    def positions(self, rays: Rays, t_vals: jax.Array) -> jax.Array:
        """See `Space`."""
        return straight_positions(rays, t_vals)

    def field_points(self, points: jax.Array) -> jax.Array:
        """See `Space`."""
        return ndc_points(points, self.scale)

    def scene_points(self, points: jax.Array) -> jax.Array:
        """See `Space`."""
        return points_from_ndc(points, self.scale)

    def depth(
        self,
        t: jax.Array,
        origins: jax.Array,
        directions: jax.Array,
        near: jax.Array,
        far: jax.Array,
    ) -> jax.Array:
        """See `Space`."""
        return depth_from_ndc(t, origins, directions)

    def parameter(
        self,
        depth: jax.Array,
        origins: jax.Array,
        directions: jax.Array,
        near: jax.Array,
        far: jax.Array,
    ) -> jax.Array:
        """See `Space`."""
        return ndc_from_depth(depth, origins, directions)

    def default_camera_path(self, camtoworlds: Array) -> str:
        """A spiral, which stays among the cameras and looks the way they look."""
        return "spiral"


def ndc_points(points: jax.Array, scale: tuple[float, float]) -> jax.Array:
    """Warps points in front of the cameras into NDC.

        (x, y, z) -> (-s_x x/z, -s_y y/z, 1 + 2n/z),   n the near plane

    Args:
      points: `[..., 3]`, scene units, with z < 0.
      scale: (s_x, s_y), see `NDC`.

    Returns:
      `[..., 3]`.

    >>> ndc_points(jnp.array([1.0, -1.0, -2.0]), (1.0, 1.0)).tolist()
    [0.5, -0.5, 0.0]
    """
    chex.assert_axis_dimension(points, -1, 3)
    x, y, z = jnp.moveaxis(points, -1, 0)
    scale_x, scale_y = scale
    return jnp.stack([-scale_x * x / z, -scale_y * y / z, 1.0 + 2.0 * NEAR_PLANE / z], axis=-1)


def points_from_ndc(points: jax.Array, scale: tuple[float, float]) -> jax.Array:
    """The inverse of `ndc_points`; 1 - z is taken to be at least 1e-6, so it stays finite.

        z = 2n / (z' - 1),   x = -x' z / s_x,   y = -y' z / s_y

    Args:
      points: `[..., 3]`, NDC.
      scale: (s_x, s_y), see `NDC`.

    Returns:
      `[..., 3]`, scene units.

    >>> points_from_ndc(jnp.array([0.5, -0.5, 0.0]), (1.0, 1.0)).tolist()
    [1.0, -1.0, -2.0]
    """
    chex.assert_axis_dimension(points, -1, 3)
    x, y, warped_z = jnp.moveaxis(points, -1, 0)
    scale_x, scale_y = scale
    z = -2.0 * NEAR_PLANE / jnp.maximum(1.0 - warped_z, 1e-6)
    return jnp.stack([-x * z / scale_x, -y * z / scale_y, z], axis=-1)


def ndc_rays(
    origins: jax.Array, directions: jax.Array, scale: tuple[float, float]
) -> tuple[jax.Array, jax.Array]:
    """Warps rays of forward-facing cameras into NDC.

    The new ray starts at the near plane, and t = 1 is infinity; `ndc_points` says where each point
    goes.

    Args:
      origins: `[..., 3]`, scene units.
      directions: `[..., 3]`, scene units, with a component along -z.
      scale: see `NDC`.

    Returns:
      origins and directions in NDC, each `[..., 3]`; t in [0, 1].

    Source: Mildenhall et al. 2020, appendix C, equations 25 and 26.

    >>> straight_ahead = jnp.array([0.0, 0.0, -1.0])
    >>> origin, direction = ndc_rays(jnp.zeros(3), straight_ahead, (1.0, 1.0))
    >>> abs(origin).tolist(), abs(direction).tolist()  # from the near plane to infinity
    ([0.0, 0.0, 1.0], [0.0, 0.0, 2.0])
    """
    (*batch_shape, _) = origins.shape
    chex.assert_shape([origins, directions], (*batch_shape, 3))
    near = NEAR_PLANE
    to_near_plane = -(near + origins[..., 2]) / directions[..., 2]
    ox, oy, oz = jnp.moveaxis(origins + to_near_plane[..., None] * directions, -1, 0)
    dx, dy, dz = jnp.moveaxis(directions, -1, 0)
    scale_x, scale_y = scale
    ndc_origins = [-scale_x * ox / oz, -scale_y * oy / oz, 1.0 + 2.0 * near / oz]
    ndc_directions = [
        -scale_x * (dx / dz - ox / oz),
        -scale_y * (dy / dz - oy / oz),
        -2.0 * near / oz,
    ]
    return jnp.stack(ndc_origins, axis=-1), jnp.stack(ndc_directions, axis=-1)


def depth_from_ndc(t: jax.Array, origins: jax.Array, directions: jax.Array) -> jax.Array:
    """Depth along the viewing axis of the point at parameter `t` of a warped ray.

    The warp maps the plane z to t = 1 - n / -z, hence z = n / (t - 1), and the pinhole ray
    reaches that plane at parameter (z - origin_z) / direction_z, which is its depth.

    Args:
      t: `[...]`, parameter of the NDC ray, at most 1 (infinity).
      origins: `[..., 3]` of the pinhole ray, before the warp, scene units.
      directions: `[..., 3]` of the pinhole ray, before the warp.

    Returns:
      `[...]`, depth in scene units; 1 - t is taken to be at least 1e-6, so it stays finite.

    >>> straight_ahead = jnp.array([[0.0, 0.0, -1.0]])
    >>> depth_from_ndc(jnp.array([0.75]), jnp.zeros((1, 3)), straight_ahead).tolist()
    [4.0]
    """
    batch_shape = t.shape
    chex.assert_shape([origins, directions], (*batch_shape, 3))
    z = -NEAR_PLANE / jnp.maximum(1.0 - t, 1e-6)
    return (z - origins[..., 2]) / directions[..., 2]


def ndc_from_depth(depth: jax.Array, origins: jax.Array, directions: jax.Array) -> jax.Array:
    """The inverse of `depth_from_ndc`: the parameter of a warped ray at a depth.

        t = 1 + n / z,   z = origin_z + depth direction_z

    Args:
      depth: `[...]`, along the viewing axis, in scene units.
      origins, directions: `[..., 3]` of the pinhole ray, before the warp.

    Returns:
      `[...]`, at most 1; less than 0 in front of the near plane.

    >>> straight_ahead = jnp.array([[0.0, 0.0, -1.0]])
    >>> ndc_from_depth(jnp.array([4.0]), jnp.zeros((1, 3)), straight_ahead).tolist()
    [0.75]
    """
    batch_shape = depth.shape
    chex.assert_shape([origins, directions], (*batch_shape, 3))
    z = origins[..., 2] + depth * directions[..., 2]
    return 1.0 + NEAR_PLANE / jnp.minimum(z, -1e-6)
