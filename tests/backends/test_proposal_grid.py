"""Laws of the grid that proposes where to look: what it interpolates, its box, its gradient."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.backends.proposal_grid import make
from nerf.config.presets import QUICK
from nerf.config.settings import GridConfig
from nerf.field import make_field
from tests.conftest import BACKENDS

GRID = GridConfig(low=(-1.0, -2.0, 0.0), high=(3.0, 1.0, 2.0), resolution=(3, 4, 5), lr_factor=20.0)
SIZE = (4.0 + 3.0 + 2.0) / 3.0
PROPOSAL = make(GRID)


def texel_places(grid=GRID):
    """Where the texels are, `[num_rows, 3]`, in the order of the rows."""
    ends = zip(grid.low, grid.high, grid.resolution, strict=True)
    axes = [np.linspace(low, high, count) for low, high, count in ends]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def params_of(log_density):
    """The grid's parameters are logarithms of density times the box's size."""
    return {"grid": {"log_density": jnp.asarray(log_density, jnp.float32)[:, None]}}


def random_points(num=50, seed=0, scale=1.0):
    centre = 0.5 * (np.array(GRID.low) + np.array(GRID.high))
    within = np.random.default_rng(seed).uniform(GRID.low, GRID.high, (num, 3))
    return (centre + scale * (within - centre)).astype(np.float32)


def random_params(seed=1):
    return params_of(np.random.default_rng(seed).normal(0.0, 2.0, 3 * 4 * 5))


def test_it_begins_as_a_thin_fog():
    params = PROPOSAL.init(jax.random.key(0))
    np.testing.assert_allclose(
        PROPOSAL.density(params, jnp.asarray(random_points())), 1 / SIZE, rtol=1e-6
    )


def test_the_logarithm_of_a_linear_function_is_exact():
    def log_density(places):
        return 0.5 + places @ np.array([0.7, -0.4, 1.1])

    points = random_points()
    found = PROPOSAL.density(params_of(log_density(texel_places())), jnp.asarray(points))
    np.testing.assert_allclose(found, np.exp(log_density(points)) / SIZE, rtol=1e-4)


@pytest.mark.parametrize("beyond", ["border", "empty"])
def test_beyond_the_box_it_is_as_at_the_border_or_empty(beyond):
    outside = random_points(scale=1.5)
    is_inside = np.all((outside >= GRID.low) & (outside <= GRID.high), axis=1)
    assert 0 < is_inside.sum() < len(outside)
    params = random_params()
    proposal = make(dataclasses.replace(GRID, outside=beyond))
    found = np.asarray(proposal.density(params, jnp.asarray(outside)))
    border = np.clip(outside, *map(np.float32, (GRID.low, GRID.high)))
    expected = np.asarray(PROPOSAL.density(params, jnp.asarray(border)))
    expected_inside = np.where(is_inside | (beyond == "border"), expected, 0.0)
    np.testing.assert_allclose(found, expected_inside, rtol=1e-5)


def test_any_leading_axes_will_do():
    points, params = jnp.asarray(random_points(12)), random_params()
    flat = PROPOSAL.density(params, points)
    for shape in ((3, 4), (1, 12), (2, 2, 3)):
        shaped = PROPOSAL.density(params, points.reshape(*shape, 3))
        np.testing.assert_array_equal(shaped, flat.reshape(shape))
    assert PROPOSAL.density(params, points[0]).shape == ()


def test_the_gradient_is_that_of_small_differences():
    params, direction = random_params(), random_params(seed=5)
    points = jnp.asarray(random_points())

    def loss(scale):
        moved = jax.tree.map(lambda p, d: p + scale * d, params, direction)
        return jnp.mean(jnp.log(PROPOSAL.density(moved, points)))

    step = 1e-2
    expected = (loss(step) - loss(-step)) / (2 * step)
    assert float(jax.grad(loss)(0.0)) == pytest.approx(float(expected), rel=1e-2)


def test_its_rate_is_that_of_its_settings():
    assert jax.tree.leaves(PROPOSAL.rates(random_params())) == [GRID.lr_factor]


def test_it_is_the_same_in_every_backend():
    config = dataclasses.replace(QUICK.field, proposal=GRID)
    points, params = jnp.asarray(random_points()), random_params()
    expected = PROPOSAL.density(params, points)
    for backend in BACKENDS:
        proposal = make_field(backend, "mlp", config).proposal
        fresh = proposal.init(jax.random.key(0))
        assert jax.tree.structure(fresh) == jax.tree.structure(params)
        np.testing.assert_array_equal(proposal.density(params, points), expected)
