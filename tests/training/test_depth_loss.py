"""Laws of the loss of known depths: where it is least, its gradient, and what it leaves alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.config import presets
from nerf.geometry.cameras import Cameras
from nerf.geometry.rays import positions
from nerf.render.volume import Composite, compositing_weights
from nerf.runtime import parallel
from nerf.training import depth_loss as depth_loss_module
from nerf.training.batch_source import make_draw, with_depths
from nerf.training.depth_batch import DepthTable, draw_depths, make_depth_rays
from nerf.training.depth_loss import depth_loss, rendered_depth_loss, with_depth_loss
from nerf.training.loss import BatchStats
from nerf.training.state import init_state
from nerf.training.step import make_step
from tests.support.cameras import space_of, training_views
from tests.support.fields import make, small_config

NUM, HEIGHT, WIDTH = 8, 6, 8
T_VALS = jnp.linspace(0.0, 1.0, 101)[None]
MOST = float(np.log1p(1.0 / depth_loss_module._FLOOR))


def assert_same(one, other):
    """Two trees have the same values, bit for bit; random keys as well."""

    def plain(x):
        is_key = jnp.issubdtype(jnp.asarray(x).dtype, jax.dtypes.prng_key)
        return jax.random.key_data(x) if is_key else x

    jax.tree.map(lambda a, b: np.testing.assert_array_equal(plain(a), plain(b)), one, other)


def composite_of(density):
    """What a ray of length 1 sees of `[1, num_samples]` densities."""
    weights = compositing_weights(density, jnp.full_like(density, 0.01))
    zero = jnp.zeros(len(weights))
    return Composite(jnp.zeros((len(weights), 3)), zero, weights.sum(-1), weights, T_VALS)


def wall(at, density=1e6):
    return jnp.where(at - 1e-4 <= T_VALS, density, 0.0)


def loss_of(density, t, sigma=0.02):
    return float(depth_loss(composite_of(density), jnp.full(1, t), jnp.full(1, sigma))[0])


def test_a_wall_at_the_known_depth_has_no_loss_and_is_the_least():
    losses = [loss_of(wall(at), 0.6) for at in np.linspace(0.1, 0.9, 81)]
    assert np.argmin(losses) == 50
    assert abs(losses[50]) < 1e-5
    assert (np.diff(losses[:51]) <= 1e-6).all()
    assert (np.diff(losses[50:]) >= -1e-6).all()


def test_the_loss_near_a_wall_is_that_of_a_normal_error():
    """Half a standard deviation off: the logarithm of the kernel, but for the floor."""
    variance = 0.02**2 + 0.01**2
    hit = np.exp(-0.5 * 0.01**2 / variance)
    expected = -np.log((hit + depth_loss_module._FLOOR) / (1 + depth_loss_module._FLOOR))
    np.testing.assert_allclose(loss_of(wall(0.6), 0.61), expected, rtol=1e-4)


def test_fog_in_front_costs_what_it_hides():
    optical_depth = 0.7
    foggy = jnp.where(T_VALS < 0.295, optical_depth / 0.3, 0.0) + wall(0.6)
    hit = np.exp(-optical_depth)
    expected = -np.log((hit + depth_loss_module._FLOOR) / (1 + depth_loss_module._FLOOR))
    np.testing.assert_allclose(loss_of(foggy, 0.6), expected, rtol=2e-2)


def test_a_depth_that_is_wrong_by_far_costs_a_bounded_loss_and_does_not_pull():
    np.testing.assert_allclose(loss_of(wall(0.2), 0.9), MOST, rtol=1e-5)
    slope = jax.grad(lambda x: depth_loss(composite_of(x), jnp.full(1, 0.9), jnp.full(1, 0.02))[0])(
        wall(0.2, 1e4)
    )
    assert float(jnp.abs(slope).max()) < 1e-5


def test_a_larger_error_is_more_tolerant():
    near_miss = [loss_of(wall(0.6), 0.64, sigma) for sigma in (0.01, 0.02, 0.05, 0.2)]
    assert (np.diff(near_miss) < 0).all()


def test_the_weight_decays_over_the_run():
    train = dataclasses.replace(presets.PLANES.train, depth_loss_weight=0.4, depth_loss_decay=0.25)
    found = [depth_loss_module.depth_loss_weight(train, jnp.float32(x)) for x in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(found, [0.4, 0.2, 0.1], rtol=1e-5)


# Rays of known depth.


def cameras():
    poses = np.tile(np.eye(3, 4, dtype=np.float32), (2, 1, 1))
    poses[:, :, 3] = [[0.3, -0.1, 0.1], [-0.2, 0.2, 0.0]]
    return Cameras.pinhole(poses, focal=7.0, height=HEIGHT, width=WIDTH, near=1.2, far=8.0)


def table(seed=0, num=NUM):
    rng = np.random.default_rng(seed)
    depth = rng.uniform(1.5, 6.0, num)
    columns = (
        rng.uniform(0, WIDTH - 1, num), rng.uniform(0, HEIGHT - 1, num),
        depth, 0.01 * depth, rng.uniform(0.5, 1.5, num),
    )  # fmt: skip
    view = rng.integers(0, 2, num).astype(np.int32)
    return DepthTable(view, *(x.astype(np.float32) for x in columns))


@pytest.mark.parametrize("space", ["ndc", "world", "contracted"])
def test_the_parameter_of_a_known_depth_is_that_of_its_point(space, key):
    """A point at a depth in front of a camera is on the ray, in the field's space."""
    own = space_of(space, cameras())
    pixels = draw_depths(key, table(), 30)
    rays = make_depth_rays(pixels, cameras(), space=own, config=presets.PLANES.render)
    known = pixels.samples
    pose = cameras().camtoworlds[np.asarray(known.view)]
    x = (known.column - WIDTH / 2) / 7.0
    y = (known.row - HEIGHT / 2) / 7.0
    local = np.stack([x, -y, -np.ones(30)], axis=-1) * np.asarray(known.depth)[:, None]
    points = np.einsum("pij,pj->pi", pose[:, :, :3], local) + pose[:, :, 3]
    found = positions(rays.rays, rays.t[:, None])[:, 0]
    np.testing.assert_allclose(found, own.field_points(jnp.float32(points)), rtol=1e-4, atol=1e-5)
    assert (rays.sigma > 0).all()


