"""Whole images by the exact renderer, and how any renderer's tiles become an image."""

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.sharding import Mesh

from nerf.config.settings import RenderConfig
from nerf.field import Params, RadianceField
from nerf.geometry.cameras import Cameras
from nerf.geometry.occupancy import Occupancy
from nerf.geometry.rays import Rays, scene_rays
from nerf.geometry.spaces import Space
from nerf.render.checks import check_rendering
from nerf.render.image_renderer import WHOLE_IMAGE, ImageRenderer, ImageShare, TileProgram
from nerf.render.rays import can_skip_empty_space, known_occupancy, render_rays
from nerf.render.tiles import RenderRaysFn, TileSize, choose_tile_size
from nerf.render.volume import Composite, with_peak_depth
from nerf.runtime import devices

DepthKind = Literal["mean", "peak"]  # of where the light of a ray comes from
T = TypeVar("T")
R = TypeVar("R")

CPU_RAYS_PER_MICROBATCH = 16  # at the least; more where a ray takes few evaluations
_CPU_EVALUATIONS_PER_MICROBATCH = 3072
# Of one device; a look-up costs a hundredth of what an MLP does, and a call has its own cost.
_CPU_TABLE_EVALUATIONS_PER_TILE = 2**19
_ACCELERATOR_RAYS_PER_MICROBATCH = 2**13  # where rays may meet nothing


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


ProgressFn = Callable[[int, int], None]


def make_exact_program(
    field: RadianceField,
    config: RenderConfig,
    space: Space,
    *,
    rays_per_microbatch: int | None = None,
    rays_per_tile: int | None = None,
    debug: bool = False,
    depth: DepthKind = "mean",
    mesh: Mesh | None = None,
    platform: str | None = None,
) -> TileProgram:
    """The compiled exact renderer, deterministic.

    Args:
      field: what to render.
      config: samples and conventions.
      space: the space that the field lives in.
      rays_per_microbatch: rays of one device that go through the field at once; by default as
        many as keep an accelerator busy, or fit into the cache of a CPU core.
      rays_per_tile: the most rays of one device in a call; None chooses by device.
      debug: whether values are checked, see `nerf.render.checks`; on one device.
      depth: the mean of where a ray ends, or the surface that adds most light.
      mesh: the devices; by default all local ones.
      platform: what the program is lowered for; by default the platform of this process.
    """
    platform = platform or devices.default_platform()
    if rays_per_tile is None and platform == "cpu" and field.table is not None:
        rays_per_tile = _CPU_TABLE_EVALUATIONS_PER_TILE // config.evaluations_per_ray
    if (
        rays_per_microbatch is None
        and platform != "cpu"
        and can_skip_empty_space(field, config, space)
    ):
        rays_per_microbatch = _ACCELERATOR_RAYS_PER_MICROBATCH
    size = exact_tile_size(
        config,
        platform=platform,
        rays_per_microbatch=rays_per_microbatch,
        rays_per_tile=rays_per_tile,
    )
    render = with_depth(exact_rays_renderer(field, config, debug=debug), depth)
    return TileProgram.compiled(
        render,
        config,
        space,
        size,
        find_occupancy=lambda params: known_occupancy(field, params, config, space),
        debug=debug,
        mesh=mesh,
        platform=platform,
    )


def exact_tile_size(
    config: RenderConfig,
    *,
    platform: str,
    rays_per_microbatch: int | None = None,
    rays_per_tile: int | None = None,
) -> TileSize:
    """The exact renderer's share of one device; see `choose_tile_size`."""
    evaluations = config.evaluations_per_ray
    return choose_tile_size(
        evaluations,
        on_cpu=max(CPU_RAYS_PER_MICROBATCH, _CPU_EVALUATIONS_PER_MICROBATCH // evaluations),
        platform=platform,
        rays_per_microbatch=rays_per_microbatch,
        rays_per_tile=rays_per_tile,
    )


def exact_rays_renderer(
    field: RadianceField, config: RenderConfig, *, debug: bool = False
) -> RenderRaysFn:
    """The fine pass of `render_rays`, of parameters, rays and occupancy."""

    def render(params: Params, rays: Rays, occupancy: Occupancy | None) -> Composite:
        rendering = render_rays(field, params, rays, config, occupancy=occupancy)
        if debug:
            check_rendering(rendering)
        return rendering.fine

    return render


def with_depth(render: RenderRaysFn, depth: DepthKind) -> RenderRaysFn:
    """A renderer of rays with another depth."""
    if depth == "mean":
        return render
    return lambda whole, rays, occupancy: with_peak_depth(render(whole, rays, occupancy))


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
    chex.assert_shape(camera.camtoworlds, (3, 4))
    index = jnp.arange(camera.height * camera.width)
    rows, columns = jnp.divmod(index, camera.width)
    return scene_rays(
        columns,
        rows,
        camera.broadcast_to(index.shape),
        space,
        viewdir_space=config.viewdir_space,
        pixel_offset=config.pixel_offset,
    )


def render_image(
    renderer: ImageRenderer,
    camera: Cameras,
    *,
    progress: ProgressFn | None = None,
    share: ImageShare = WHOLE_IMAGE,
) -> RenderedImage:
    """Renders one view.

    Args:
      renderer: a compiled renderer with its parameters, e.g.
        `make_exact_program(...).with_params(params)`; for every view and resolution.
      camera: one camera; its size is that of the image.
      progress: called after each tile, with the number of rays done and the number of all rays;
        those of other shares count as if they were drawn at the same rate.
      share: the part of the image that is drawn; the other pixels are 0.
    """
    num_rays, per_tile = (
        camera.height * camera.width,
        share.num_processes * len(renderer.program.order()),
    )
    rgb = np.zeros((num_rays, 3), np.float32)
    depth, acc = np.zeros(num_rays, np.float32), np.zeros(num_rays, np.float32)
    for number, (index, pixels) in enumerate(renderer.tiles(camera, share=share), start=1):
        rgb[index], depth[index], acc[index] = pixels
        if progress is not None:
            progress(min(number * per_tile, num_rays), num_rays)
    shape = (camera.height, camera.width)
    return RenderedImage(rgb.reshape(*shape, 3), depth.reshape(shape), acc.reshape(shape))
