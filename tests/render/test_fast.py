"""Fast rendering: the grid, where samples go, what they add up to, and how many it takes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.config.presets import NOTEBOOK, PAPER
from nerf.field import FieldOutput, RadianceField
from nerf.geometry.cameras import Cameras
from nerf.geometry.rays import Rays
from nerf.geometry.world import World
from nerf.render import density_grid, fast, images
from nerf.render.density_grid import DensityGrid
from nerf.render.fast import FastSampling
from nerf.render.images import make_exact_program
from nerf.render.rays import render_rays

pytestmark = pytest.mark.slow


CONFIGS = {config.preset: config.render for config in (NOTEBOOK, PAPER)}
LOW, HIGH = jnp.array([-1.0, -1.0, 0.0]), jnp.array([1.0, 1.0, 2.0])
PARAMS = {"shared": {}, "coarse": {}, "fine": {}}


def make_field(density_from_log):
    """A field whose colour changes smoothly from place to place."""

    def apply(params, points, viewdirs, /, *, key=None):
        return FieldOutput(0.5 + 0.4 * jnp.sin(3.0 * points), density_from_log(points))

    return RadianceField(lambda key: {}, apply)


def blob(points):
    """A soft ball around the middle of the box."""
    centre = jnp.array([0.1, -0.1, 1.0])
    distance = jnp.sum(jnp.square(points - centre[(None,) * (points.ndim - 1)]), axis=-1)
    return 20.0 * jnp.exp(-distance / 0.05)


BLOB = make_field(blob)
FOG = make_field(lambda points: jnp.full(points.shape[:-1], 0.7))
NOTHING = make_field(lambda points: jnp.zeros(points.shape[:-1]))


def rays_through(num_rays, seed=0):
    """Parallel rays of different lengths through the box, along z."""
    rng = np.random.default_rng(seed)
    origins = np.concatenate([rng.uniform(-0.5, 0.5, (num_rays, 2)), np.zeros((num_rays, 1))], 1)
    directions = np.tile([0.0, 0.0, 2.0], (num_rays, 1))
    return Rays(
        jnp.asarray(origins, jnp.float32),
        jnp.asarray(directions, jnp.float32),
        jnp.asarray(directions / 2.0, jnp.float32),
        near=jnp.zeros(num_rays),
        far=jnp.ones(num_rays),
        space=World(),
    )


def grid_of(field, config, resolution=(32, 32, 64)):
    return fast.make_density_grid_builder(field, config, (LOW, HIGH), resolution)(PARAMS)


def render(field, config, rays, how, resolution=(32, 32, 64)):
    grid = grid_of(field, config, resolution)
    draw = functools.partial(
        fast.render_rays_fast, field, config=config, fast_sampling=how, rays_per_microbatch=4
    )
    return jax.jit(draw)(PARAMS, grid, rays)


def test_the_grid_holds_the_density_of_the_middles_of_its_cells():
    grid = grid_of(BLOB, CONFIGS["paper"], (4, 5, 6))
    steps = [(np.arange(n) + 0.5) / n for n in (4, 5, 6)]
    unit = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1)
    points = jnp.asarray(np.asarray(LOW) + unit * np.asarray(HIGH - LOW), jnp.float32)
    np.testing.assert_allclose(grid.density, blob(points), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(density_grid.density_at(grid, points), grid.density, rtol=1e-4)


def test_the_grid_is_of_the_network_that_draws_the_image():
    def apply(params, points, viewdirs, /, *, key=None):
        return FieldOutput(points, jnp.broadcast_to(params, points.shape[:-1]))

    field = RadianceField(lambda key: 0.0, apply)
    params = {"coarse": jnp.float32(1.0), "fine": jnp.float32(2.0)}
    measure = fast.make_density_grid_builder(field, CONFIGS["paper"], (LOW, HIGH), (2, 2, 2))
    np.testing.assert_array_equal(measure(params).density, 2.0)


def test_interpolation_is_exact_on_a_linear_function(key):
    def linear(points):
        return 3.0 + points @ jnp.array([1.0, -0.5, 0.25])

    grid = grid_of(make_field(linear), CONFIGS["paper"], (4, 8, 16))
    inside = jax.random.uniform(key, (50, 3), minval=0.13, maxval=0.87)
    points = LOW[None] + inside * (HIGH - LOW)[None]
    np.testing.assert_allclose(density_grid.density_at(grid, points), linear(points), rtol=1e-5)


def test_outside_of_the_box_the_nearest_value_counts():
    grid = DensityGrid(jnp.arange(8.0).reshape(2, 2, 2), LOW, HIGH)
    far_away = jnp.array([[-9.0, -9.0, -9.0], [9.0, 9.0, 9.0]])
    np.testing.assert_allclose(density_grid.density_at(grid, far_away), [0.0, 7.0])


def test_the_box_holds_every_ray_from_near_to_far():
    rays = rays_through(20)
    low, high = density_grid.box_around([rays, rays_through(20, seed=1)])
    for t in (rays.near, rays.far):
        points = rays.origins + t[:, None] * rays.directions
        assert jnp.all((points > low[None]) & (points < high[None]))
    np.testing.assert_allclose(high - low, [1.0, 1.0, 2.0], atol=0.1)


@pytest.mark.parametrize("preset", CONFIGS)
@pytest.mark.parametrize("num_samples", [16, 40])
def test_fog_has_its_closed_form(preset, num_samples):
    config, rays = CONFIGS[preset], rays_through(8)
    result = render(FOG, config, rays, FastSampling(num_samples))
    through = 0.0 if config.last_interval > 0 else np.exp(-0.7 * 2.0)
    np.testing.assert_allclose(result.acc, 1.0 - through, atol=1e-3)
    inside = result.weights[:, :num_samples].sum(axis=-1)
    np.testing.assert_allclose(inside, 1.0 - np.exp(-0.7 * 2.0), atol=1e-3)


@pytest.mark.parametrize("preset", CONFIGS)
def test_nothing_is_black_and_as_far_as_can_be_seen(preset):
    result = render(NOTHING, CONFIGS[preset], rays_through(8), FastSampling(16))
    np.testing.assert_array_equal(result.rgb, 0.0)
    np.testing.assert_array_equal(result.acc, 0.0)
    np.testing.assert_allclose(result.depth, 1.0, atol=0.1)


@pytest.mark.parametrize("blend", fast.BLENDS)
@pytest.mark.parametrize("preset", CONFIGS)
def test_few_samples_show_what_many_show(preset, blend):
    config = dataclasses.replace(CONFIGS[preset], last_interval=0.0)
    rays = rays_through(64)
    many = dataclasses.replace(config, num_coarse=256, num_fine=512)
    expected = jax.jit(functools.partial(render_rays, BLOB, config=many))(PARAMS, rays).fine
    result = render(BLOB, config, rays, FastSampling(24, *blend)._replace(shift=0.0))
    np.testing.assert_allclose(result.rgb, expected.rgb, atol=0.01)
    np.testing.assert_allclose(result.acc, expected.acc, atol=0.01)
    np.testing.assert_allclose(result.depth, expected.depth, atol=0.01)


@pytest.mark.parametrize("preset", CONFIGS)
def test_a_sample_lies_as_far_in_front_as_the_exact_renderer_would_have_it(preset):
    """Half of that renderer's spacing, which in fog has a closed form."""
    config, rays = CONFIGS[preset], rays_through(4)
    at_rest, shifted = (
        render(FOG, config, rays, FastSampling(32, shift=shift)).t_vals[:, :32]
        for shift in (0.0, 1.0)
    )
    share_of_light = 1.4 * np.exp(-1.4 * np.asarray(at_rest)) / (1.0 - np.exp(-1.4))
    spacing = 1.0 / (config.num_coarse + config.num_fine * share_of_light)
    np.testing.assert_allclose((at_rest - shifted)[:, 1:], 0.5 * spacing[:, 1:], rtol=0.02)


