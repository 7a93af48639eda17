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

from nerf.config.settings import Vector
from nerf.geometry.lenses import Lens, slopes

Box = tuple[Vector, Vector]  # the lowest and the highest corner


class Cameras(NamedTuple):
    """One camera, or several with pictures of one size.

    Attributes:
      camtoworlds: `[..., 3, 4]` float32, positions in scene units.
      focal: focal length in pixels, of all; with lenses, their mean, which the warp to NDC and
        pictures from new places take.
      height, width: picture size in pixels.
      lens: `[...]`, one a camera; None for pinhole cameras whose axis meets the picture in its
        middle.
      box: corners of a box, in world space, outside of which is nothing: there, rays begin and end
        at its faces; None for no such box.
    """

    camtoworlds: npt.NDArray[np.float32]
    focal: float
    height: int
    width: int
    lens: Lens | None = None
    box: Box | None = None

    def view(self, index: int) -> "Cameras":
        """One of several."""
        lens = jax.tree.map(lambda x: x[index], self.lens)
        return self._replace(camtoworlds=self.camtoworlds[index], lens=lens)

    def resized(self, height: int, width: int) -> "Cameras":
        """Pinhole cameras in the same places with pictures of another size, as wide a view."""
        focal = self.focal * width / self.width
        return Cameras(self.camtoworlds, focal, height, width, box=self.box)


class Rays(NamedTuple):
    """Rays `origins + t * directions` for t in [near, far], or their contraction, see `positions`.

    Attributes:
      origins: `[..., 3]`, scene units or NDC.
      directions: `[..., 3]`, not normalised.
      viewdirs: `[..., 3]`, unit vectors: what the field is told about the direction.
      near, far: `[...]`, range of the ray parameter t.
      depths: `[..., 2]`, for contracted rays, whose t runs from 0 to 1: the depths there, in scene
        units; None for straight ones.
    """

    origins: jax.Array
    directions: jax.Array
    viewdirs: jax.Array
    near: jax.Array
    far: jax.Array
    depths: jax.Array | None = None