def test_the_error_in_ndc_is_that_of_the_depth_by_the_slope_of_the_warp(key):
    """t = 1 - n / z, so that dt = n / z^2 dz for a camera at the origin that looks along -z."""
    one = dataclasses.replace(
        cameras(), camtoworlds=np.tile(np.eye(3, 4, dtype=np.float32), (2, 1, 1))
    )
    pixels = draw_depths(key, table(), 20)
    rays = make_depth_rays(pixels, one, space=space_of("ndc", one), config=presets.PLANES.render)
    depth, sigma = np.asarray(pixels.samples.depth), np.asarray(pixels.samples.sigma)
    np.testing.assert_allclose(rays.t, 1.0 - 1.0 / depth, rtol=1e-5)
    np.testing.assert_allclose(rays.sigma, sigma / depth**2, rtol=1e-3)


def test_draws_depend_on_the_key_alone_and_leave_the_pixels_of_a_step_alone(key):
    images = np.random.default_rng(0).random((2, HEIGHT, WIDTH, 3))
    views = training_views(images, cameras())
    mesh = parallel.make_mesh(2)
    plain = make_draw(mesh, views, 16, 1.0)
    both = with_depths(plain, mesh, table(), 6)
    for step in (jnp.int32(0), jnp.int32(5)):
        batch, again, without = both(key, step), both(key, step), plain(key, step)
        assert_same(batch, again)
        assert_same(dataclasses.replace(batch, depths=None), without)
    assert with_depths(plain, mesh, None, 6) is plain
    first, second = (both(key, jnp.int32(step)).depths.samples.depth for step in (0, 1))
    assert not np.array_equal(first, second)


def tiny(preset, **train):
    config = small_config(preset, "render.num_coarse=8", "render.num_fine=6")
    changes = {"num_rays": 16, "num_depth_rays": 8, "depth": "on", **train}
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **changes))


def depth_rays(config, space, key, num=NUM):
    own = space_of(space, cameras())
    pixels = draw_depths(key, table(), num)
    return make_depth_rays(pixels, cameras(), space=own, config=config.render)


