"""A compiled renderer of tiles, with parameters on its devices: it draws images, whole or in part.

The processes of a job draw an image together: each has an `ImageShare` of its pixels.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from nerf.config.settings import RenderConfig
from nerf.geometry.cameras import Cameras
from nerf.geometry.spaces import Space
from nerf.render.checks import checked
from nerf.render.tiles import (
    FindOccupancyFn,
    PixelGrid,
    RenderedPixels,
    RenderRaysFn,
    TileSize,
    jit_tile,
)
from nerf.runtime import parallel


class ImageShare(NamedTuple):
    """The part of an image that one of several processes draws; by default all of it.

    Microbatches go in turn to the devices of all processes, which must each have the same number.

    Attributes:
      process: the number of the process, from 0.
      num_processes: how many there are.
    """

    process: int = 0
    num_processes: int = 1


WHOLE_IMAGE = ImageShare()


@dataclasses.dataclass(frozen=True)
class TileProgram:
    """A compiled renderer of tiles, for any parameters.

    Attributes:
      run: see `jit_tile`.
      mesh: the devices.
      size: of the share of one device.
    """

    run: Callable[..., tuple[RenderedPixels, jax.Array]]
    mesh: Mesh
    size: TileSize

    @classmethod
    def compiled(
        cls,
        render_rays: RenderRaysFn,
        config: RenderConfig,
        space: Space,
        size: TileSize,
        *,
        find_occupancy: FindOccupancyFn | None = None,
        debug: bool = False,
        mesh: Mesh | None = None,
        platform: str | None = None,
    ) -> "TileProgram":
        """For all local devices, or for one with `debug`, unless a mesh is given. See `jit_tile`.

        Args:
          render_rays, config, space, size, find_occupancy, debug: see `jit_tile`.
          mesh: the devices.
          platform: what the program is lowered for; by default the platform of the devices.
        """
        if mesh is None:
            mesh = parallel.make_mesh(1) if debug else all_devices()
        jitted = jit_tile(
            render_rays,
            config,
            space,
            mesh,
            size,
            platform=platform or parallel.platform_of(mesh),
            find_occupancy=find_occupancy,
            debug=debug,
        )
        return cls(checked(jitted) if debug else jitted, mesh, size)

    def with_params(self, params: Any) -> "ImageRenderer":
        """The renderer of these parameters; those that are not yet on the devices go there now.

        Args:
          params: the field's parameters, and what else the program needs, e.g. a grid of densities.
        """
        return ImageRenderer(self, parallel.replicate(self.mesh, params), self._shard(self.order()))

    def order(self, share: ImageShare = WHOLE_IMAGE) -> npt.NDArray[np.int32]:
        """Pixels of the first tile, device by device; microbatches go to the devices in turn."""
        microbatch, num_microbatches = self.size
        num_devices, first = self.mesh.size * share.num_processes, self.mesh.size * share.process
        index = np.arange(num_devices * microbatch * num_microbatches, dtype=np.int32)
        by_device = index.reshape(num_microbatches, num_devices, microbatch).swapaxes(0, 1)
        return by_device[first : first + self.mesh.size].reshape(-1)

    def pixels_of(self, share: ImageShare, num_pixels: int) -> npt.NDArray[np.int32]:
        """The pixels of an image that a share has, in the order in which they are drawn."""
        order = self.order(share)
        starts = np.arange(0, num_pixels, share.num_processes * len(order), dtype=np.int32)
        index = (starts[:, None] + order[None]).reshape(-1)
        return index[index < num_pixels]

    def _shard(self, index: npt.NDArray[np.int32]) -> jax.Array:
        placed: jax.Array = jax.device_put(index, NamedSharding(self.mesh, P(parallel.AXIS)))
        return placed


@dataclasses.dataclass(frozen=True)
class ImageRenderer:
    """A compiled renderer with parameters that are on its devices.

    Attributes:
      program: the compiled program.
      replicated: what every device has a copy of, the parameters among it.
      first: indices of the first tile of an image, on the devices.
    """

    program: TileProgram
    replicated: Any
    first: jax.Array

    def tiles(
        self, camera: Cameras, *, is_ahead: bool = True, share: ImageShare = WHOLE_IMAGE
    ) -> Iterator[tuple[npt.NDArray[np.int32], RenderedPixels]]:
        """Renders an image, tile by tile.

        A tile is fetched while the devices are busy with the next; only the camera is sent there.

        Args:
          camera: one camera; its size is that of the image.
          is_ahead: whether the devices begin a tile before the one before is taken. Without it,
            they do nothing between two tiles.
          share: the part of the image that is drawn. Each share has the same number of tiles.

        Yields:
          Indices `[num_pixels]` of a tile's pixels, row by row, and the pixels, on the host.
        """
        num_pixels = camera.height * camera.width
        replicated_arguments = (
            self.replicated,
            parallel.replicate(self.program.mesh, PixelGrid.of(camera)),
        )
        order = self.program.order(share)
        index, waiting = self.first, None
        for start in range(0, num_pixels, share.num_processes * len(order)):
            if share.num_processes > 1:
                index = self.program._shard(order + start)
            pixels, index = self.program.run(replicated_arguments, index)
            if not is_ahead:
                yield _fetch(order + start, pixels, num_pixels)
                continue
            if waiting is not None:
                yield _fetch(*waiting, num_pixels)
            waiting = (order + start, pixels)
        if waiting is not None:
            yield _fetch(*waiting, num_pixels)

    def pixels(self, camera: Cameras, index: npt.NDArray[np.int32]) -> RenderedPixels:
        """Renders some pixels of an image.

        Args:
          camera: one camera.
          index: `[num_pixels]`, which pixels, row by row.

        Returns:
          The pixels, on the host.
        """
        replicated_arguments = (
            self.replicated,
            parallel.replicate(self.program.mesh, PixelGrid.of(camera)),
        )
        order, parts = self.program.order(), []
        for start in range(0, len(index), len(order)):
            part = index[start : start + len(order)]
            beyond = np.full(len(order) - len(part), camera.height * camera.width, np.int32)
            tile = np.concatenate([part.astype(np.int32), beyond])[order]
            pixels, _ = self.program.run(replicated_arguments, self.program._shard(tile))
            parts.append(_in_order(*_fetch(order, pixels, len(part))))
        joined: RenderedPixels = jax.tree.map(lambda *each: np.concatenate(each), *parts)
        return joined


def all_devices() -> Mesh:
    """A mesh of all local devices."""
    return parallel.make_mesh(len(jax.local_devices()))


def _fetch(
    index: npt.NDArray[np.int32], pixels: RenderedPixels, num_pixels: int
) -> tuple[npt.NDArray[np.int32], RenderedPixels]:
    """Fetches a tile; without the pixels whose index is not below `num_pixels`."""
    fetched, inside = jax.device_get(pixels), index < num_pixels
    return index[inside], RenderedPixels(*(each[inside] for each in fetched))


def _in_order(index: npt.NDArray[np.int32], pixels: RenderedPixels) -> RenderedPixels:
    """Pixels sorted by their index."""
    order = np.argsort(index)
    ordered: RenderedPixels = jax.tree.map(lambda x: x[order], pixels)
    return ordered
