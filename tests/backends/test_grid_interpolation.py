"""Laws of interpolation in a grid of numbers: it agrees with rows of one feature; its gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.backends import grid_interpolation, interpolation
from nerf.backends.grid_interpolation import interpolate_grid

GRIDS = {"a line": (5,), "a plane": (4, 7), "a grid": (3, 4, 2)}
NUM_POINTS = 200

of_every_grid = pytest.mark.parametrize("texels", GRIDS.values(), ids=GRIDS)


def random_grid(texels, seed=0):
    values = np.random.default_rng(seed).normal(size=np.prod(texels))
    return jnp.asarray(values, jnp.float32)


def random_places(texels, num_points=NUM_POINTS, low=0.0, high=1.0):
    places = np.random.default_rng(1).uniform(low, high, size=(len(texels), num_points))
    return jnp.asarray(places, jnp.float32)


def by_rows(values, unit, texels):
    """The same by `interpolation.interpolate`, which other tests compare with a slow oracle."""
    return interpolation.interpolate(values[:, None], unit[None], [texels])[:, 0]


def plainly(values, unit, texels):
    """What JAX differentiates by itself."""
    index, share = interpolation.corners(unit[None], [texels])
    return jnp.sum(share[0] * values[index[0]], axis=0)


@of_every_grid
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.5, 1.5)], ids=["inside", "beyond"])
def test_it_is_that_of_rows_with_one_feature(texels, low, high):
    values, unit = random_grid(texels), random_places(texels, low=low, high=high)
    one, other = (
        jax.jit(functools.partial(form, texels=texels))(values, unit)
        for form in (interpolate_grid, by_rows)
    )
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@of_every_grid
def test_at_a_texel_it_is_that_texel(texels):
    values = random_grid(texels)
    axes = (np.arange(count) / (count - 1) for count in texels)
    unit = jnp.asarray(np.stack(np.meshgrid(*axes, indexing="ij")), jnp.float32)
    found = jax.jit(functools.partial(interpolate_grid, texels=texels))(
        values, unit.reshape(len(texels), -1)
    )
    np.testing.assert_allclose(found, values, rtol=1e-4, atol=1e-5)


@of_every_grid
@pytest.mark.parametrize("num_points", [0, 1, NUM_POINTS])
def test_both_gradients_are_those_of_the_plain_form(texels, num_points):
    values, unit = random_grid(texels), random_places(texels, num_points)

    def loss(form, values, unit):
        return jnp.sum(jnp.sin(form(values, unit, texels)))

    expected, found = (
        jax.jit(jax.grad(functools.partial(loss, form), (0, 1)))(values, unit)
        for form in (plainly, interpolate_grid)
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=1e-4)


@of_every_grid
@pytest.mark.parametrize("num_points", [0, NUM_POINTS])
def test_every_form_of_the_gradient_is_the_same(texels, num_points):
    """The form for CUDA sums what goes to one texel before it adds it."""
    unit, total = random_places(texels, num_points), random_grid(texels, seed=5)
    gradient = jnp.asarray(np.random.default_rng(3).normal(size=num_points), jnp.float32)
    one, other = (
        jax.jit(functools.partial(form, texels=texels))(total, unit, gradient)
        for form in (grid_interpolation.gradient_by_windows, grid_interpolation.gradient_by_sorting)
    )
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    assert bool(jnp.any(one != total)) == (num_points > 0)


def test_a_grid_of_another_size_is_refused():
    with pytest.raises(AssertionError):
        interpolate_grid(jnp.zeros(27), jnp.zeros((2, 5)), (4, 7))
    with pytest.raises(AssertionError):
        interpolate_grid(jnp.zeros(28), jnp.zeros((3, 5)), (4, 7))


@pytest.mark.parametrize("precision", ["default", "bfloat16"])
def test_what_is_computed_once_keeps_its_digits(precision):
    values = random_places((1, 1, 1), low=-1e3, high=1e3)
    with jax.default_matmul_precision(precision):
        once = jax.jit(interpolation.computed_once_on_cpu)(values)
    np.testing.assert_array_equal(once, values)
