"""Fast rendering: a density grid places the samples, so that fewer are needed.

The exact renderer finds the surfaces along a ray with the network itself, and spends most of its
samples on that. Here the grid, made once for given parameters, finds them, and samples are placed
by the weight that each interval of the ray has in the colour of its pixel:

* few are in intervals that are empty in the grid; some are everywhere, since the grid is coarse;
* almost none are behind opaque surfaces;
* `choose_sampling` finds the smallest number of samples with which images are close to exact ones.

Colours still come from the network alone, and so do densities, except for a part of their variation
within the interval of a sample.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.sharding import Mesh

from nerf.config.settings import NETWORKS, RenderConfig
from nerf.field import Params, RadianceField
from nerf.geometry.cameras import Cameras
from nerf.geometry.occupancy import Occupancy
from nerf.geometry.rays import Rays, positions
from nerf.geometry.spaces import Space
from nerf.render import density_grid, image_metrics, sampling, volume
from nerf.render.density_grid import DensityGrid
from nerf.render.image_renderer import ImageRenderer, TileProgram
from nerf.render.images import DepthKind, map_microbatches, with_depth
from nerf.render.rays import evaluate_field_along_rays
from nerf.render.tiles import RenderRaysFn, TileSize, choose_tile_size
from nerf.runtime import devices, parallel

RESOLUTION = (192, 192, 128)
NUM_GRID_SAMPLES = 96  # intervals of a ray whose density is read from the grid
MIN_PSNR = 40.0  # dB against the exact renderer, on the rays that are compared
MAX_LOSS = 0.03  # dB of PSNR against the images of the scene, on the same rays
# The numbers that `choose_sampling` tries; each is compiled.
NUM_SAMPLES: Sequence[int] = (16, 20, 24, 28, 32, 40, 48, 64, 80, 96)
# From trials on the published flower and the bundled scenes; nearby values do about as well.
# The density of samples follows weight ** _POWER.
_POWER = 0.75
_UNIFORM_SHARE = 0.1  # of the samples, spread evenly
_CPU_RAYS_PER_MICROBATCH = 256  # whose densities are looked up at once


class FastSampling(NamedTuple):
    """The number of samples, and how the density of an interval follows from its sample.

    Attributes:
      num_samples: samples a ray.
      shift: how far a sample is in front of the middle of its interval, in halves of the exact
        renderer's sample spacing there. In that renderer a sample stands for the interval behind
        it, and the field was trained so.
      trend: the share of (mean of the grid over the interval - grid at the sample) that is added
        to the network's density.
      smoothing: the share of the grid's mean in the density; the mean is smoother than one sample.
    """

    num_samples: int
    shift: float = 1.0
    trend: float = 1.0
    smoothing: float = 0.0


# For a field that is smooth within an interval, and for one that is not. From trials on the bundled
# scenes and the published flower.
BLENDS = ((1.0, 1.0, 0.0), (0.25, 0.5, 0.2))


class SamplingChoice(NamedTuple):
    """The outcome of `choose_sampling`.

    Attributes:
      sampling: with the fewest samples that suffice; with the most of `NUM_SAMPLES` if none do.
      psnr: in dB, of fast against exact colours.
      loss: how many dB of PSNR against the true colours are lost; 0 where these are not given.
      suffices: whether `psnr` reaches `MIN_PSNR` and `loss` is at most `MAX_LOSS`.
    """

    sampling: FastSampling
    psnr: float
    loss: float
    suffices: bool

    @classmethod
    def of(cls, values: Any) -> "SamplingChoice":
        """The choice that went through JSON, or one as it is."""
        sampling, *rest = values
        return cls(FastSampling(*sampling), *rest)


def make_density_grid_builder(
    field: RadianceField,
    config: RenderConfig,
    box: tuple[jax.Array, jax.Array],
    resolution: tuple[int, int, int] = RESOLUTION,
) -> Callable[[Params], DensityGrid]:
    """The densities of the last network, see `density_grid.make_grid_builder`."""
    build = density_grid.make_grid_builder(field, box, resolution)
    return lambda params: build(params[_last_network(config)])


def make_fast_program(
    field: RadianceField,
    config: RenderConfig,
    space: Space,
    fast_sampling: FastSampling,
    *,
    rays_per_microbatch: int | None = None,
    depth: DepthKind = "mean",
    mesh: Mesh | None = None,
    platform: str | None = None,
) -> TileProgram:
    """The compiled fast renderer.

    Args:
      field: what to render.
      config: conventions; its numbers of samples are not used.
      space: the space that the field lives in, with straight rays.
      fast_sampling: the number of samples and their densities, see `choose_sampling`.
      rays_per_microbatch, depth, mesh, platform: see `nerf.render.images.make_exact_program`.

    Returns:
      A program whose parameters are those of the field and the grid of these parameters.
    """
    platform = platform or devices.default_platform()
    size = fast_tile_size(fast_sampling, platform=platform, rays_per_microbatch=rays_per_microbatch)
    render = with_depth(
        fast_rays_renderer(field, config, fast_sampling, size, platform=platform), depth
    )
    return TileProgram.compiled(render, config, space, size, mesh=mesh, platform=platform)


def fast_tile_size(
    fast_sampling: FastSampling, *, platform: str, rays_per_microbatch: int | None = None
) -> TileSize:
    """The fast renderer's share of one device; see `choose_tile_size`."""
    return choose_tile_size(
        fast_sampling.num_samples,
        on_cpu=_CPU_RAYS_PER_MICROBATCH,
        platform=platform,
        rays_per_microbatch=rays_per_microbatch,
    )


