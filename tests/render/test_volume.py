"""Compositing: closed forms, a loop, the rate of convergence, and extremes that stay finite."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.backends.mlp import activate
from nerf.config.presets import NOTEBOOK
from nerf.render.volume import composite, compositing_weights, interval_lengths

LAST_INTERVALS = [0.0, 1e10]


def random_rays(num_rays=6, num_samples=9, seed=0):
    """rgb, density, t_vals, directions, as float32."""
    rng = np.random.default_rng(seed)
    arrays = (
        rng.uniform(0, 1, (num_rays, num_samples, 3)),
        rng.exponential(size=(num_rays, num_samples)),
        np.sort(rng.uniform(2, 6, (num_rays, num_samples)), axis=-1),
        rng.normal(size=(num_rays, 3)),
    )
    return tuple(jnp.float32(array) for array in arrays)


def composite_by_loop(rgb, density, t_vals, direction, last_interval):
    """One ray, sample by sample, light that is left by light that is left."""
    transmittance, rgb_sum, mean_t, weights = 1.0, np.zeros(3), 0.0, []
    for i in range(len(t_vals)):
        step = t_vals[i + 1] - t_vals[i] if i + 1 < len(t_vals) else last_interval
        passes = math.exp(-density[i] * step * np.linalg.norm(direction))
        weights.append(transmittance * (1 - passes))
        rgb_sum += weights[-1] * rgb[i]
        mean_t += weights[-1] * t_vals[i]
        transmittance *= passes
    acc = 1 - transmittance
    return rgb_sum, mean_t / acc, acc, weights


@pytest.mark.parametrize("length", [0.0, 0.1, 1.0, 5.0])
@pytest.mark.parametrize("direction", [(0, 0, -1), (0, 0, -2.5), (0.3, 0.4, 0)])
def test_constant_density_over_a_length(length, direction):
    density = 0.7
    norm = math.sqrt(sum(x * x for x in direction))
    t_vals = jnp.linspace(1.0, 1.0 + length / norm, 17)[None]
    result = composite(
        jnp.ones((1, 17, 3)),
        jnp.full((1, 17), density),
        t_vals,
        jnp.float32(direction)[None],
        last_interval=0.0,
    )
    np.testing.assert_allclose(result.acc, [1 - math.exp(-density * length)], atol=1e-6)


@pytest.mark.parametrize("last_interval", [0.0, 0.5, 1e10])
def test_composite_equals_a_loop(last_interval):
    rays = random_rays()
    result = composite(*rays, last_interval=last_interval)
    for n in range(6):
        ray = (np.asarray(array[n], np.float64) for array in rays)
        rgb, depth, acc, weights = composite_by_loop(*ray, last_interval)
        np.testing.assert_allclose(result.rgb[n], rgb, atol=1e-5)
        np.testing.assert_allclose(result.depth[n], depth, rtol=1e-5)
        np.testing.assert_allclose(result.acc[n], acc, atol=1e-5)
        np.testing.assert_allclose(result.weights[n], weights, atol=1e-5)
    np.testing.assert_array_equal(result.t_vals, rays[2])


@pytest.mark.parametrize("last_interval", LAST_INTERVALS)
def test_weights_sum_to_acc(last_interval):
    result = composite(*random_rays(), last_interval=last_interval)
    np.testing.assert_allclose(result.acc, result.weights.sum(axis=-1), atol=1e-6)
    assert np.all(np.asarray(result.weights) >= 0)
    assert np.all(np.asarray(result.acc) <= 1 + 1e-6)


def test_weights_sum_to_what_the_total_optical_depth_absorbs():
    _, density, lengths, _ = random_rays()
    weights = compositing_weights(0.1 * density, lengths)
    total = np.sum(0.1 * density * lengths, axis=-1)
    np.testing.assert_allclose(weights.sum(axis=-1), 1 - np.exp(-total), atol=1e-5)


def test_thin_intervals_keep_their_digits():
    """1 - exp(-x) in float32 would lose them all below 6e-8."""
    weights = compositing_weights(jnp.full((1, 2), 1e-6), jnp.full((1, 2), 1e-3))
    np.testing.assert_allclose(weights, [[1e-9, 1e-9]], rtol=1e-5)


def test_an_opaque_wall_hides_everything_behind_it():
    rgb, density, t_vals, directions = random_rays()
    density = density.at[:, 4].set(1e6)
    front = composite(rgb, density, t_vals, directions, last_interval=0.0)
    behind = composite(
        rgb.at[:, 5:].set(0.123),
        density.at[:, 5:].set(77.0),
        t_vals,
        directions,
        last_interval=1e10,
    )
    np.testing.assert_array_equal(front.weights[:, 5:], np.zeros((6, 4)))
    np.testing.assert_allclose(front.acc, np.ones(6), atol=1e-6)
    for name in ("rgb", "depth", "acc", "weights"):
        np.testing.assert_array_equal(getattr(front, name), getattr(behind, name))


def test_a_wall_is_seen_at_its_own_depth_and_in_its_own_colour():
    rgb, _, t_vals, directions = random_rays()
    density = jnp.zeros((6, 9)).at[:, 4].set(1e6)
    result = composite(rgb, density, t_vals, directions, last_interval=0.0)
    np.testing.assert_allclose(result.depth, t_vals[:, 4], rtol=1e-6)
    np.testing.assert_allclose(result.rgb, rgb[:, 4], atol=1e-6)


def test_depth_is_the_mean_of_t_under_the_weights():
    result = composite(*random_rays(), last_interval=0.0)
    means = [np.average(t, weights=w) for t, w in zip(result.t_vals, result.weights, strict=True)]
    np.testing.assert_allclose(result.depth, means, rtol=1e-5)


def test_an_empty_ray_is_black_transparent_and_ends_at_its_last_sample():
    rgb, density, t_vals, directions = random_rays()
    result = composite(rgb, 0 * density, t_vals, directions, last_interval=1e10)
    np.testing.assert_array_equal(result.rgb, np.zeros((6, 3)))
    np.testing.assert_array_equal(result.acc, np.zeros(6))
    np.testing.assert_array_equal(result.depth, t_vals[:, -1])


def test_the_last_interval_decides_what_the_last_sample_is_worth():
    rgb, density, t_vals, directions = random_rays()
    ignored = composite(rgb, density, t_vals, directions, last_interval=0.0)
    wall = composite(rgb, density, t_vals, directions, last_interval=1e10)
    np.testing.assert_array_equal(ignored.weights[:, -1], np.zeros(6))
    np.testing.assert_array_equal(ignored.weights[:, :-1], wall.weights[:, :-1])
    np.testing.assert_allclose(wall.acc, np.ones(6), atol=1e-6)


def test_interval_lengths_are_lengths_in_space():
    t_vals, directions = jnp.array([[1.0, 1.5, 3.5]]), jnp.array([[3.0, 0.0, -4.0]])
    lengths = interval_lengths(t_vals, directions, 0.25)
    np.testing.assert_allclose(lengths, [[2.5, 10.0, 1.25]], rtol=1e-6)


def errors_of_a_smooth_ray(num_intervals):
    """Density 1 + t along t in [0, 1], twice as long in space; the colour is 1 - T(t).

    With optical depth s(t) = 2 t + t^2 the closed forms are acc = 1 - exp(-3) and, because
    T density dt = d(1 - T), rgb = acc^2 / 2.
    """
    t_vals = jnp.linspace(0.0, 1.0, num_intervals + 1)[None]
    density = 1 + t_vals
    rgb = -jnp.expm1(-(2 * t_vals + t_vals**2))
    result = composite(
        jnp.repeat(rgb[..., None], 3, axis=-1),
        density,
        t_vals,
        jnp.array([[0.0, 2.0, 0.0]]),
        last_interval=0.0,
    )
    acc = 1 - math.exp(-3)
    return np.array([abs(result.acc[0] - acc), *abs(result.rgb[0] - acc**2 / 2)])


def test_refining_the_samples_halves_the_error():
    errors = np.array([errors_of_a_smooth_ray(num) for num in (16, 32, 64, 128, 256)])
    orders = np.log2(errors[:-1] / errors[1:])
    np.testing.assert_allclose(orders, 1.0, atol=0.1)
    assert errors[-1].max() < 3e-3


@pytest.mark.parametrize("activation", ["relu", "softplus"])
@pytest.mark.parametrize("last_interval", LAST_INTERVALS)
@pytest.mark.parametrize("step", [0.0, 1e-6, 0.1, 100.0])
def test_extreme_densities_stay_finite_and_so_do_their_gradients(activation, last_interval, step):
    config = dataclasses.replace(NOTEBOOK.field, density_activation=activation)
    levels = np.array([-100, -10, -1, -1e-3, 0, 1e-3, 1, 10, 100], np.float32)
    rows = [np.full(9, level, np.float32) for level in levels] + [levels, levels[::-1]]
    raw_density = jnp.asarray(np.stack(rows))
    num_rays = len(rows)
    raw_rgb = jnp.asarray(np.resize(levels, (num_rays, 9, 3)))
    t_vals = jnp.broadcast_to(step * jnp.arange(9.0)[None], (num_rays, 9))
    directions = jnp.ones((num_rays, 3))

    def total(raw_rgb, raw_density, t_vals):
        output = activate(raw_rgb, raw_density, config, None)
        result = composite(
            output.rgb, output.density, t_vals, directions, last_interval=last_interval
        )
        return (
            result.rgb.sum() + result.depth.sum() + result.acc.sum() + result.weights.max(),
            result,
        )

    gradients, result = jax.grad(total, argnums=(0, 1, 2), has_aux=True)(
        raw_rgb, raw_density, t_vals
    )
    for array in (*result, *gradients):
        assert np.all(np.isfinite(array))
    assert np.all((result.acc >= 0) & (result.acc <= 1 + 1e-6))
