"""Tiles: pixels of an image that the devices render in one call, from the pixels' indices.

A program takes parameters, which stay on the devices, one camera, and the indices of a tile's
pixels. Rays are made, rendered and turned into pixels on the devices, and only finished pixels are
fetched. The size of the image is an argument: a program is compiled once for all sizes.

A device renders its share of a tile in microbatches, whose activations fit into the cache of a CPU
core or the memory of an accelerator, and leaves out those that have no pixel of the image.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.sharding import Mesh

from nerf.config.settings import RenderConfig
from nerf.geometry.cameras import Cameras, pinhole_rays
from nerf.geometry.occupancy import Occupancy
from nerf.geometry.rays import Rays, scene_rays
from nerf.geometry.spaces import Space
from nerf.render.rays import hits_occupied, render_background
from nerf.render.volume import Composite
from nerf.runtime import parallel

# On a CPU a tile of the preset `notebook` takes less than a second, so that progress is reported
# and an interrupt is noticed; an accelerator needs many rays at once to be busy.
_CPU_EVALUATIONS_PER_TILE = 2**15  # of one device
_ACCELERATOR_RAYS_PER_TILE = 2**16  # of one device
_ACCELERATOR_EVALUATIONS_PER_MICROBATCH = 2**21

# The fine pass over rays `[num_rays]`, from what every device has a copy of, the rays,
# and from `FindOccupancyFn`'s result.
RenderRaysFn = Callable[[Any, Rays, Occupancy | None], Composite]
# Where the scene can be, from the same; None where nothing is known to be empty.
FindOccupancyFn = Callable[[Any], Occupancy | None]
Values = tuple[jax.Array, jax.Array, jax.Array]  # rgb, t and acc


class RenderedPixels(NamedTuple):
    """Rendered pixels.

    Attributes:
      rgb: `[num_pixels, 3]`, sRGB in [0, 1].
      depth: `[num_pixels]`, along the camera's viewing axis, in scene units.
      acc: `[num_pixels]`, in [0, 1].
    """

    rgb: jax.Array
    depth: jax.Array
    acc: jax.Array


class PixelGrid(NamedTuple):
    """One camera, and the size of its image as arrays, so that programs do not depend on it.

    Attributes:
      camera: with the size 0 x 0.
      height, width: `[]` int32, in pixels.
    """

    camera: Cameras
    height: npt.NDArray[np.int32] | jax.Array
    width: npt.NDArray[np.int32] | jax.Array

    @classmethod
    def of(cls, camera: Cameras) -> "PixelGrid":
        """The pixels of one camera's image."""
        chex.assert_shape(camera.camtoworlds, (3, 4))
        without_size = dataclasses.replace(camera, height=0, width=0)
        return cls(
            without_size, np.asarray(camera.height, np.int32), np.asarray(camera.width, np.int32)
        )

    def at(self, index: jax.Array) -> tuple[jax.Array, jax.Array, Cameras]:
        """Columns and rows of pixels `[num_pixels]`, for `pinhole_rays`, and the camera of each.

        Args:
          index: `[num_pixels]` int32, row by row; beyond the image, it is that of the last pixel.
        """
        last = self.height * self.width - 1
        rows, columns = jnp.divmod(jnp.minimum(index, last), self.width)
        if self.camera.lens is None:  # whose pixels are counted from the middle of the image
            columns = columns.astype(jnp.float32) - 0.5 * jnp.asarray(self.width, jnp.float32)
            rows = rows.astype(jnp.float32) - 0.5 * jnp.asarray(self.height, jnp.float32)
        return columns, rows, self.camera.broadcast_to(index.shape)


class TileSize(NamedTuple):
    """How many rays one device renders in a call.

    Attributes:
      microbatch: rays that go through the field at once.
      num_microbatches: in a tile.
    """

    microbatch: int
    num_microbatches: int


