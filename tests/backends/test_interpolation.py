"""Laws of multilinear interpolation and its gradient: linear functions, texels, a slow oracle."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.backends import interpolation
from nerf.backends.interpolation import num_rows

TABLES = {
    "a line": [(5,)],
    "a plane": [(4, 7)],
    "a grid": [(3, 4, 2)],
    "three planes": [(4, 7), (2, 2), (6, 3)],
}


def random_rows(texels, num_features=3, seed=0):
    shape = (num_rows(texels), num_features)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def random_places(texels, num_points=40, seed=1):
    shape = (num_points, len(texels), len(texels[0]))
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def tables(rows, texels):
    """Each table as an array of its own."""
    ends = np.cumsum([np.prod(counts) for counts in texels])
    return [
        part.reshape(*counts, -1)
        for part, counts in zip(np.split(rows, ends[:-1]), texels, strict=True)
    ]


def interpolate(rows, unit, texels):
    """`[num_points, num_tables, num_features]`, for places `[num_points, num_tables, num_axes]`."""
    found = interpolation.interpolate(rows, jnp.moveaxis(jnp.asarray(unit), 0, -1), texels)
    return found.reshape(len(unit), len(texels), -1)


def slowly(rows, unit, texels):
    """Point by point, table by table, corner by corner."""
    found = np.zeros((*unit.shape[:2], rows.shape[1]))
    for (i, point), (j, table) in itertools.product(
        enumerate(unit), enumerate(tables(rows, texels))
    ):
        position = np.float64(point[j]) * (np.array(texels[j]) - 1)
        left = np.minimum(np.floor(position), np.array(texels[j]) - 2).astype(int)
        for corner in itertools.product((0, 1), repeat=len(left)):
            near = 1 - np.abs(position - left - corner)
            found[i, j] += np.prod(near) * table[tuple(left + corner)]
    return found


def test_the_sum_over_corners_is_computed_once(usual_compilation):
    """And not again for each use, in the product and in the gradients of the two other factors."""
    texels, num_points, num_features = [(12, 10)] * 6, 512, 8
    unit = jnp.moveaxis(jnp.asarray(random_places(texels, num_points)), 0, -1)

    def squares(rows):
        found = interpolation.interpolate(rows, unit, texels, num_factors=3)
        return jnp.sum(jnp.square(found))

    rows = jnp.asarray(random_rows(texels, num_features))
    cost = jax.jit(jax.grad(squares)).lower(rows).compile().cost_analysis()
    assert cost["flops"] < 4 * len(texels) * 4 * 2 * num_points * num_features


@pytest.mark.parametrize("texels", TABLES.values(), ids=TABLES)
def test_it_agrees_with_a_slow_one(texels):
    rows, unit = random_rows(texels), random_places(texels)
    np.testing.assert_allclose(
        interpolate(jnp.asarray(rows), unit, texels), slowly(rows, unit, texels), atol=1e-5
    )


@pytest.mark.parametrize("texels", TABLES.values(), ids=TABLES)
def test_a_linear_function_is_exact(texels):
    slopes = np.float32([2.0, -1.0, 0.5])[: len(texels[0])]
    parts = []
    for number, counts in enumerate(texels):
        axes = np.meshgrid(*(np.linspace(0, 1, n) for n in counts), indexing="ij")
        values = number + sum(a * axis for a, axis in zip(slopes, axes, strict=True))
        parts.append(values.reshape(-1, 1))
    unit = random_places(texels)
    found = interpolate(jnp.asarray(np.concatenate(parts), jnp.float32), unit, texels)
    expected = np.arange(len(texels))[None] + unit @ slopes
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-5)


@pytest.mark.parametrize("texels", TABLES.values(), ids=TABLES)
def test_at_a_texel_it_is_that_texel(texels):
    rows = random_rows(texels)
    counts = np.array(texels)
    index = np.random.default_rng(2).integers(0, counts, size=(30, *counts.shape))
    found = interpolate(jnp.asarray(rows), jnp.asarray(index / (counts - 1), jnp.float32), texels)
    for number, table in enumerate(tables(rows, texels)):
        np.testing.assert_allclose(
            found[:, number], table[tuple(index[:, number].T)], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("texels", TABLES.values(), ids=TABLES)
def test_the_gradient_gives_each_texel_its_share(texels):
    """The shares of one place add up to one, and they are what the place takes from each row."""
    rows, unit = random_rows(texels, num_features=1), random_places(texels, num_points=1)
    gradient = jax.jit(jax.grad(lambda rows: jnp.sum(interpolate(rows, unit, texels))))
    shares = gradient(jnp.asarray(rows))
    assert shares.min() >= 0
    assert float(jnp.sum(shares)) == pytest.approx(len(texels), rel=1e-5)
    assert np.count_nonzero(shares) <= len(texels) * 2 ** len(texels[0])
    found = interpolate(jnp.asarray(rows), unit, texels)
    assert float(jnp.vdot(shares, rows)) == pytest.approx(float(jnp.sum(found)), abs=1e-5)


def plainly(rows, unit, texels, num_factors):
    """Interpolation that JAX differentiates by itself."""
    index, share = interpolation.corners(unit, texels)
    found = jnp.sum(share[..., None] * rows[index], axis=1)
    by_factor = found.reshape(len(found) // num_factors, num_factors, *found.shape[1:])
    return jnp.concatenate(list(jnp.prod(by_factor, axis=1)), axis=-1)


PRODUCTS = {
    "a grid": ([(3, 4, 2)], 1),
    "six planes": ([(4, 7), (2, 2), (6, 3)] * 2, 3),
    "four lines": ([(5,), (4,), (3,), (9,)], 2),
}


@pytest.mark.parametrize(("texels", "num_factors"), PRODUCTS.values(), ids=PRODUCTS)
@pytest.mark.parametrize("num_points", [0, 1, 40, 3000])  # none, one block, several
def test_both_gradients_are_those_of_the_plain_form(texels, num_factors, num_points):
    rows = jnp.asarray(random_rows(texels))
    unit = jnp.moveaxis(jnp.asarray(random_places(texels, num_points)), 0, -1)

    def loss(function, rows, unit):
        found = function(rows, unit, texels, num_factors=num_factors)
        return jnp.sum(jnp.sin(found))

    expected, found = (
        jax.jit(jax.grad(functools.partial(loss, function), (0, 1)))(rows, unit)
        for function in (plainly, interpolation.interpolate)
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize(("texels", "num_factors"), PRODUCTS.values(), ids=PRODUCTS)
def test_every_form_of_the_gradient_is_the_same(texels, num_factors):
    """The form for CUDA sums what goes to one row before it adds it."""
    rows = jnp.asarray(random_rows(texels))
    unit = jnp.moveaxis(jnp.asarray(random_places(texels, 500)), 0, -1)
    total = jnp.asarray(random_rows(texels, seed=5))
    num_features = len(texels) // num_factors * rows.shape[-1]
    gradient = jnp.asarray(np.random.default_rng(3).normal(size=(500, num_features)), jnp.float32)
    forms = interpolation.rows_gradient_in_blocks, interpolation.rows_gradient_by_sorting
    index, share = interpolation.corners(unit, texels)
    found = jnp.sum(share[..., None] * rows[index], axis=1)
    one, other = (
        jax.jit(functools.partial(form, texels=texels, num_factors=num_factors))(
            total, found, unit, gradient
        )
        for form in forms
    )
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_the_gradient_is_added_to_a_total():
    texels, num_factors = PRODUCTS["six planes"]
    rows = jnp.asarray(random_rows(texels))
    unit = jnp.moveaxis(jnp.asarray(random_places(texels, 50)), 0, -1)
    total = jnp.asarray(random_rows(texels, seed=5))

    def gradient(total):
        def loss(rows):
            found = interpolation.interpolate(
                rows, unit, texels, num_factors=num_factors, total=total
            )
            return jnp.sum(found)

        return jax.jit(jax.grad(loss))(rows)

    np.testing.assert_allclose(gradient(total), total + gradient(None), atol=1e-5)


def test_tables_of_another_size_are_refused():
    with pytest.raises(AssertionError):
        interpolation.interpolate(jnp.zeros((27, 2)), jnp.zeros((1, 2, 5)), [(4, 7)])
    with pytest.raises(AssertionError):
        interpolation.interpolate(jnp.zeros((28, 2)), jnp.zeros((2, 2, 5)), [(4, 7)])
