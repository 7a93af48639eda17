"""Where samples lie along a ray: strata, jitter, and the distribution of the fine samples."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nerf.config.presets import NOTEBOOK, PAPER
from nerf.render.sampling import (
    bin_t_vals,
    fine_t_vals,
    interval_edges,
    invert_piecewise_constant,
    linspace_t_vals,
    unit_samples,
)

compiled_fine_t_vals = jax.jit(fine_t_vals, static_argnums=3)

NUM_RAYS = 20_000
NEAR, FAR = 2.0, 6.0
COARSE_T = np.array([0.0, 0.5, 0.7, 1.5, 2.0, 3.5, 4.0], np.float32)
WEIGHTS = np.array([0.3, 0.05, 0.2, 0.0, 0.25, 0.1, 0.05], np.float32)
RULES = {"around_samples": NOTEBOOK.render, "between_samples": PAPER.render}
P_VALUE = 1e-3  # the keys are fixed, so a test passes always or never


def ends(num_rays=NUM_RAYS):
    return jnp.full(num_rays, NEAR), jnp.full(num_rays, FAR)


def histogram(rule):
    """Edges and shares by hand: what each rule says about `COARSE_T` and `WEIGHTS`."""
    midpoints = [0.25, 0.6, 1.1, 1.75, 2.75, 3.75]
    if rule == "around_samples":
        edges, weights = [0.0, *midpoints, 4.0], [0.15, 0.05, 0.2, 0.0, 0.25, 0.1, 0.025]
    else:
        edges, weights = midpoints, [0.05, 0.2, 0.0, 0.25, 0.1]
    shares = np.array(weights) / sum(weights)
    return np.array(edges), shares


def distribution(rule):
    edges, shares = histogram(rule)
    return lambda t: np.interp(t, edges, [0, *np.cumsum(shares)])


def fine_samples(rule, num_rays, num_fine, ray_keys, weights=WEIGHTS):
    config = dataclasses.replace(RULES[rule], num_fine=num_fine)
    t_vals = jnp.broadcast_to(jnp.asarray(COARSE_T), (num_rays, len(COARSE_T)))
    weights = jnp.broadcast_to(jnp.asarray(weights), t_vals.shape)
    return np.asarray(compiled_fine_t_vals(ray_keys, t_vals, weights, config))


@pytest.mark.parametrize("draw", [unit_samples, bin_t_vals])
def test_stratified_samples_lie_one_in_each_bin_and_uniformly(draw, key):
    ray_keys = jax.random.split(key, NUM_RAYS)
    if draw is unit_samples:
        unit = unit_samples(ray_keys, NUM_RAYS, 5)
    else:
        unit = (bin_t_vals(ray_keys, *ends(), 5) - NEAR) / (FAR - NEAR)
    within = np.asarray(5 * unit) - np.arange(5)
    assert within.min() > -1e-5
    assert within.max() < 1 + 1e-5
    for column in within.T:
        assert stats.kstest(column, "uniform").pvalue > P_VALUE


def test_unit_samples_stay_below_one(key):
    largest = unit_samples(jax.random.split(key, NUM_RAYS), NUM_RAYS, 1000).max()
    assert 0.999 < largest < 1


def test_without_keys_bins_are_sampled_at_their_middles():
    np.testing.assert_allclose(unit_samples(None, 2, 4), 2 * [[0.125, 0.375, 0.625, 0.875]])
    np.testing.assert_allclose(bin_t_vals(None, *ends(2), 4), 2 * [[2.5, 3.5, 4.5, 5.5]])


def test_linspace_includes_both_ends():
    near, far = jnp.array([0.0, 2.0]), jnp.array([1.0, 6.0])
    t_vals = linspace_t_vals(None, near, far, 5)
    np.testing.assert_array_equal(t_vals, [[0, 0.25, 0.5, 0.75, 1], [2, 3, 4, 5, 6]])


def test_jitter_is_uniform_between_midpoints(key):
    t_vals = np.asarray(linspace_t_vals(jax.random.split(key, NUM_RAYS), *ends(), 5))
    intervals = [(2, 2.5), (2.5, 3.5), (3.5, 4.5), (4.5, 5.5), (5.5, 6)]
    for column, (low, high) in zip(t_vals.T, intervals, strict=True):
        assert low <= column.min() < column.max() <= high
        assert stats.kstest(column, "uniform", (low, high - low)).pvalue > P_VALUE


@pytest.mark.parametrize("rule", [linspace_t_vals, bin_t_vals])
def test_every_ray_has_its_own_jitter_and_every_sample_of_it(rule, key):
    t_vals = np.asarray(rule(jax.random.split(key, NUM_RAYS), *ends(), 5))
    correlations = np.corrcoef(t_vals[1:].T, t_vals[:-1].T)
    np.testing.assert_allclose(correlations, np.tile(np.eye(5), (2, 2)) * correlations, atol=0.04)


@pytest.mark.parametrize("rule", [linspace_t_vals, bin_t_vals])
def test_a_rays_jitter_depends_on_its_own_key_alone(rule, key):
    ray_keys = jax.random.split(key, 6)
    together = rule(ray_keys, *ends(6), 8)
    apart = [rule(ray_keys[n : n + 1], *ends(1), 8)[0] for n in range(6)]
    np.testing.assert_allclose(together, np.stack(apart), rtol=1e-6)


@pytest.mark.parametrize("rule", [linspace_t_vals, bin_t_vals])
def test_samples_are_sorted_inside_near_and_far(rule, key):
    near, far = jnp.full(100, 0.1), jnp.full(100, 123.4)
    t_vals = np.asarray(rule(jax.random.split(key, 100), near, far, 64))
    assert np.all(np.diff(t_vals) >= 0)
    assert t_vals.min() >= np.float32(0.1)
    assert t_vals.max() <= np.float32(123.4)


def test_the_edges_are_the_ends_and_the_midpoints():
    np.testing.assert_allclose(
        interval_edges(jnp.asarray(COARSE_T)[None]),
        [[0, 0.25, 0.6, 1.1, 1.75, 2.75, 3.75, 4]],
        atol=1e-6,
    )


@pytest.mark.parametrize("rule", RULES)
def test_fine_samples_follow_the_coarse_weights(rule, key):
    """One sample a ray, hence independent ones, against the piecewise-linear distribution."""
    samples = fine_samples(rule, NUM_RAYS, 1, jax.random.split(key, NUM_RAYS))[:, 0]
    assert stats.kstest(samples, distribution(rule)).pvalue > P_VALUE


@pytest.mark.parametrize("rule", RULES)
def test_each_interval_gets_its_share_of_the_fine_samples(rule, key):
    edges, shares = histogram(rule)
    samples = fine_samples(rule, NUM_RAYS, 1, jax.random.split(key, NUM_RAYS))[:, 0]
    counts, _ = np.histogram(samples, edges)
    possible = shares > 0
    assert counts[~possible].sum() <= 1  # the floor of the weights is 1e-5 at most
    expected = counts[possible].sum() * shares[possible] / shares[possible].sum()
    assert stats.chisquare(counts[possible], expected).pvalue > P_VALUE


@pytest.mark.parametrize("randomised", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_stratified_fine_samples_miss_no_share_by_more_than_one_each_side(rule, randomised, key):
    edges, shares = histogram(rule)
    ray_keys = jax.random.split(key, 50) if randomised else None
    for samples in fine_samples(rule, 50, 40, ray_keys):
        counts, _ = np.histogram(samples, edges)
        assert np.all(np.abs(counts - 40 * shares) < 2)


@pytest.mark.parametrize("rule", RULES)
def test_without_keys_fine_samples_split_the_weight_evenly(rule):
    (samples,) = fine_samples(rule, 1, 40, None)
    middles = (np.arange(40) + 0.5) / 40
    np.testing.assert_allclose(distribution(rule)(samples), middles, atol=2e-4)


def test_equal_weights_around_equal_steps_give_equal_steps():
    """The first and last interval are half as long, so they must get half the weight."""
    config = dataclasses.replace(NOTEBOOK.render, num_fine=8)
    t_vals = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0]])
    fine = compiled_fine_t_vals(None, t_vals, jnp.full((1, 5), 0.2), config)
    np.testing.assert_allclose(fine, [np.arange(0.25, 4, 0.5)], atol=1e-5)


def test_between_samples_ignores_the_first_and_last_weight():
    outer = np.array([9, 0, 0, 0, 0, 0, 9], np.float32)
    without = fine_samples("between_samples", 1, 16, None)
    np.testing.assert_array_equal(
        fine_samples("between_samples", 1, 16, None, WEIGHTS + outer), without
    )


@pytest.mark.parametrize("rule", RULES)
def test_the_weight_floor_is_added_to_each_weight(rule):
    config = dataclasses.replace(RULES[rule], num_fine=1000, fine_weight_floor=0.5)
    weights = jnp.array([[0.0, 0.0, 1.0, 0.0, 0.0]])
    fine = np.asarray(compiled_fine_t_vals(None, jnp.arange(5.0)[None], weights, config))
    share = np.mean((fine > 1.5) & (fine < 2.5))
    expected = 1.5 / (5 * 0.5 + 1.0) if rule == "around_samples" else 1.5 / (3 * 0.5 + 1.0)
    np.testing.assert_allclose(share, expected, atol=2e-3)


def invert_by_loop(unit, edges, weights):
    shares = weights / weights.sum()
    found = []
    for u in unit:
        index, below = 0, 0.0
        while index < len(shares) - 1 and below + shares[index] <= u:
            below += shares[index]
            index += 1
        width = edges[index + 1] - edges[index]
        found.append(edges[index] + width * (u - below) / shares[index])
    return found


def test_inversion_equals_a_loop():
    rng = np.random.default_rng(0)
    unit = np.sort(rng.uniform(0, 1, (20, 15)), axis=-1).astype(np.float32)
    edges = np.sort(rng.uniform(-3, 5, (20, 9)), axis=-1).astype(np.float32)
    weights = rng.uniform(0.1, 2, (20, 8)).astype(np.float32)
    found = invert_piecewise_constant(*map(jnp.asarray, (unit, edges, weights)))
    expected = [invert_by_loop(*ray) for ray in zip(unit, edges, weights, strict=True)]
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize(("unit", "slope"), [(0.25, -0.25), (0.75, -0.5)])
def test_the_gradient_of_the_inversion(unit, slope):
    """Two bins [0, 1], [1, 3] of weights w, 1: t = u (w + 1) / w, then 1 + 2 (u (w + 1) - w)."""

    def sample(weight):
        weights = jnp.stack([weight, jnp.ones(())])[None]
        return invert_piecewise_constant(
            jnp.array([[unit]]), jnp.array([[0.0, 1.0, 3.0]]), weights
        ).sum()

    np.testing.assert_allclose(jax.grad(sample)(jnp.ones(())), slope, rtol=1e-5)


@pytest.mark.parametrize("randomised", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_fine_samples_are_sorted_inside_the_coarse_range(rule, randomised, key):
    rng = np.random.default_rng(0)
    t_vals = np.sort(rng.uniform(NEAR, FAR, (200, 16)), axis=-1).astype(np.float32)
    weights = rng.exponential(size=(200, 16)).astype(np.float32) ** 4
    ray_keys = jax.random.split(key, 200) if randomised else None
    fine = np.asarray(
        compiled_fine_t_vals(ray_keys, jnp.asarray(t_vals), jnp.asarray(weights), RULES[rule])
    )
    assert fine.shape == (200, 128)
    assert np.all(np.diff(fine) >= -1e-6)
    assert np.all(fine >= t_vals[:, :1] - 1e-6)
    assert np.all(fine <= t_vals[:, -1:] + 1e-6)


@pytest.mark.parametrize("weights", [np.zeros(7), np.eye(7)[0], np.eye(7)[3], 1e-30 * np.ones(7)])
@pytest.mark.parametrize("t_vals", [COARSE_T, np.zeros(7), np.array([0, 0, 0, 1, 1, 2, 2])])
@pytest.mark.parametrize("rule", RULES)
def test_weights_of_zero_and_bins_of_no_width_stay_finite(rule, t_vals, weights):
    config = dataclasses.replace(RULES[rule], num_fine=16, fine_gradient=True)

    def total(t_vals, weights):
        fine = compiled_fine_t_vals(None, t_vals, weights, config)
        return fine.sum(), fine

    t_vals = t_vals.astype(np.float32)
    arguments = (jnp.asarray(t_vals)[None], jnp.float32(weights)[None])
    gradients, fine = jax.grad(total, argnums=(0, 1), has_aux=True)(*arguments)
    assert np.all(np.isfinite(fine))
    assert np.all((fine >= t_vals.min()) & (fine <= t_vals.max()))
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


@pytest.mark.parametrize("rule", RULES)
def test_the_gradient_flows_through_the_fine_samples_only_if_asked_to(rule):
    def total(weights, fine_gradient):
        config = dataclasses.replace(RULES[rule], num_fine=16, fine_gradient=fine_gradient)
        return compiled_fine_t_vals(None, jnp.asarray(COARSE_T)[None], weights, config).sum()

    weights = jnp.asarray(WEIGHTS)[None]
    np.testing.assert_array_equal(jax.grad(total)(weights, False), np.zeros((1, 7)))
    assert np.all(np.abs(jax.grad(total)(weights, True)[0, 1:-1]) > 0.1)