def test_samples_lie_where_something_can_be_seen():
    def wall(points):  # opaque, from the middle to the back; nothing before
        return jnp.where(points[..., 2] > 1.0, 500.0, 0.0)

    rays = rays_through(4)
    result = render(make_field(wall), CONFIGS["notebook"], rays, FastSampling(40), (16, 16, 128))
    at_surface = (result.t_vals > 0.45) & (result.t_vals < 0.55)
    assert jnp.all(jnp.mean(at_surface, axis=-1) > 0.8)
    behind = result.t_vals > 0.55
    assert jnp.all(jnp.mean(behind, axis=-1) < 0.1)
    np.testing.assert_allclose(result.depth, 0.5, atol=0.01)


def test_edges_go_from_near_to_far_and_never_back(key):
    optical_depth = jnp.cumsum(
        jax.random.exponential(key, (6, fast.NUM_GRID_SAMPLES)) ** 3, axis=-1
    )
    edges = fast._equal_importance_edges(jnp.pad(optical_depth, ((0, 0), (1, 0))), 21)
    np.testing.assert_allclose(edges[:, 0], 0.0, atol=1e-6)
    np.testing.assert_allclose(edges[:, -1], 1.0, atol=1e-4)
    assert jnp.all(jnp.diff(edges, axis=-1) > 0.0)


