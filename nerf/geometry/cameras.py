"""Cameras: where they stand, what they see of the scene, and the ray through each pixel.

A camera-to-world matrix is `[right, up, back | position]`; a camera looks along its own -z axis.
`directions` have the component -1 along that axis, so the parameter of a ray is the depth along
the viewing axis. A panorama also shows what is behind the camera: its directions are unit vectors,
and the parameter of its rays, its bounds and its depth are distances from the camera.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nerf.geometry import lenses
from nerf.geometry.lenses import Array, Lens

Sizes = jax.Array | npt.NDArray[np.int32]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("camtoworlds", "focal", "bounds", "lens", "sizes"),
    meta_fields=("height", "width"),
)
@dataclasses.dataclass(frozen=True, eq=False)
class Cameras:
    """One camera, or an array of cameras.

    A pytree: `jax.tree.map`, `jax.jit` and `jax.grad` take it as it is. Only `height` and `width`
    are static.

    Attributes:
      camtoworlds: `[..., 3, 4]`, positions in scene units.
      focal: `[...]`, focal length in pixels, > 0; not used where there is a lens, but for pinhole
        cameras at other places or of another size.
      bounds: `[..., 2]`, nearest and farthest depth along the viewing axis, scene units.
      height, width: image size in pixels; where `sizes` are given, the most common of them.
      lens: `[...]`; None for pinhole cameras whose principal point is the middle of the image.
      sizes: `[..., 2]` int32, height and width of each image in pixels; None where all images have
        one size. Cameras of several sizes have a lens, so that rays do not depend on the size.

    >>> row = Cameras.pinhole(
    ...     np.eye(3, 4)[None], focal=5.0, height=6, width=8, near=1, far=9
    ... )
    >>> row[0].camtoworlds.shape, row[0].bounds.tolist()
    ((3, 4), [1.0, 9.0])
    """

    camtoworlds: Array
    focal: Array
    bounds: Array
    height: int
    width: int
    lens: Lens | None = None
    sizes: Sizes | None = None

    @classmethod
    def pinhole(
        cls,
        camtoworlds: npt.ArrayLike,
        *,
        focal: npt.ArrayLike,
        height: int,
        width: int,
        near: npt.ArrayLike,
        far: npt.ArrayLike,
    ) -> "Cameras":
        """Cameras without a lens, from matrices `[..., 3, 4]` and numbers or arrays `[...]`."""
        matrices = np.asarray(camtoworlds, np.float32)

        def for_each(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
            return np.broadcast_to(np.asarray(values, np.float32), matrices.shape[:-2])

        bounds = np.stack([for_each(near), for_each(far)], axis=-1)
        return cls(matrices, for_each(focal), bounds, height, width)

    def __getitem__(self, index: Any) -> "Cameras":
        """Some of the cameras; the index is that of a NumPy or JAX array `[...]`.

        Where the index chooses one camera, `height` and `width` become those of its image.
        """
        chosen: Cameras = jax.tree.map(lambda x: x[index], self)
        if chosen.sizes is None or np.ndim(chosen.focal) > 0:
            return chosen
        height, width = (int(side) for side in chosen.sizes)
        return dataclasses.replace(chosen, height=height, width=width, sizes=None)

    @property
    def image_sizes(self) -> Sizes:
        """`[..., 2]`, height and width of each image in pixels, whether they differ or not."""
        if self.sizes is not None:
            return self.sizes
        return np.broadcast_to(
            np.array([self.height, self.width], np.int32), (*np.shape(self.focal), 2)
        )

    def with_sizes(self, sizes: npt.ArrayLike) -> "Cameras":
        """The same cameras with images of other sizes; their lenses are those of these images.

        Args:
          sizes: `[num_cameras, 2]`, height and width of each image in pixels.

        Raises:
          ValueError: if the sizes differ, and the cameras have no lens.
        """
        each = np.asarray(sizes, np.int32)
        chex.assert_shape(each, (*np.shape(self.focal), 2))
        height, width = common_size(each)
        if (each == each[:1]).all():
            return dataclasses.replace(self, height=height, width=width, sizes=None)
        if self.lens is None:
            raise ValueError("cameras whose images differ in size must have a lens")
        return dataclasses.replace(self, height=height, width=width, sizes=each)

    def broadcast_to(self, shape: tuple[int, ...]) -> "Cameras":
        """The same cameras, repeated along the axes of `shape`, as `jnp.broadcast_to` does."""
        ndim = np.ndim(self.focal)
        repeated: Cameras = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (*shape, *jnp.shape(x)[ndim:])), self
        )
        return repeated

    def resized(self, height: int, width: int) -> "Cameras":
        """Pinhole cameras at the same places with images of another size and the same width of
        view.
        """
        focal = self.focal * (width / self.image_sizes[..., 1]).astype(np.float32)
        return dataclasses.replace(
            self, focal=focal, height=height, width=width, lens=None, sizes=None
        )

    def shrunk(self, height: int, width: int, *, pixel_offset: float) -> "Cameras":
        """Cameras for the same images scaled down by area: a pixel's ray is that of its area's
        centre.

            centre' = (centre + 1/2) s - 1/2,  focal' = focal s,  s = width' / width

        Args:
          height, width: of the smaller images, in pixels.
          pixel_offset: of cameras without a lens, see `pinhole_rays`; the new ones have a lens.
        """
        sides = np.asarray(self.image_sizes)[..., ::-1]  # width and height
        scale = (np.array([width, height]) / sides).astype(np.float32)
        lens = self.lens
        if lens is None:
            middle = (0.5 * sides).astype(np.float32) - pixel_offset
            focal = np.asarray(self.focal)
            lens = Lens(np.stack([focal, focal], axis=-1), middle)
        lens = lens._replace(focal=lens.focal * scale, centre=(lens.centre + 0.5) * scale - 0.5)
        focal = self.focal * scale[..., 0]
        return dataclasses.replace(
            self, focal=focal, height=height, width=width, lens=lens, sizes=None
        )

    def at(self, camtoworlds: npt.NDArray[np.float32]) -> "Cameras":
        """Pinhole cameras at other places, for a video.

        They have the mean focal length of these (relative to the longer side of the image where
        images differ in size), and see from the nearest of all near bounds to the farthest of all
        far ones.

        Args:
          camtoworlds: `[..., 3, 4]`, scene units.
        """
        bounds, focal = np.asarray(self.bounds), np.asarray(self.focal)
        if self.sizes is not None:
            focal = focal * max(self.height, self.width) / np.asarray(self.sizes).max(axis=-1)
        return Cameras.pinhole(
            camtoworlds,
            focal=np.mean(focal, dtype=np.float64),
            height=self.height,
            width=self.width,
            near=bounds[..., 0].min(),
            far=bounds[..., 1].max(),
        )


def common_size(sizes: Sizes) -> tuple[int, int]:
    """The most common size of some images; of several, the middle one by area, then by width.

    Args:
      sizes: `[num_images, 2]`, height and width in pixels.

    Returns:
      Height and width.

    >>> common_size(np.array([[4, 6], [6, 4], [4, 6]]))
    (4, 6)
    """
    distinct, counts = np.unique(np.asarray(sizes), axis=0, return_counts=True)
    most = [(int(h), int(w)) for h, w in distinct[counts == counts.max()]]
    ordered = sorted(most, key=lambda size: (size[0] * size[1], size[1]))
    return ordered[len(ordered) // 2]


def stack_cameras(cameras: Sequence[Cameras]) -> Cameras:
    """An array `[num_cameras]` of single cameras, which all have a lens, or none of them has."""
    sizes = np.array([[camera.height, camera.width] for camera in cameras], np.int32)
    without_size = [dataclasses.replace(camera, height=0, width=0) for camera in cameras]
    together: Cameras = jax.tree.map(lambda *each: np.stack(each), *without_size)
    return together.with_sizes(sizes)


def pixel_cameras(cameras: Cameras, view_indices: jax.Array) -> Cameras:
    """The camera of each pixel.

    Args:
      cameras: `[num_views]`.
      view_indices: `[num_rays]` int, the view that each pixel belongs to.

    Returns:
      `[num_rays]` cameras.
    """
    chex.assert_rank(cameras.focal, 1)
    without_sizes = dataclasses.replace(cameras, sizes=None)  # of which rays do not depend
    chosen: Cameras = jax.tree.map(lambda x: jnp.asarray(x)[view_indices], without_sizes)
    return chosen


def pinhole_rays(
    columns: jax.Array, rows: jax.Array, cameras: Cameras, *, pixel_offset: float = 0.0
) -> tuple[jax.Array, jax.Array]:
    """Rays through pixels, in scene units.

        direction = R [(i + offset - W/2) / f, -(j + offset - H/2) / f, -1]

    Args:
      columns: `[...]`, pixel column i in [0, width).
      rows: `[...]`, pixel row j in [0, height), counted from the top.
      cameras: `[...]`, one a pixel. With a lens, the lens gives the direction, see
        `nerf.geometry.lenses`, and `pixel_offset` has no effect.
      pixel_offset: 0 (bmild/nerf, the published notebook) or 0.5 (pixel centres).

    Returns:
      origins and directions, each `[..., 3]`.

    >>> columns, rows = jnp.array([2, 0]), jnp.array([1, 0])  # the middle and a corner
    >>> camera = Cameras.pinhole(
    ...     np.eye(3, 4), focal=2.0, height=2, width=4, near=1, far=9
    ... )
    >>> _, directions = pinhole_rays(columns, rows, camera.broadcast_to((2,)))
    >>> directions.tolist()
    [[0.0, 0.0, -1.0], [-1.0, 0.5, -1.0]]
    """
    batch_shape = columns.shape
    chex.assert_shape([rows, cameras.focal], batch_shape)
    chex.assert_shape(cameras.camtoworlds, (*batch_shape, 3, 4))
    camtoworlds = jnp.asarray(cameras.camtoworlds)
    if cameras.lens is None:
        # Times the reciprocal, which is what a compiler makes of a division by a constant: so
        # rays are those of earlier versions, whose focal length was one, to the last bit.
        inverse_focal = 1.0 / jnp.asarray(cameras.focal)
        x = (columns.astype(jnp.float32) + (pixel_offset - 0.5 * cameras.width)) * inverse_focal
        y = (rows.astype(jnp.float32) + (pixel_offset - 0.5 * cameras.height)) * inverse_focal
        local = jnp.stack([x, -y, -jnp.ones_like(x)], axis=-1)
    else:
        local = lenses.directions(columns, rows, cameras.lens)
    directions = jnp.sum(local[..., None, :] * camtoworlds[..., :3], axis=-1)
    return camtoworlds[..., 3], directions