def test_the_gradient_of_densities_is_that_of_finite_differences():
    rng, step = np.random.default_rng(0), 1e-2
    density = jnp.asarray(rng.uniform(0.0, 8.0, T_VALS.shape), jnp.float32)
    towards = jnp.asarray(rng.normal(size=T_VALS.shape), jnp.float32)

    def loss(x):
        return depth_loss(composite_of(x), jnp.full(1, 0.4), jnp.full(1, 0.05))[0]

    slope = (loss(density + step * towards) - loss(density - step * towards)) / (2 * step)
    np.testing.assert_allclose(jnp.vdot(jax.grad(loss)(density), towards), slope, rtol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "space"), [("paper", "ndc"), ("planes", "contracted")])
def test_the_gradient_is_that_of_finite_differences(preset, space, key):
    """Of the fine network alone: the other moves the samples, which the gradient leaves out."""
    config = tiny(preset)
    field = make("flax", config.field)
    rays, step = depth_rays(config, space, key), 1e-3
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: x + jnp.float32(0.1 * rng.normal(size=x.shape)),
        init_state(field, config, key).params,
    )

    @jax.jit
    @jax.value_and_grad
    def compute(fine):
        return rendered_depth_loss(field, {**params, "fine": fine}, rays, config)

    _, gradient = compute(params["fine"])
    norm = float(np.sqrt(sum(np.sum(np.square(x)) for x in jax.tree.leaves(gradient))))
    assert norm > 0

    def moved(by):
        return jax.tree.map(lambda x, g: x + by / norm * g, params["fine"], gradient)

    above, below = (compute(moved(by))[0] for by in (step, -step))
    np.testing.assert_allclose((above - below) / (2 * step), norm, rtol=2e-2)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["notebook", "planes"])
def test_microbatches_and_the_batch_as_a_whole_have_the_same_loss_and_gradient(preset, key):
    config = tiny(preset)
    field = make("flax", config.field)
    params = init_state(field, config, key).params
    rays = depth_rays(config, "ndc", key)
    nothing = jax.tree.map(jnp.zeros_like, params)
    stats = BatchStats(jnp.zeros(()), jnp.zeros(2), jnp.zeros((2, 3)), jnp.zeros(()))
    ones, whole = (
        jax.jit(
            lambda p, size=size: with_depth_loss(
                (jnp.float32(2.0), stats, nothing), field, p, rays, config, size, jnp.zeros(())
            )
        )(params)
        for size in (2, NUM)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), ones, whole)
    loss, counted, gradient = whole
    expected = config.train.depth_loss_weight * rendered_depth_loss(field, params, rays, config)
    np.testing.assert_allclose(loss - 2.0, expected, rtol=1e-4)
    np.testing.assert_allclose(counted.regularization, expected, rtol=1e-4)
    assert any(np.abs(x).max() > 0 for x in jax.tree.leaves(gradient))


# Steps.


def views_with(depths):
    images = np.random.default_rng(0).random((2, HEIGHT, WIDTH, 3))
    return dataclasses.replace(training_views(images, cameras()), depths=depths)


def stepped(backend, config, views, key, num_steps=2, space="ndc"):
    field = make(backend, config.field)
    step = make_step(field, config, views, space=space_of(space, cameras()))
    return step(init_state(field, config, key), num_steps)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["notebook", "planes"])
def test_without_the_setting_a_step_is_the_one_without_depths_bit_for_bit(preset, key):
    config = tiny(preset, depth="off")
    found, expected = (
        stepped("flax", config, views_with(depths), key) for depths in (table(), None)
    )
    assert_same(found, expected)


@pytest.mark.slow
def test_every_implementation_trains_on_depth(implementation, key):
    backend, preset = implementation
    space = {"notebook": "ndc", "paper": "world", "planes": "contracted"}[preset]
    config = tiny(preset, num_rays=2, num_depth_rays=2)
    field = make(backend, config.field)
    params = init_state(field, config, key).params
    rays = depth_rays(config, space, key, num=2)
    loss, gradient = jax.jit(
        jax.value_and_grad(lambda p: rendered_depth_loss(field, p, rays, config))
    )(params)
    assert 0 < loss < 2 * 1.5 * MOST
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))


@pytest.mark.slow
def test_two_steps_are_one_step_and_then_another_bit_for_bit(key):
    config = tiny("planes")
    field = make("flax", config.field)
    step = make_step(field, config, views_with(table()), space=space_of("ndc", cameras()))
    once, _ = step(init_state(field, config, key), 2)
    first, _ = step(init_state(field, config, key), 1)
    twice, _ = step(first, 1)
    assert_same(once, twice)
