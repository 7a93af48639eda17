"""Pinhole cameras, rays, normalised device coordinates (NDC) and camera paths.

A camera-to-world matrix is `[right, up, back | position]`; a camera looks along its own -z axis.
`directions` have the component -1 along the camera's z axis (before NDC), so the ray parameter of
a pinhole ray is depth along the viewing axis. `viewdirs` are unit vectors.
"""

from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt


class Cameras(NamedTuple):
    """One pinhole camera, or several that share their intrinsics.

    Attributes:
      camtoworlds: `[..., 3, 4]` float32, positions in scene units.
      focal: focal length in pixels.
      height, width: picture size in pixels.
    """

    camtoworlds: npt.NDArray[np.float32]
    focal: float
    height: int
    width: int

    def resized(self, height: int, width: int) -> "Cameras":
        """The same cameras with pictures of another size; the width keeps its field of view."""
        return self._replace(focal=self.focal * width / self.width, height=height, width=width)


class Rays(NamedTuple):
    """Rays `origins + t * directions` for t in [near, far].

    Attributes:
      origins: `[..., 3]`, scene units or NDC.
      directions: `[..., 3]`, not normalised.
      viewdirs: `[..., 3]`, unit vectors: what the field is told about the direction.
      near, far: `[...]`, range of the ray parameter t.
    """

    origins: jax.Array
    directions: jax.Array
    viewdirs: jax.Array
    near: jax.Array
    far: jax.Array


NDC_NEAR_PLANE = 1.0  # distance of the near plane from the world's origin, in scene units


def normalize(vectors: jax.Array) -> jax.Array:
    """Unit vectors along `vectors`, `[..., 3]`; a zero vector stays zero."""
    chex.assert_axis_dimension(vectors, -1, 3)
    squared = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
    return vectors * jax.lax.rsqrt(jnp.maximum(squared, jnp.finfo(vectors.dtype).tiny))


def pinhole_rays(
    columns: jax.Array,
    rows: jax.Array,
    camtoworlds: jax.Array,
    *,
    focal: float,
    height: int,
    width: int,
    pixel_offset: float = 0.0,
) -> tuple[jax.Array, jax.Array]:
    """Rays through pixels of a pinhole camera.

        direction = R [(i + offset - W/2) / f, -(j + offset - H/2) / f, -1]

    Args:
      columns: `[...]`, pixel column i in [0, width).
      rows: `[...]`, pixel row j in [0, height), counted from the top.
      camtoworlds: `[..., 3, 4]`, one matrix a pixel.
      focal: focal length in pixels.
      height: picture height H in pixels.
      width: picture width W in pixels.
      pixel_offset: 0 (bmild/nerf, the published notebook) or 0.5 (pixel centres).

    Returns:
      origins and directions, each `[..., 3]`, in scene units.

    >>> columns, rows = jnp.array([2, 0]), jnp.array([1, 0])  # the middle and a corner
    >>> at_origin = jnp.broadcast_to(jnp.eye(3, 4), (2, 3, 4))
    >>> _, directions = pinhole_rays(
    ...     columns, rows, at_origin, focal=2.0, height=2, width=4
    ... )
    >>> directions.tolist()
    [[0.0, 0.0, -1.0], [-1.0, 0.5, -1.0]]
    """
    batch_shape = columns.shape
    chex.assert_shape(rows, batch_shape)
    chex.assert_shape(camtoworlds, (*batch_shape, 3, 4))
    x = (columns.astype(jnp.float32) + (pixel_offset - 0.5 * width)) / focal
    y = (rows.astype(jnp.float32) + (pixel_offset - 0.5 * height)) / focal
    local = jnp.stack([x, -y, -jnp.ones_like(x)], axis=-1)
    directions = jnp.sum(local[..., None, :] * camtoworlds[..., :3], axis=-1)
    return camtoworlds[..., 3], directions


