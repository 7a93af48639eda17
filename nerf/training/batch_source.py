"""Where the batches of a run come from: images on the devices, or images on the host.

Either way the same pixels are drawn, and nothing but the batch crosses from one memory to another.
"""

import dataclasses
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from nerf.runtime import devices, global_arrays, parallel
from nerf.training.batch import (
    DrawnPixels,
    PixelBatch,
    TrainingViews,
    draw_batch,
    draw_pixels,
    with_colours,
)
from nerf.training.depth_batch import DepthPixels, DepthTable, draw_depths


class DrawFn(Protocol):
    def __call__(self, key: jax.Array, step: jax.Array, /) -> PixelBatch:
        """The batch of a step, with the rays sharded over the mesh.

        Args:
          key: the run's random key.
          step: `[]` int32, the number of steps done.
        """


def make_draw(mesh: Mesh, views: TrainingViews, num_rays: int, image_memory: float) -> DrawFn:
    """Draws the batches of a run.

    Args:
      mesh: the devices; their number divides `num_rays`.
      views: NumPy arrays.
      num_rays: rays of a batch.
      image_memory: the largest share of a device's memory for the images. If they are larger, they
        stay on the host; so do those of which each process has its own.
    """
    limit = image_memory * devices.device_memory(mesh.local_devices[0])
    on_devices = views.share is None and views.pixels.nbytes <= limit
    return draw_on_devices(mesh, views, num_rays) if on_devices else HostDraw(mesh, views, num_rays)


def draw_on_devices(mesh: Mesh, views: TrainingViews, num_rays: int) -> DrawFn:
    """Draws from images on every device; the devices of a CPU share them."""
    placed = global_arrays.replicate_on_all(mesh, views, may_alias=True)

    def draw(key: jax.Array, step: jax.Array, views: TrainingViews) -> PixelBatch:
        return draw_batch(jax.random.fold_in(key, step), views, num_rays)

    # Each device draws its own rays, so nothing crosses.
    jitted = jax.jit(draw, out_shardings=NamedSharding(mesh, P(parallel.AXIS)))
    return lambda key, step: jitted(key, step, placed)


def with_depths(draw: DrawFn, mesh: Mesh, depths: DepthTable | None, num_rays: int) -> DrawFn:
    """Also draws pixels of known depth, from a table on every device; nothing else changes.

    Args:
      draw: the batches without.
      mesh: the devices; their number divides `num_rays`.
      depths: known depths; None for none.
      num_rays: rays of known depth.
    """
    if depths is None:
        return draw
    placed = global_arrays.replicate_on_all(mesh, depths)

    def draw_some(key: jax.Array, step: jax.Array, depths: DepthTable) -> DepthPixels:
        return draw_depths(jax.random.fold_in(key, step), depths, num_rays)

    jitted = jax.jit(draw_some, out_shardings=NamedSharding(mesh, P(parallel.AXIS)))

    def both(key: jax.Array, step: jax.Array, /) -> PixelBatch:
        return dataclasses.replace(draw(key, step), depths=jitted(key, step, placed))

    return both


class HostDraw:
    """Draws from images on the host with NumPy; one thread draws the next batch ahead of time.

    Of several processes, each reads the colours of its own rays alone.
    """

    def __init__(self, mesh: Mesh, views: TrainingViews, num_rays: int):
        self._views = views
        self._pixels = np.asarray(views.pixels)
        self._first = 0 if views.share is None else views.share.first
        num_strata = 1 if views.share is None else views.share.num_strata
        self._sharding = NamedSharding(mesh, P(parallel.AXIS))
        self._mesh, self._device = mesh, mesh.local_devices[0]
        self._own = global_arrays.own_rows(mesh, num_rays)
        self._which = jax.device_put((views.layout, views.mask), self._device)
        self._draw = jax.jit(
            lambda key, step, layout, mask: draw_pixels(
                jax.random.fold_in(key, step), layout, num_rays, mask, num_strata
            )
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._key: tuple[bytes, jax.Array] | None = None
        self._ahead: tuple[bytes, int, Future[PixelBatch]] | None = None

    def __call__(self, key: jax.Array, step: jax.Array, /) -> PixelBatch:
        data = np.asarray(jax.random.key_data(key.addressable_data(0)))
        content, number = data.tobytes(), int(step.addressable_data(0))
        if self._key is None or self._key[0] != content:  # a copy: the step donates the state's key
            copy = jax.device_put(np.array(data), self._device)
            self._key = content, jax.random.wrap_key_data(copy, impl=jax.random.key_impl(key))
        own_key, ahead = self._key[1], self._ahead
        is_next = ahead is not None and ahead[:2] == (content, number)
        batch = ahead[2].result() if ahead and is_next else self._batch(own_key, number)
        following = self._thread.submit(self._batch, own_key, number + 1)
        self._ahead = content, number + 1, following
        return batch

    def _batch(self, key: jax.Array, step: int) -> PixelBatch:
        number = jax.device_put(np.int32(step), self._device)
        drawn: DrawnPixels = self._draw(key, number, *self._which)
        if global_arrays.spans_processes(self._mesh):
            drawn = jax.tree.map(lambda x: x[self._own], drawn)
            return global_arrays.from_own_rows(self._coloured(drawn), self._mesh)
        batch: PixelBatch = jax.device_put(self._coloured(drawn), self._sharding)
        return batch

    def _coloured(self, drawn: DrawnPixels) -> PixelBatch:
        colours = self._pixels[np.asarray(drawn.position) - self._first]
        return with_colours(drawn, colours, self._views)