def fast_rays_renderer(
    field: RadianceField,
    config: RenderConfig,
    fast_sampling: FastSampling,
    size: TileSize,
    *,
    platform: str,
) -> RenderRaysFn:
    """`render_rays_fast` of one microbatch, of (parameters, grid), rays and an unused occupancy.

    On a CPU, fewer rays go through the field at once than have their densities looked up at once.
    """
    at_once = size.microbatch
    if platform == "cpu":
        preferred = max(1, density_grid.CPU_POINTS_PER_MICROBATCH // fast_sampling.num_samples)
        at_once = parallel.largest_divisor(size.microbatch, preferred)

    def render(
        params_and_grid: tuple[Params, DensityGrid], rays: Rays, occupancy: Occupancy | None
    ) -> volume.Composite:
        del occupancy  # the grid tells where samples are needed
        params, grid = params_and_grid
        return render_rays_fast(
            field, params, grid, rays, config, fast_sampling, rays_per_microbatch=at_once
        )

    return render


def choose_sampling(
    field: RadianceField,
    params: Params,
    config: RenderConfig,
    grid: DensityGrid,
    pixels: Sequence[tuple[Cameras, npt.NDArray[np.int32]]],
    exact: ImageRenderer,
    space: Space,
    truth: npt.NDArray[np.float32] | None = None,
) -> SamplingChoice:
    """The smallest number of samples a ray with which images are as good as exact ones.

    Args:
      field: what is rendered.
      params: its parameters.
      config: the exact renderer's.
      grid: of these parameters.
      pixels: cameras, and indices of pixels of each, a random sample of what will be rendered.
      exact: the exact renderer, with these parameters.
      space: the space that the field lives in.
      truth: `[num_pixels, 3]`, the true colours of all these pixels, or None.

    Returns:
      The better of `BLENDS`, with the one of `NUM_SAMPLES`, found by bisection, that reaches
      `MIN_PSNR` and loses no more than `MAX_LOSS` where the one before it does not.
    """

    def colours(renderer: ImageRenderer) -> npt.NDArray[np.float32]:
        parts = [renderer.pixels(camera, index).rgb for camera, index in pixels]
        return np.concatenate(parts)

    expected = colours(exact)
    replicated = parallel.replicate(exact.program.mesh, (params, grid))

    @functools.cache
    def measure(candidate: FastSampling) -> SamplingChoice:
        program = make_fast_program(field, config, space, candidate)
        rgb = colours(program.with_params(replicated))
        psnr = image_metrics.psnr(rgb, expected)
        loss = 0.0
        if truth is not None:
            loss = image_metrics.psnr(expected, truth) - image_metrics.psnr(rgb, truth)
        return SamplingChoice(candidate, psnr, loss, psnr >= MIN_PSNR and loss <= MAX_LOSS)

    low, high = 0, len(NUM_SAMPLES) - 1
    middle = NUM_SAMPLES[(low + high) // 2]
    blends = (measure(FastSampling(middle, *blend)) for blend in BLENDS)
    better = max(blends, key=operator.attrgetter("psnr")).sampling

    def with_number(index: int) -> SamplingChoice:
        return measure(better._replace(num_samples=NUM_SAMPLES[index]))

    while low < high:
        index = (low + high) // 2
        low, high = (low, index) if with_number(index).suffices else (index + 1, high)
    return with_number(low)


def render_rays_fast(
    field: RadianceField,
    params: Params,
    grid: DensityGrid,
    rays: Rays,
    config: RenderConfig,
    fast_sampling: FastSampling,
    *,
    rays_per_microbatch: int,
) -> volume.Composite:
    """The fine pass of `nerf.render.rays.render_rays`, deterministic, from fewer samples.

    Args:
      field: what to render.
      params: one tree or two, see `config.networks`; the last network is evaluated.
      grid: its densities.
      rays: `[num_rays]`, in a space with straight rays.
      config: networks, last interval, background.
      fast_sampling: samples a ray, and the part of the grid in their densities.
      rays_per_microbatch: rays that go through the field at once; a divisor of `num_rays`.
    """
    if not rays.space.has_straight_rays:
        raise ValueError("the fast renderer looks up densities along straight rays")
    optical_depth = _optical_depth_in_grid(grid, rays)
    unit = _equal_importance_edges(optical_depth, fast_sampling.num_samples)
    unit_middle = 0.5 * (unit[:, 1:] + unit[:, :-1])
    shift = (
        0.5
        * fast_sampling.shift
        / _exact_samples_per_ray_length(optical_depth, unit_middle, config)
    )
    unit_middle = jnp.maximum(unit_middle - shift, 0.0)
    near, span = rays.near[:, None], (rays.far - rays.near)[:, None]
    t_vals = near + span * unit_middle
    scale = jnp.linalg.norm(rays.directions, axis=-1, keepdims=True)
    lengths = span * scale * (unit[:, 1:] - unit[:, :-1])
    first, last = (jnp.clip(edge - shift, 0.0, 1.0) for edge in (unit[:, :-1], unit[:, 1:]))
    in_grid = _interpolate(optical_depth, last) - _interpolate(optical_depth, first)
    mean_in_grid = in_grid / jnp.maximum(lengths, 1e-12)
    middle_in_grid = _slope(optical_depth, unit_middle) / (span * scale)
    if config.last_interval > 0:  # the last sample is opaque if it has any density
        t_vals = jnp.concatenate([t_vals, rays.far[:, None]], axis=-1)
        lengths = jnp.concatenate([lengths, config.last_interval * scale], axis=-1)
    output = map_microbatches(
        lambda some: evaluate_field_along_rays(field, params[_last_network(config)], *some, None),
        (rays, t_vals),
        rays_per_microbatch,
    )
    density, wall = jnp.split(output.density, [fast_sampling.num_samples], axis=-1)
    density = jnp.maximum(density + fast_sampling.trend * (mean_in_grid - middle_in_grid), 0.0)
    density = (1.0 - fast_sampling.smoothing) * density + fast_sampling.smoothing * mean_in_grid
    density = jnp.concatenate([density, wall], axis=-1)
    composite = volume.accumulate(output.rgb, density, lengths, t_vals)
    return volume.over(composite, config.background)


def _optical_depth_in_grid(grid: DensityGrid, rays: Rays) -> jax.Array:
    """Optical depth in the grid from near to each edge of `NUM_GRID_SAMPLES` equal intervals.

    Returns:
      `[num_rays, NUM_GRID_SAMPLES + 1]`, not decreasing, from 0 on.
    """
    unit = (jnp.arange(NUM_GRID_SAMPLES, dtype=jnp.float32) + 0.5) / NUM_GRID_SAMPLES
    span = (rays.far - rays.near)[:, None]
    t_vals = rays.near[:, None] + span * unit[None]
    points = positions(rays, t_vals)
    lengths = span * jnp.linalg.norm(rays.directions, axis=-1, keepdims=True) / NUM_GRID_SAMPLES
    optical_depth = jnp.cumsum(density_grid.density_at(grid, points) * lengths, axis=-1)
    return jnp.pad(optical_depth, ((0, 0), (1, 0)))


def _weights(optical_depth: jax.Array) -> jax.Array:
    """The compositing weight of each interval, `[num_rays, NUM_GRID_SAMPLES]`, >= 0."""
    through = jnp.exp(-optical_depth)
    return jnp.maximum(through[:, :-1] - through[:, 1:], 0.0)


def _exact_samples_per_ray_length(
    optical_depth: jax.Array, unit: jax.Array, config: RenderConfig
) -> jax.Array:
    """The density of the exact renderer's samples, relative to the ray's length near to far."""
    weights = _weights(optical_depth) + 1e-7
    share = jnp.cumsum(weights, axis=-1) / jnp.sum(weights, axis=-1, keepdims=True)
    fine = config.num_fine * _slope(jnp.pad(share, ((0, 0), (1, 0))), unit)
    return config.num_coarse + fine


def _equal_importance_edges(optical_depth: jax.Array, num_samples: int) -> jax.Array:
    """Divides each ray into intervals of equal importance.

    Args:
      optical_depth: from `_optical_depth_in_grid`.
      num_samples: the number of intervals.

    Returns:
      Edges `[num_rays, num_samples + 1]`, increasing from 0 at near to 1 at far.
    """
    num_rays, _ = optical_depth.shape
    importance = _weights(optical_depth) ** _POWER
    importance = importance / (jnp.sum(importance, axis=-1, keepdims=True) + 1e-9)
    importance = importance + _UNIFORM_SHARE / NUM_GRID_SAMPLES
    edges = jnp.broadcast_to(
        jnp.linspace(0.0, 1.0, NUM_GRID_SAMPLES + 1)[None], optical_depth.shape
    )
    share = jnp.linspace(0.0, 1.0, num_samples + 1)
    share = jnp.broadcast_to(share[None], (num_rays, num_samples + 1))
    return sampling.invert_piecewise_constant(share, edges, importance)


def _interpolate(values: jax.Array, unit: jax.Array) -> jax.Array:
    """Interpolates `[num_rays, NUM_GRID_SAMPLES + 1]` values, evenly spaced on [0, 1]."""
    index, within = _interval(unit)
    low = jnp.take_along_axis(values, index, axis=-1)
    high = jnp.take_along_axis(values, index + 1, axis=-1)
    return low + (high - low) * within


def _slope(values: jax.Array, unit: jax.Array) -> jax.Array:
    """The derivative of `_interpolate` with respect to `unit`."""
    index, _ = _interval(unit)
    return jnp.take_along_axis((values[:, 1:] - values[:, :-1]) * NUM_GRID_SAMPLES, index, axis=-1)


def _interval(unit: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The index of the interval at a position in [0, 1], and where in it that is, in [0, 1]."""
    left = jnp.clip(jnp.floor(unit * NUM_GRID_SAMPLES), 0.0, NUM_GRID_SAMPLES - 1.0)
    return left.astype(jnp.int32), unit * NUM_GRID_SAMPLES - left


def _last_network(config: RenderConfig) -> str:
    """The name of the network whose output is the image."""
    return NETWORKS[config.networks][-1]
