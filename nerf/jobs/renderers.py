"""Which renderer a job uses for what: exact for scores, fast where pictures are for looking at."""

import functools
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nerf.config.settings import Config, RenderConfig
from nerf.field import Params
from nerf.geometry.cameras import Cameras
from nerf.geometry.rays import Rays, scene_rays
from nerf.geometry.spaces import Space
from nerf.jobs.job import Job, RenderMethod
from nerf.render import density_grid, fast
from nerf.render.images import RAYS_PER_CHUNK, ChunkFn, image_rays, make_chunk_renderer
from nerf.scenes.scene import Scene

# Below so many evaluations of the network, preparing takes longer than it saves: finding out how
# many samples it takes, or compiling a renderer for previews.
_MIN_EVALUATIONS = 2**23
_MIN_PREVIEW_EVALUATIONS = 2**21
# The finest of these grids is taken that costs no more than this share of the exact pictures.
_GRID_SHARE = 0.1
_RESOLUTIONS = (fast.RESOLUTION, (128, 128, 96), (96, 96, 64), (64, 64, 48))
_PREVIEW_SAMPLING = fast.Sampling(64)
_COMPARED_RAYS = 8 * RAYS_PER_CHUNK
_TICKS_WITH_LENS = 7  # pixels along each side whose rays bound a view's


class Renderer(NamedTuple):
    """A renderer of chunks, and which one it is."""

    render_chunk: ChunkFn
    method: RenderMethod


def exact_renderer(job: Job) -> Renderer:
    """The exact renderer of a job's field."""
    return Renderer(make_chunk_renderer(job.field, job.config.render, debug=job.debug), "exact")


def scoring_renderer(job: Job, params: Params, cameras: Cameras) -> Renderer:
    """What held-out views are scored with: exact unless `job.render` is `fast`."""
    exact = exact_renderer(job)
    return _fast_or_exact(exact, job, params, cameras) if job.render == "fast" else exact


def video_renderer(
    job: Job, params: Params, cameras: Cameras, known: Renderer | None = None
) -> Renderer:
    """What a video is drawn with: fast where that pays, unless `job.render` is `exact`.

    Args:
      job: what is rendered.
      params: its parameters.
      cameras: `[num_cameras]`, all that will be rendered.
      known: a renderer of the same field, where there is one.
    """
    exact = known if known is not None and known.method == "exact" else exact_renderer(job)
    return exact if job.render == "exact" else _fast_or_exact(exact, job, params, cameras)


def preview_renderer(job: Job, camera: Cameras) -> Callable[[Params], ChunkFn]:
    """What one view is drawn with while its field is still in training.

    Args:
      job: what is trained.
      camera: of the view.

    Returns:
      A function of the parameters as they are now.
    """
    num_pixels = camera.height * camera.width
    if job.render == "exact" or not _is_worthwhile(job, num_pixels, _MIN_PREVIEW_EVALUATIONS):
        exact = exact_renderer(job).render_chunk
        return lambda params: exact
    config = job.config.render
    measure = fast.make_density_grid_builder(
        job.field, config, scene_box(job.scene, config, camera[None]), _resolution(job, num_pixels)
    )
    render_chunk = fast.make_fast_chunk_renderer(job.field, config, _PREVIEW_SAMPLING)

    def prepare(params: Params) -> ChunkFn:
        grid = measure(params)
        return lambda params, rays: render_chunk(params, grid, rays)

    return prepare