Space = Literal["ndc", "world", "contracted"]  # that a field lives in
SPACES: dict[Space, str] = {  # what each is for
    "ndc": "ndc (normalised device coordinates), for cameras that all look one way",
    "world": "world, a box around what all cameras see",
    "contracted": "contracted, without an end: beyond 1 from the origin, 1 / distance counts",
}


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
    lens: Lens | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Rays through pixels of a pinhole camera, or of one with a lens.

        direction = R [(i + offset - W/2) / f, -(j + offset - H/2) / f, -1]

    Args:
      columns: `[...]`, pixel column i in [0, width).
      rows: `[...]`, pixel row j in [0, height), counted from the top.
      camtoworlds: `[..., 3, 4]`, one matrix a pixel.
      focal: focal length in pixels.
      height: picture height H in pixels.
      width: picture width W in pixels.
      pixel_offset: 0 (bmild/nerf, the published notebook) or 0.5 (pixel centres).
      lens: `[...]`, one a pixel, instead of focal length, size and offset.

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
    if lens is None:
        x = (columns.astype(jnp.float32) + (pixel_offset - 0.5 * width)) / focal
        y = (rows.astype(jnp.float32) + (pixel_offset - 0.5 * height)) / focal
    else:
        x, y = jnp.moveaxis(slopes(columns, rows, lens), -1, 0)
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
    space: Space,
    viewdir_space: Literal["ndc", "world"],
    pixel_offset: float,
    lens: Lens | None = None,
) -> Rays:
    """Rays through pixels, in the space that the field lives in.

    Args:
      columns, rows: `[...]`, pixel coordinates.
      camtoworlds: `[..., 3, 4]`, one matrix a pixel.
      cameras: intrinsics, and the box of world space; its own matrices and lenses are not used.
      near, far: `[...]`, depth range in scene units; not used with NDC. There and in contracted
        space t runs from 0 to 1.
      space: which the field lives in, see `Space`.
      viewdir_space: where `viewdirs` are taken from; "ndc" means "world" in another space.
      pixel_offset: see `pinhole_rays`.
      lens: `[...]`, one a pixel; None for pinhole cameras.
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
        lens=lens,
    )
    zero = jnp.zeros_like(near)
    if space == "world":
        if cameras.box is not None:
            near, far = within_box(origins, directions, near, far, cameras.box)
        return Rays(origins, directions, normalize(directions), near, far)
    if space == "contracted":
        depths = jnp.stack([near, far], axis=-1)
        return Rays(origins, directions, normalize(directions), zero, zero + 1.0, depths)
    warped_origins, warped_directions = ndc_rays(
        origins, directions, focal=cameras.focal, height=cameras.height, width=cameras.width
    )
    seen = warped_directions if viewdir_space == "ndc" else directions
    return Rays(warped_origins, warped_directions, normalize(seen), zero, zero + 1.0)


def within_box(
    origins: jax.Array, directions: jax.Array, near: jax.Array, far: jax.Array, box: Box
) -> tuple[jax.Array, jax.Array]:
    """Where rays are between near and far and in a box; nearly nowhere where they miss it.

    Args:
      origins, directions: `[..., 3]`.
      near, far: `[...]`.
      box: its corners.

    Returns:
      near and far, `[...]`, with near < far.

    Source: the slabs of Kay and Kajiya 1986.

    >>> ahead, past = jnp.array([0.0, 0.0, -1.0]), jnp.array([0.0, 1.0, -1.0])
    >>> rays = jnp.array([[0.0, 0.0, 3.0]] * 2), jnp.stack([ahead, past])
    >>> near, far = within_box(
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
    # Rays along a side that they do not meet enter anywhere, as far as floats go.
    near = jnp.clip(entered, near, far)
    return near, jnp.maximum(jnp.minimum(far, left), near * (1.0 + 1e-5) + 1e-5)


def positions(rays: Rays, t_vals: jax.Array) -> jax.Array:
    """Points along rays, in the space that the field lives in.

    Args:
      rays: `[num_rays]`.
      t_vals: `[num_rays, num_samples]`, ray parameters.

    Returns:
      `[num_rays, num_samples, 3]`: `origins + t directions`; of contracted rays `contract` of that
      at the depth which `depth_of_contracted` gives.
    """
    num_rays, _ = t_vals.shape
    chex.assert_shape([rays.origins, rays.directions], (num_rays, 3))
    t = t_vals if rays.depths is None else depth_of_contracted(t_vals, rays.depths)
    points = rays.origins[:, None, :] + t[..., None] * rays.directions[:, None, :]
    return points if rays.depths is None else contract(points)


def contract(points: jax.Array) -> jax.Array:
    """Brings all of space into the cube from -1 to 1, what lies within 1 into its inner half.

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
    # Not `jnp.max`: its gradient divides by how many equal the maximum, which are none where the
    # compiler computes the points twice and rounds them otherwise.
    larger = jnp.where(x >= y, x, y)
    size = jnp.where(larger >= z, larger, z)
    beyond = jnp.maximum(size, 1.0)
    return jnp.where(size <= 1.0, 0.5 * points, (1.0 - 0.5 / beyond) * points / beyond)


def depth_of_contracted(t_vals: jax.Array, depths: jax.Array) -> jax.Array:
    """The depth at parameter t of a contracted ray: even near the camera, then even in 1 / depth.

        g(depth) = depth / 4 up to 2, then 1 - 1 / depth;   t runs evenly through g

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
    near, far = jnp.moveaxis(_even_in_depth(depths), -1, 0)
    even = near[..., None] + t_vals * (far - near)[..., None]
    return jnp.where(even < 0.5, 4.0 * even, 1.0 / jnp.maximum(1.0 - even, 1e-7))


def _even_in_depth(depths: jax.Array) -> jax.Array:
    return jnp.where(depths < 2.0, 0.25 * depths, 1.0 - 1.0 / jnp.maximum(depths, 2.0))
