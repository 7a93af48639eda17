"""Whole images, in chunks of a fixed size.

Rays are rendered `RAYS_PER_CHUNK` at a time, the last chunk padded, so there is one compilation
whatever the resolution, and memory is bounded by the chunk. Within a chunk, a CPU goes through
microbatches whose activations stay in its cache.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.sharding import Mesh

from nerf.config.settings import RenderConfig
from nerf.field import Params, RadianceField
from nerf.geometry.cameras import Cameras, pinhole_rays
from nerf.geometry.rays import Rays, scene_rays
from nerf.geometry.spaces import Space
from nerf.render.checks import check_rendering, checked
from nerf.render.rays import render_rays
from nerf.runtime import parallel

T = TypeVar("T")
R = TypeVar("R")

RAYS_PER_CHUNK = 1024
CPU_RAYS_PER_MICROBATCH = 16  # at the least; more where a ray takes few evaluations
_CPU_EVALUATIONS_PER_MICROBATCH = 3072


class RenderedImage(NamedTuple):
    """One rendered view.

    Attributes:
      rgb: `[height, width, 3]` float32, sRGB in [0, 1].
      depth: `[height, width]` float32, along the camera's viewing axis, in scene units.
      acc: `[height, width]` float32, in [0, 1].
    """

    rgb: npt.NDArray[np.float32]
    depth: npt.NDArray[np.float32]
    acc: npt.NDArray[np.float32]


class RenderedChunk(NamedTuple):
    """The fine pass over one chunk of rays: `[num_rays, 3]`, `[num_rays]`, `[num_rays]`."""

    rgb: jax.Array
    t: jax.Array
    acc: jax.Array


ChunkFn = Callable[[Params, Rays], RenderedChunk]
Progress = Callable[[int, int], None]


def make_chunk_renderer(
    field: RadianceField,
    config: RenderConfig,
    *,
    rays_per_microbatch: int | None = None,
    debug: bool = False,
) -> ChunkFn:
    """The compiled renderer of one chunk of `RAYS_PER_CHUNK` rays, deterministic, on all devices.

    Args:
      field: what to render.
      config: samples and conventions.
      rays_per_microbatch: the most rays in a microbatch of one device; by default all rays of the
        device on an accelerator, and at least `CPU_RAYS_PER_MICROBATCH` on a CPU.
      debug: whether values are checked, see `nerf.render.checks`; on one device.
    """
    mesh = parallel.make_mesh(1 if debug else RAYS_PER_CHUNK)
    jitted = jit_chunk_renderer(
        field, config, mesh, rays_per_microbatch=rays_per_microbatch, debug=debug
    )
    return parallel.with_replicated_arguments(mesh, checked(jitted) if debug else jitted)


def jit_chunk_renderer(
    field: RadianceField,
    config: RenderConfig,
    mesh: Mesh,
    *,
    rays_per_microbatch: int | None = None,
    platform: str | None = None,
    debug: bool = False,
) -> Any:
    """`make_chunk_renderer` for arrays that are on the devices of a mesh.

    Args:
      field, config, rays_per_microbatch, debug: see `make_chunk_renderer`.
      mesh: the devices.
      platform: where the program will run; None for the platform of the mesh.

    Returns:
      A function of parameters and rays, as `jax.jit` returns it.
    """
    platform = platform or parallel.platform_of(mesh)
    microbatch_size = parallel.choose_microbatch_size(
        RAYS_PER_CHUNK // mesh.size,
        rays_per_microbatch,
        on_cpu=max(
            CPU_RAYS_PER_MICROBATCH, _CPU_EVALUATIONS_PER_MICROBATCH // config.evaluations_per_ray
        ),
        platform=platform,
    )

    def render_microbatch(params: Params, rays: Rays) -> RenderedChunk:
        rendering = render_rays(field, params, rays, config)
        if debug:
            check_rendering(rendering)
        fine = rendering.fine
        return RenderedChunk(fine.rgb, fine.depth, fine.acc)

    def one_share(params: Params, rays: Rays) -> RenderedChunk:
        return map_microbatches(lambda rays: render_microbatch(params, rays), rays, microbatch_size)

    return parallel.jit_sharded(mesh, one_share, platform=platform, debug=debug)


def map_microbatches(function: Callable[[T], R], tree: T, microbatch_size: int) -> R:
    """Applies a function to arrays `[num, ...]` of rays or points, one microbatch at a time.

    Args:
      function: of a tree of arrays `[microbatch_size, ...]`; returns such a tree as well.
      tree: of arrays `[num, ...]`.
      microbatch_size: a divisor of `num`.
    """
    microbatches = jax.tree.map(lambda x: x.reshape(-1, microbatch_size, *x.shape[1:]), tree)
    results = jax.lax.map(function, microbatches)
    joined: R = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), results)
    return joined


@functools.partial(jax.jit, static_argnames=("space", "config"))
def image_rays(camera: Cameras, *, space: Space, config: RenderConfig) -> Rays:
    """The rays of every pixel of one camera, row by row.

    Args:
      camera: one camera.
      space: the space that the field lives in.
      config: pixel and direction conventions.

    Returns:
      Rays `[height * width]`.
    """
    columns, rows, cameras = _pixels(camera)
    return scene_rays(
        columns,
        rows,
        cameras,
        space,
        viewdir_space=config.viewdir_space,
        pixel_offset=config.pixel_offset,
    )


def render_image(
    render_chunk: ChunkFn,
    params: Params,
    camera: Cameras,
    *,
    space: Space,
    config: RenderConfig,
    progress: Progress | None = None,
) -> RenderedImage:
    """Renders one view.

    Args:
      render_chunk: from `make_chunk_renderer`, used for every view and resolution.
      params: the field's parameters.
      camera: one camera; its size is that of the image.
      space: the space that the field lives in.
      config: what `render_chunk` was made with.
      progress: called with the number of rays done and the number of all rays.
    """
    rays = image_rays(camera, space=space, config=config)
    num_rays = camera.height * camera.width
    chunks: list[RenderedChunk] = []
    waiting: list[RenderedChunk] = []

    def fetch() -> None:
        chunks.append(jax.device_get(waiting.pop()))
        if progress is not None:
            progress(min(len(chunks) * RAYS_PER_CHUNK, num_rays), num_rays)

    for chunk in _chunks(rays, num_rays):
        rendered = render_chunk(params, chunk)
        if waiting:  # fetched while the device is busy with the next
            fetch()
        waiting.append(rendered)
    fetch()
    rgb, t, acc = (np.concatenate(parts)[:num_rays] for parts in zip(*chunks, strict=True))
    depth = np.array(_depth(t, camera, space=space, pixel_offset=config.pixel_offset))
    shape = (camera.height, camera.width)
    return RenderedImage(rgb.reshape(*shape, 3), depth.reshape(shape), acc.reshape(shape))


def _pixels(camera: Cameras) -> tuple[jax.Array, jax.Array, Cameras]:
    """Columns and rows of all pixels `[height * width]`, and the camera of each."""
    chex.assert_shape(camera.camtoworlds, (3, 4))
    index = jnp.arange(camera.height * camera.width)
    rows, columns = jnp.divmod(index, camera.width)
    return columns, rows, camera.broadcast_to(index.shape)


def _chunks(rays: Rays, num_rays: int) -> Iterator[Rays]:
    """Chunks of one size, on the host; the last is filled up by repeating the last ray."""
    rays = jax.device_get(rays)
    for start in range(0, num_rays, RAYS_PER_CHUNK):
        index = np.minimum(np.arange(start, start + RAYS_PER_CHUNK), num_rays - 1)
        yield jax.tree.map(lambda x, index=index: x[index], rays)


@functools.partial(jax.jit, static_argnames=("space", "pixel_offset"))
def _depth(t: jax.Array, camera: Cameras, *, space: Space, pixel_offset: float) -> jax.Array:
    """Depth `[height * width]` at parameters t of the rays of all pixels, in scene units."""
    columns, rows, cameras = _pixels(camera)
    origins, directions = pinhole_rays(columns, rows, cameras, pixel_offset=pixel_offset)
    near, far = jnp.moveaxis(jnp.asarray(cameras.bounds), -1, 0)
    return space.depth(t, origins, directions, near, far)