def _fast_or_exact(exact: Renderer, job: Job, params: Params, cameras: Cameras) -> Renderer:
    """The fast renderer with the fewest samples that suffice; the exact one where none do."""
    num_pixels = len(cameras.focal) * cameras.height * cameras.width
    if job.render == "fast" and job.config.render.networks == "proposal":
        print("rendering exactly: the field's own proposal says already where to look")
    elif job.render == "fast" and not job.scene.space.has_straight_rays:
        print(f"rendering exactly: rays are not straight in {job.scene.space.name} space")
    if not _is_worthwhile(job, num_pixels, _MIN_EVALUATIONS):
        return exact
    start = time.monotonic()
    config, resolution = job.config.render, _resolution(job, num_pixels)
    grid = fast.make_density_grid_builder(
        job.field, config, scene_box(job.scene, config, cameras), resolution
    )(params)
    rays, truth = compared_rays(job.scene, job.config)
    choice = fast.choose_sampling(job.field, params, config, grid, rays, exact.render_chunk, truth)
    num_samples, seconds = choice.sampling.num_samples, time.monotonic() - start
    found = f"pictures are {choice.psnr:.1f} dB from exact ones, found out in {seconds:.0f} s"
    if not choice.suffices:
        print(f"rendering exactly: with {num_samples} samples a ray {found}")
        return exact
    instead = f"instead of {config.evaluations_per_ray}"
    print(f"rendering fast, with {num_samples} samples a ray {instead}: {found}")
    render_chunk = fast.make_fast_chunk_renderer(job.field, config, choice.sampling)
    return Renderer(lambda params, rays: render_chunk(params, grid, rays), "fast")


def _is_worthwhile(job: Job, num_pixels: int, min_evaluations: int) -> bool:
    """Whether preparing is worth it: not where a proposal tells already where to look.

    Values are checked in exact pictures alone, and rays that are not straight are rendered exactly.
    """
    exactly = job.config.render.networks == "proposal" or not job.scene.space.has_straight_rays
    return not (job.debug or exactly) and _evaluations(job, num_pixels) >= min_evaluations


def _evaluations(job: Job, num_pixels: int) -> int:
    """Of the network, for exact pictures."""
    return num_pixels * job.config.render.evaluations_per_ray


def _resolution(job: Job, num_pixels: int) -> tuple[int, int, int]:
    budget = _GRID_SHARE * _evaluations(job, num_pixels)
    fit = [resolution for resolution in _RESOLUTIONS if np.prod(resolution) <= budget]
    return fit[0] if fit else _RESOLUTIONS[-1]


def scene_box(
    scene: Scene, config: RenderConfig, cameras: Cameras | None = None
) -> tuple[jax.Array, jax.Array]:
    """Corners of a box, in the field's space, around what a scene's cameras see.

    Args:
      scene: the scene.
      config: pixel conventions.
      cameras: `[num_cameras]`, others that the box should be large enough for.
    """
    if scene.space.box is not None:
        low, high = scene.space.box
        return jnp.array(low), jnp.array(high)
    groups = [scene.cameras] if cameras is None else [cameras, scene.cameras]
    return density_grid.box_around([_corner_rays(group, scene.space, config) for group in groups])


@functools.partial(jax.jit, static_argnums=(1, 2))
def _corner_rays(cameras: Cameras, space: Space, config: RenderConfig) -> Rays:
    """Rays `[num_cameras, num_rays]` between which all rays of the cameras lie.

    They are those of the corners of each image; with a lens, those of pixels along its border,
    which is nearly enough.
    """
    ticks = np.linspace(0, 1, 2 if cameras.lens is None else _TICKS_WITH_LENS)
    columns, rows = jnp.meshgrid(
        jnp.asarray(np.round(ticks * (cameras.width - 1)).astype(np.int32)),
        jnp.asarray(np.round(ticks * (cameras.height - 1)).astype(np.int32)),
    )
    shape = (len(cameras.focal), columns.size)
    return scene_rays(
        jnp.broadcast_to(columns.reshape(1, -1), shape),
        jnp.broadcast_to(rows.reshape(1, -1), shape),
        cameras[:, None].broadcast_to(shape),
        space,
        viewdir_space=config.viewdir_space,
        pixel_offset=config.pixel_offset,
    )


def compared_rays(scene: Scene, config: Config) -> tuple[Rays, npt.NDArray[np.float32]]:
    """Some rays of the held-out views, always the same, and the colours of their pixels."""
    indices = np.array(scene.split(config.train.holdout).test)
    rays = [
        image_rays(scene.cameras[index], space=scene.space, config=config.render)
        for index in indices
    ]
    all_rays: Rays = jax.tree.map(lambda *parts: jnp.concatenate(parts), *rays)
    truth = scene.images[indices].reshape(-1, 3)
    chosen = np.random.default_rng(0).choice(len(truth), _COMPARED_RAYS)
    return jax.tree.map(lambda x: x[chosen], all_rays), truth[chosen]