def ndc_rays(
    origins: jax.Array, directions: jax.Array, *, focal: float, height: int, width: int
) -> tuple[jax.Array, jax.Array]:
    """Warps rays of forward-facing cameras into normalised device coordinates.

    A point (x, y, z) in front of the near plane z = -n maps to
    (-2f/W x/z, -2f/H y/z, 1 + 2n/z); the new ray starts at the near plane and t = 1 is infinity.

    Args:
      origins: `[..., 3]`, scene units.
      directions: `[..., 3]`, scene units, with a component along -z.
      focal: focal length in pixels.
      height: picture height H in pixels.
      width: picture width W in pixels.

    Returns:
      origins and directions in NDC, each `[..., 3]`; t in [0, 1].

    Source: Mildenhall et al. 2020, appendix C, equations 25 and 26.

    >>> straight_ahead = jnp.array([0.0, 0.0, -1.0])
    >>> origin, direction = ndc_rays(
    ...     jnp.zeros(3), straight_ahead, focal=1.0, height=2, width=2
    ... )
    >>> abs(origin).tolist(), abs(direction).tolist()  # from the near plane to infinity
    ([0.0, 0.0, 1.0], [0.0, 0.0, 2.0])
    """
    (*batch_shape, _) = origins.shape
    chex.assert_shape([origins, directions], (*batch_shape, 3))
    near = NDC_NEAR_PLANE
    to_near_plane = -(near + origins[..., 2]) / directions[..., 2]
    ox, oy, oz = jnp.moveaxis(origins + to_near_plane[..., None] * directions, -1, 0)
    dx, dy, dz = jnp.moveaxis(directions, -1, 0)
    scale_x, scale_y = -2.0 * focal / width, -2.0 * focal / height
    ndc_origins = [scale_x * ox / oz, scale_y * oy / oz, 1.0 + 2.0 * near / oz]
    ndc_directions = [
        scale_x * (dx / dz - ox / oz),
        scale_y * (dy / dz - oy / oz),
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
      `[...]`, depth in scene units; at least 1e-6 is kept between t and 1, so it stays finite.

    >>> straight_ahead = jnp.array([[0.0, 0.0, -1.0]])
    >>> depth_from_ndc(jnp.array([0.75]), jnp.zeros((1, 3)), straight_ahead).tolist()
    [4.0]
    """
    batch_shape = t.shape
    chex.assert_shape([origins, directions], (*batch_shape, 3))
    z = -NDC_NEAR_PLANE / jnp.maximum(1.0 - t, 1e-6)
    return (z - origins[..., 2]) / directions[..., 2]


def scene_rays(
    columns: jax.Array,
    rows: jax.Array,
    camtoworlds: jax.Array,
    cameras: Cameras,
    near: jax.Array,
    far: jax.Array,
    *,
    ndc: bool,
    viewdir_space: Literal["ndc", "world"],
    pixel_offset: float,
) -> Rays:
    """Rays through pixels, in the space that the field lives in.

    Args:
      columns, rows: `[...]`, pixel coordinates.
      camtoworlds: `[..., 3, 4]`, one matrix a pixel.
      cameras: intrinsics; its own matrices are not used.
      near, far: `[...]`, depth range in scene units; ignored with NDC, where t runs from 0 to 1.
      ndc: whether to warp into normalised device coordinates.
      viewdir_space: where `viewdirs` are taken from; "ndc" means "world" without the warp.
      pixel_offset: see `pinhole_rays`.
    """
    chex.assert_shape([near, far], columns.shape)
    origins, directions = pinhole_rays(
        columns,
        rows,
        camtoworlds,
        focal=cameras.focal,
        height=cameras.height,
        width=cameras.width,
        pixel_offset=pixel_offset,
    )
    if not ndc:
        return Rays(origins, directions, normalize(directions), near, far)
    warped_origins, warped_directions = ndc_rays(
        origins, directions, focal=cameras.focal, height=cameras.height, width=cameras.width
    )
    seen = warped_directions if viewdir_space == "ndc" else directions
    zero = jnp.zeros_like(near)
    return Rays(warped_origins, warped_directions, normalize(seen), zero, zero + 1.0)