VIEW = Cameras.pinhole(  # from far away, so that it sees the middle of the box and little else
    [[1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, -20.0]],
    focal=700.0,
    height=24,
    width=32,
    near=20.0,
    far=22.0,
)
PIXELS = [(VIEW, np.arange(0, 24 * 32, 3, dtype=np.int32))]


@pytest.mark.parametrize("microbatch", [8, 100, 1024])
def test_an_image_does_not_depend_on_the_microbatch(microbatch):
    config = CONFIGS["notebook"]
    whole = (PARAMS, grid_of(BLOB, config))
    found = [
        images.render_image(
            fast.make_fast_program(
                BLOB, config, World(), FastSampling(16), rays_per_microbatch=rays_per_microbatch
            ).with_params(whole),
            VIEW,
        )
        for rays_per_microbatch in (microbatch, 64)
    ]
    assert found[0].acc.max() > 0.9
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), *found)


def choose(field, truth_of=None):
    config = dataclasses.replace(CONFIGS["notebook"], num_coarse=128, num_fine=128)
    exact = make_exact_program(field, config, World()).with_params(PARAMS)
    grid = grid_of(field, config)
    (rgb,) = [exact.pixels(*some).rgb for some in PIXELS]
    truth = None if truth_of is None else truth_of(rgb)
    choice = fast.choose_sampling(field, PARAMS, config, grid, PIXELS, exact, World(), truth)
    program = fast.make_fast_program(field, config, World(), choice.sampling)
    error = np.mean(np.square(program.with_params((PARAMS, grid)).pixels(*PIXELS[0]).rgb - rgb))
    np.testing.assert_allclose(choice.psnr, -10.0 * np.log10(error), atol=0.01)
    return choice


def test_as_few_samples_are_chosen_as_come_close_to_exact_images():
    choice = choose(BLOB)
    assert choice.suffices
    assert choice.psnr >= fast.MIN_PSNR
    assert choice.sampling.num_samples == fast.NUM_SAMPLES[0]


def test_photographs_ask_for_more_samples():
    """Beside a photograph that the exact image equals, any difference is a loss."""
    choice = choose(BLOB, lambda exact: exact + 1e-4)
    assert choice.loss > fast.MAX_LOSS
    assert not choice.suffices
    assert choice.sampling.num_samples == fast.NUM_SAMPLES[-1]


def test_a_single_number_that_does_not_suffice_ends_the_search(monkeypatch):
    monkeypatch.setattr(fast, "NUM_SAMPLES", (16,))
    monkeypatch.setattr(fast, "MIN_PSNR", 300.0)
    choice = choose(BLOB)
    assert not choice.suffices
    assert choice.sampling.num_samples == 16


def test_what_the_grid_cannot_see_is_left_to_the_exact_renderer():
    def hair(points):  # far thinner than a cell, at another depth for every ray
        depth = 1.0 + 0.5 * jnp.sin(400.0 * points[..., 0])
        return jnp.where(jnp.abs(points[..., 2] - depth) < 2e-3, 500.0, 0.0)

    assert not choose(make_field(hair)).suffices
