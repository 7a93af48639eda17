"""Laws of the field `planes` on every backend: a slow oracle, its box, its rates and penalty."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.backends.convert import convert
from nerf.backends.planes import plane_texels, total_variation
from tests.support.fields import (
    DRAWN_AS,
    drawn_params,
    make,
    random_inputs,
    random_params,
    small,
)

pytestmark = pytest.mark.slow

SETTINGS = small("planes")


@pytest.fixture
def field(backend):
    return make(backend, SETTINGS)


@pytest.fixture
def params(backend):
    return random_params(backend, SETTINGS)


def inputs(*shape):
    return random_inputs(*shape, low=SETTINGS.low, high=SETTINGS.high)


# What it computes.


def planes_of(drawn):
    rows, texels = np.float64(drawn["params"]["planes"]), plane_texels(SETTINGS)
    ends = np.cumsum([a * b for a, b in texels])
    return [
        part.reshape(*counts, -1)
        for part, counts in zip(np.split(rows, ends[:-1]), texels, strict=True)
    ]


def bilinear(plane, u, v):
    x, y = u * (plane.shape[0] - 1), v * (plane.shape[1] - 1)
    i, j = min(int(x), plane.shape[0] - 2), min(int(y), plane.shape[1] - 2)
    top = plane[i, j] * (1 - y + j) + plane[i, j + 1] * (y - j)
    bottom = plane[i + 1, j] * (1 - y + j) + plane[i + 1, j + 1] * (y - j)
    return top * (1 - x + i) + bottom * (x - i)


def slowly(drawn, point, viewdir):
    """One point, in float64."""
    layers = jax.tree.map(np.float64, drawn["params"])

    def dense(name, features):
        return features @ layers[name]["kernel"] + layers[name]["bias"]

    low, high = np.array(SETTINGS.low), np.array(SETTINGS.high)
    x, y, z = (point - low) / (high - low)
    planes = planes_of(drawn)
    features = [
        bilinear(planes[3 * n], x, y)
        * bilinear(planes[3 * n + 1], x, z)
        * bilinear(planes[3 * n + 2], y, z)
        for n in range(SETTINGS.num_levels)
    ]
    hidden = np.maximum(dense("density_hidden", np.concatenate(features)), 0.0)
    log_density, *geometry_features = dense("density", hidden)
    encoded = [*viewdir]
    for frequency in (1.0, 2.0):
        encoded += [*np.sin(frequency * viewdir), *np.cos(frequency * viewdir)]
    hidden = np.maximum(dense("rgb_hidden", np.array([*geometry_features, *encoded])), 0.0)
    rgb = 1.0 / (1.0 + np.exp(-dense("rgb", hidden)))
    return rgb, np.exp(log_density) / np.mean(high - low)


def test_it_agrees_with_a_slow_one(field, params):
    points, viewdirs = inputs(30)
    found = field.apply(params, points, viewdirs)
    drawn = drawn_params(SETTINGS)
    pairs = zip(np.float64(points), np.float64(viewdirs), strict=True)
    expected = [slowly(drawn, *pair) for pair in pairs]
    np.testing.assert_allclose(found.rgb, [rgb for rgb, _ in expected], atol=1e-5)
    np.testing.assert_allclose(found.density, [d for _, d in expected], rtol=1e-4)
    assert np.ptp(found.rgb) > 0.1


def test_levels_grow_and_planes_span_pairs_of_axes():
    assert plane_texels(SETTINGS) == [(4, 3), (4, 2), (3, 2), (6, 4), (6, 3), (4, 3)]


def test_the_gradient_is_that_of_small_differences(backend, field, params):
    points, viewdirs = inputs(30)
    direction = random_params(backend, SETTINGS, seed=5)

    def loss(scale):
        moved = jax.tree.map(lambda p, d: p + scale * d, params, direction)
        rgb, density = field.apply(moved, points, viewdirs)
        return jnp.mean(rgb) + jnp.mean(jnp.log(density))

    step = 1e-2
    expected = (loss(step) - loss(-step)) / (2 * step)
    assert float(jax.grad(loss)(0.0)) == pytest.approx(float(expected), rel=2e-2)


def test_outside_the_box_it_is_as_at_its_border(field, params):
    points, viewdirs = inputs(40)
    outside = 5.0 * points
    border = jnp.clip(outside, jnp.array([SETTINGS.low]), jnp.array([SETTINGS.high]))
    assert (outside != border).any(axis=1).sum() > 20
    found, expected = (field.apply(params, x, viewdirs) for x in (outside, border))
    np.testing.assert_allclose(found.density, expected.density, rtol=1e-5)
    np.testing.assert_allclose(found.rgb, expected.rgb, rtol=1e-5)


def test_a_scene_twice_as_large_is_half_as_dense(backend, field, params):
    low, high = (tuple(2 * x for x in corner) for corner in (SETTINGS.low, SETTINGS.high))
    large = make(backend, dataclasses.replace(SETTINGS, low=low, high=high))
    points, viewdirs = inputs(20)
    small_density = field.apply(params, points, viewdirs).density
    large_density = large.apply(params, 2.0 * points, viewdirs).density
    np.testing.assert_allclose(2.0 * large_density, small_density, rtol=1e-4)


# Regulariser and rates.


def test_the_variation_is_the_mean_squared_difference_of_neighbours():
    plane = jnp.asarray(np.random.default_rng(0).normal(size=(5, 7, 3)), jnp.float32)

    def plainly(plane):
        rows, columns = plane[1:] - plane[:-1], plane[:, 1:] - plane[:, :-1]
        return jnp.mean(jnp.square(rows)) + jnp.mean(jnp.square(columns))

    assert float(total_variation(plane)) == pytest.approx(float(plainly(plane)), rel=1e-5)
    np.testing.assert_allclose(
        jax.grad(total_variation)(plane), jax.grad(plainly)(plane), rtol=1e-4, atol=1e-7
    )
    assert float(total_variation(jnp.ones((5, 7, 3)))) == 0.0


def test_the_penalty_weighs_the_variation_of_all_planes(field, params):
    planes = planes_of(drawn_params(SETTINGS))
    expected = sum(float(total_variation(jnp.asarray(plane))) for plane in planes)
    found = float(field.penalty(params))
    assert found == pytest.approx(SETTINGS.total_variation_weight * expected, rel=1e-4)


def test_planes_learn_faster_than_layers_and_the_proposal_faster_still(backend, field, params):
    rates = convert({"shared": field.rates(params)}, "planes", backend, DRAWN_AS)["shared"]
    assert rates["params"].pop("planes") == SETTINGS.plane_lr_factor
    assert set(jax.tree.leaves(rates)) == {1.0}
    proposal = field.proposal
    assert jax.tree.leaves(proposal.rates(proposal.init(jax.random.key(0)))) == [
        SETTINGS.proposal.lr_factor
    ]