def choose_tile_size(
    evaluations_per_ray: int,
    *,
    on_cpu: int,
    platform: str,
    rays_per_microbatch: int | None = None,
    rays_per_tile: int | None = None,
) -> TileSize:
    """The size of a tile's share of one device.

    Args:
      evaluations_per_ray: of the field.
      on_cpu: rays in a microbatch on a CPU.
      platform: where the program will run, `cpu` or another.
      rays_per_microbatch: the same for every platform; None chooses by platform.
      rays_per_tile: the most rays of one device in a tile, but at least one microbatch; None
        chooses by platform.

    >>> choose_tile_size(192, on_cpu=16, platform="cpu")
    TileSize(microbatch=16, num_microbatches=10)
    >>> choose_tile_size(32, on_cpu=16, platform="gpu")
    TileSize(microbatch=65536, num_microbatches=1)
    """
    if rays_per_tile is None:
        by_evaluations = _CPU_EVALUATIONS_PER_TILE // evaluations_per_ray
        rays_per_tile = by_evaluations if platform == "cpu" else _ACCELERATOR_RAYS_PER_TILE
    if rays_per_microbatch is None:
        at_most = _ACCELERATOR_EVALUATIONS_PER_MICROBATCH // evaluations_per_ray
        rays_per_microbatch = (
            on_cpu if platform == "cpu" else max(1, min(at_most, _ACCELERATOR_RAYS_PER_TILE))
        )
    return TileSize(rays_per_microbatch, max(1, rays_per_tile // rays_per_microbatch))


def jit_tile(
    render_rays: RenderRaysFn,
    config: RenderConfig,
    space: Space,
    mesh: Mesh,
    size: TileSize,
    *,
    platform: str,
    find_occupancy: FindOccupancyFn | None = None,
    debug: bool = False,
) -> Any:
    """Compiles the rendering of a tile.

    Args:
      render_rays: the fine pass over one microbatch.
      config: pixel and direction conventions.
      space: the space that the field lives in.
      mesh: the devices.
      size: of the share of one device.
      platform: where the program will run.
      find_occupancy: where the scene can be; microbatches of rays that meet nothing are left out.
        None for every ray.
      debug: whether `nerf.render.checks` wraps it.

    Returns:
      A function, as `jax.jit` returns it, of (what every device has a copy of, the `PixelGrid`) and
      of indices `[num_pixels]`, of which those of the image come first. It returns
      `RenderedPixels`, and the indices of the next tile.
    """
    num_pixels = mesh.size * size.microbatch * size.num_microbatches

    def on_one_device(
        replicated_arguments: tuple[Any, PixelGrid], index: jax.Array
    ) -> tuple[RenderedPixels, jax.Array]:
        replicated, grid = replicated_arguments
        chex.assert_shape(index, (size.microbatch * size.num_microbatches,))
        columns, rows, cameras = grid.at(index)
        rays = scene_rays(
            columns,
            rows,
            cameras,
            space,
            viewdir_space=config.viewdir_space,
            pixel_offset=config.pixel_offset,
        )

        occupancy = None if find_occupancy is None else find_occupancy(replicated)

        def render(rays: Rays) -> Values:
            fine = render_rays(replicated, rays, occupancy)
            return fine.rgb, fine.depth, fine.acc

        is_needed = index < grid.height * grid.width
        order = None
        if occupancy is not None:
            is_needed = is_needed & hits_occupied(rays, occupancy)
            order = jnp.argsort(~is_needed, stable=True)
            rays = jax.tree.map(lambda x: x[order], rays)
        num_microbatches = -(-jnp.sum(is_needed, dtype=jnp.int32) // size.microbatch)
        background = render_background(rays, config).fine
        background_values = background.rgb, background.depth, background.acc
        found = _map_first_microbatches(
            render, rays, background_values, size.microbatch, num_microbatches
        )
        if order is not None:
            found = jax.tree.map(lambda x: jnp.zeros_like(x).at[order].set(x), found)
        rgb, t, acc = found
        origins, directions = pinhole_rays(columns, rows, cameras, pixel_offset=config.pixel_offset)
        near, far = jnp.moveaxis(jnp.asarray(cameras.bounds), -1, 0)
        depth = space.depth(t, origins, directions, near, far)
        return RenderedPixels(rgb, depth, acc), index + num_pixels

    return parallel.jit_sharded(mesh, on_one_device, platform=platform, debug=debug)


def _map_first_microbatches(
    function: Callable[[Rays], Values],
    rays: Rays,
    default_values: Values,
    size: int,
    num: jax.Array,
) -> Values:
    """The values of the first `num` microbatches of rays, and others of those that follow."""
    microbatches, results = jax.tree.map(
        lambda x: x.reshape(-1, size, *x.shape[1:]), (rays, default_values)
    )

    def step(number: jax.Array, results: Any) -> Any:
        result = function(jax.tree.map(lambda x: x[number], microbatches))
        return jax.tree.map(lambda all_, x: all_.at[number].set(x), results, result)

    rgb, t, acc = jax.lax.fori_loop(0, num, step, results)
    return rgb.reshape(-1, 3), t.reshape(-1), acc.reshape(-1)
