"""Laws of the field `planes`: the contract of all fields, a slow oracle, and that it learns."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.backends.planes import plane_texels, total_variation
from nerf.config import text as config_text
from nerf.config.presets import PLANES
from nerf.field import FieldOutput, abstract_params, make_field

SMALL = (
    "field.resolution=[4, 3, 2]",
    "field.growth=1.5",
    "field.num_features=5",
    "field.width=8",
    "field.num_geometry_features=3",
    "field.proposal.resolution=[3, 4, 5]",
    "field.low=[-1, -2, 0]",
    "field.high=[3, 1, 2]",
)
CONFIG = config_text.override(PLANES, *SMALL)
SETTINGS = CONFIG.field
FIELD = make_field("flax", "planes", SETTINGS)


def random_params(seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(0.0, 0.6, leaf.shape), jnp.float32),
        abstract_params(FIELD),
    )


def random_inputs(*shape, seed=1):
    rng = np.random.default_rng(seed)
    points = rng.uniform(SETTINGS.low, SETTINGS.high, (*shape, 3)).astype(np.float32)
    viewdirs = rng.normal(size=(*shape, 3))
    viewdirs /= np.linalg.norm(viewdirs, axis=-1, keepdims=True)
    return jnp.asarray(points), jnp.asarray(viewdirs, jnp.float32)


# The contract.


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (2, 1, 4), (0,)])
def test_outputs_have_the_shape_of_the_points_and_their_ranges(shape):
    points, viewdirs = random_inputs(*shape)
    output = FIELD.apply(random_params(), points, viewdirs, key=jax.random.key(0))
    assert isinstance(output, FieldOutput)
    assert output.rgb.shape == (*shape, 3)
    assert output.density.shape == shape
    proposed = FIELD.proposal.density(FIELD.proposal.init(jax.random.key(0)), points)
    assert proposed.shape == shape
    for array in (*output, proposed):
        assert array.dtype == jnp.float32
        assert (np.asarray(array) >= 0).all()
    assert (np.asarray(output.rgb) <= 1).all()


def test_nothing_overflows_far_from_the_usual():
    params = jax.tree.map(lambda leaf: 30.0 * leaf, random_params())
    output = FIELD.apply(params, *random_inputs(200))
    assert np.isfinite(output.rgb).all()
    assert np.isfinite(output.density).all()
    assert output.density.max() > 100


def test_each_point_is_evaluated_on_its_own():
    points, viewdirs = random_inputs(6)
    together = FIELD.apply(random_params(), points, viewdirs)
    for i in range(6):
        alone = FIELD.apply(random_params(), points[i], viewdirs[i])
        np.testing.assert_allclose(alone.rgb, together.rgb[i], rtol=1e-5)
        np.testing.assert_allclose(alone.density, together.density[i], rtol=1e-5)


def test_density_does_not_depend_on_the_viewing_direction_and_rgb_does():
    points, viewdirs = random_inputs(20)
    front, back = (FIELD.apply(random_params(), points, sign * viewdirs) for sign in (1.0, -1.0))
    np.testing.assert_array_equal(front.density, back.density)
    assert np.abs(front.rgb - back.rgb).max() > 1e-2


def test_fresh_parameters_follow_their_key():
    first, again, other = (FIELD.init(jax.random.key(seed)) for seed in (0, 0, 1))
    for a, b, c in zip(*map(jax.tree.leaves, (first, again, other)), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.ndim == 1 or (a != c).all()


# What it computes.


def planes_of(params):
    rows, texels = np.float64(params["params"]["planes"]), plane_texels(SETTINGS)
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


def slowly(params, point, viewdir):
    """One point, in float64."""
    layers = jax.tree.map(np.float64, params["params"])

    def dense(name, features):
        return features @ layers[name]["kernel"] + layers[name]["bias"]

    low, high = np.array(SETTINGS.low), np.array(SETTINGS.high)
    x, y, z = (point - low) / (high - low)
    planes = planes_of(params)
    features = [
        bilinear(planes[3 * n], x, y)
        * bilinear(planes[3 * n + 1], x, z)
        * bilinear(planes[3 * n + 2], y, z)
        for n in range(SETTINGS.num_levels)
    ]
    hidden = np.maximum(dense("density_hidden", np.concatenate(features)), 0.0)
    log_density, *handed_on = dense("density", hidden)
    encoded = [*viewdir]
    for frequency in (1.0, 2.0):
        encoded += [*np.sin(frequency * viewdir), *np.cos(frequency * viewdir)]
    hidden = np.maximum(dense("rgb_hidden", np.array([*handed_on, *encoded])), 0.0)
    rgb = 1.0 / (1.0 + np.exp(-dense("rgb", hidden)))
    return rgb, np.exp(log_density) / np.mean(high - low)


def test_it_agrees_with_a_slow_one():
    points, viewdirs = random_inputs(30)
    found = FIELD.apply(random_params(), points, viewdirs)
    pairs = zip(np.float64(points), np.float64(viewdirs), strict=True)
    expected = [slowly(random_params(), *pair) for pair in pairs]
    np.testing.assert_allclose(found.rgb, [rgb for rgb, _ in expected], atol=1e-5)
    np.testing.assert_allclose(found.density, [d for _, d in expected], rtol=1e-4)
    assert np.ptp(found.rgb) > 0.1


def test_levels_grow_and_planes_span_pairs_of_axes():
    assert plane_texels(SETTINGS) == [(4, 3), (4, 2), (3, 2), (6, 4), (6, 3), (4, 3)]


def test_the_gradient_is_that_of_small_differences():
    params, (points, viewdirs) = random_params(), random_inputs(30)
    direction = random_params(seed=5)

    def loss(scale):
        moved = jax.tree.map(lambda p, d: p + scale * d, params, direction)
        rgb, density = FIELD.apply(moved, points, viewdirs)
        return jnp.mean(rgb) + jnp.mean(jnp.log(density))

    step = 1e-2
    expected = (loss(step) - loss(-step)) / (2 * step)
    assert float(jax.grad(loss)(0.0)) == pytest.approx(float(expected), rel=2e-2)


def test_outside_the_box_it_is_as_at_its_border():
    points, viewdirs = random_inputs(40)
    outside = 5.0 * points
    border = jnp.clip(outside, jnp.array([SETTINGS.low]), jnp.array([SETTINGS.high]))
    assert (outside != border).any(axis=1).sum() > 20
    found, expected = (FIELD.apply(random_params(), x, viewdirs) for x in (outside, border))
    np.testing.assert_allclose(found.density, expected.density, rtol=1e-5)
    np.testing.assert_allclose(found.rgb, expected.rgb, rtol=1e-5)


def test_a_scene_twice_as_large_is_half_as_dense():
    low, high = (tuple(2 * x for x in corner) for corner in (SETTINGS.low, SETTINGS.high))
    large = make_field("flax", "planes", dataclasses.replace(SETTINGS, low=low, high=high))
    points, viewdirs = random_inputs(20)
    small_density = FIELD.apply(random_params(), points, viewdirs).density
    large_density = large.apply(random_params(), 2.0 * points, viewdirs).density
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


def test_the_penalty_weighs_the_variation_of_all_planes():
    params = random_params()
    expected = sum(float(total_variation(jnp.asarray(p))) for p in planes_of(params))
    found = float(FIELD.penalty(params))
    assert found == pytest.approx(SETTINGS.total_variation_weight * expected, rel=1e-4)


def test_planes_learn_faster_than_layers_and_the_proposal_faster_still():
    rates = FIELD.rates(random_params())
    assert jax.tree.structure(rates) == jax.tree.structure(random_params())
    assert rates["params"].pop("planes") == SETTINGS.plane_lr_factor
    assert set(jax.tree.leaves(rates)) == {1.0}
    proposal = FIELD.proposal
    assert jax.tree.leaves(proposal.rates(proposal.init(jax.random.key(0)))) == [
        SETTINGS.proposal.lr_factor
    ]
