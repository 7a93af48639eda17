"""Laws of every field on every backend: the contract of `nerf.field`, whatever is computed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.work import equations
from nerf.backends.convert import differences
from nerf.field import FieldOutput, abstract_params
from tests.support.fields import compiled, make, random_inputs, random_params, small


@pytest.fixture
def backend(implementation):
    return implementation[0]


@pytest.fixture
def config(implementation):
    return small(implementation[1])


@pytest.fixture
def field(backend, config):
    return compiled(backend, config)


@pytest.fixture
def params(backend, config):
    return random_params(backend, config)


# Outputs.


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (2, 1, 4), (0,)])
def test_outputs_have_the_shape_of_the_points_and_their_ranges(field, params, shape, key):
    points, viewdirs = random_inputs(*shape)
    output = field.apply(params, points, viewdirs, key=key)
    assert isinstance(output, FieldOutput)
    assert output.rgb.shape == (*shape, 3)
    assert output.density.shape == shape
    proposed = field.proposal.density(field.proposal.init(key), points)
    assert proposed.shape == shape
    for array in (*output, proposed):
        assert array.dtype == jnp.float32
        assert (np.asarray(array) >= 0).all()
    assert (np.asarray(output.rgb) <= 1).all()


def test_nothing_overflows_far_from_the_usual(field, params):
    params = jax.tree.map(lambda leaf: 30 * leaf, params)
    output = field.apply(params, *random_inputs(200))
    assert np.isfinite(output.rgb).all()
    assert np.isfinite(output.density).all()
    assert output.rgb.min() >= 0
    assert output.rgb.max() <= 1
    assert output.density.min() >= 0
    assert output.density.max() > 100


def test_each_point_is_evaluated_on_its_own(field, params):
    points, viewdirs = random_inputs(6)
    together = field.apply(params, points, viewdirs)
    reversed_ = field.apply(params, points[::-1], viewdirs[::-1])
    np.testing.assert_allclose(reversed_.rgb[::-1], together.rgb, rtol=1e-5)
    np.testing.assert_allclose(reversed_.density[::-1], together.density, rtol=1e-5, atol=1e-6)
    for i in range(6):
        alone = field.apply(params, points[i], viewdirs[i])
        np.testing.assert_allclose(alone.rgb, together.rgb[i], rtol=1e-5)
        np.testing.assert_allclose(alone.density, together.density[i], rtol=1e-5, atol=1e-6)


def test_density_does_not_depend_on_the_viewing_direction_and_rgb_does(field, params):
    points, viewdirs = random_inputs(20)
    front, back = (field.apply(params, points, sign * viewdirs) for sign in (1.0, -1.0))
    np.testing.assert_array_equal(front.density, back.density)
    assert np.abs(front.rgb - back.rgb).max() > 1e-2


def test_parameters_may_lie_on_the_host(backend, config, params):
    field, inputs = make(backend, config), random_inputs(4)
    expected = field.apply(params, *inputs)
    found = field.apply(jax.device_get(params), *inputs)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


# Parameters.


def test_fresh_parameters_have_the_announced_shapes_and_follow_their_key(field):
    first, again, other = (field.init(jax.random.key(seed)) for seed in (0, 0, 1))
    announced = abstract_params(field)
    assert jax.tree.structure(first) == jax.tree.structure(announced)
    for leaf, shape in zip(jax.tree.leaves(first), jax.tree.leaves(announced), strict=True):
        assert (leaf.shape, leaf.dtype) == (shape.shape, jnp.float32)
        assert np.isfinite(leaf).all()
    for a, b, c in zip(*map(jax.tree.leaves, (first, again, other)), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.ndim == 1 or (a != c).all()


def test_parameters_are_plain_dictionaries_of_arrays(field, params):
    """So that checkpoints, parameter files and the optimiser need to know no backend."""

    def check(node, arrays):
        if isinstance(node, arrays):
            return
        assert type(node) is dict
        for name, child in node.items():
            assert type(name) is str
            check(child, arrays)

    check(field.init(jax.random.key(0)), jax.Array)
    check(abstract_params(field), jax.ShapeDtypeStruct)
    inputs = random_inputs(3)
    gradient = jax.jit(jax.grad(lambda params: jnp.sum(field.apply(params, *inputs).rgb)))(params)
    check(gradient, jax.Array)
    assert differences(gradient, params) == []


def test_rates_are_of_the_structure_of_the_parameters(field, params):
    rates = field.rates(params)
    assert jax.tree.structure(rates) == jax.tree.structure(params)
    assert all(rate > 0 for rate in jax.tree.leaves(rates))
    assert np.shape(field.penalty(params)) == ()


# The type that is computed in.


def test_every_layer_multiplies_in_the_type_asked_for(backend, config, params):
    for dtype in ("float32", "bfloat16"):
        field = make(backend, dataclasses.replace(config, compute_dtype=dtype))
        closed = jax.make_jaxpr(field.apply)(params, *random_inputs(4))
        found = [e for e in equations(closed.jaxpr) if e.primitive.name == "dot_general"]
        num_matrices = sum(leaf.ndim == 2 for leaf in jax.tree.leaves(params))
        tables = sum(rate > 1 for rate in jax.tree.leaves(field.rates(params)))
        assert len(found) == num_matrices - tables
        for equation in found:
            assert {str(variable.aval.dtype) for variable in equation.invars} == {dtype}
        for leaf in closed.out_avals:
            assert leaf.dtype == jnp.float32


def test_fresh_parameters_do_not_depend_on_the_type(backend, config, key):
    made = [
        compiled(backend, dataclasses.replace(config, compute_dtype=dtype)).init(key)
        for dtype in ("float32", "bfloat16")
    ]
    jax.tree.map(np.testing.assert_array_equal, *made)


def test_gradients_in_bfloat16_are_float32_and_nearly_right(backend, config, params):
    """Which pulls every array, the planes too, through the layers in bfloat16."""
    inputs, gradients = random_inputs(64), []
    for dtype in ("float32", "bfloat16"):
        field = make(backend, dataclasses.replace(config, compute_dtype=dtype))

        def loss(params, field=field):
            output = field.apply(params, *inputs)
            return jnp.mean(output.rgb) + jnp.mean(output.density)

        gradients.append(jax.tree.leaves(jax.jit(jax.grad(loss))(params)))
    norm = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in gradients[0]))
    for exact, rough in zip(*gradients, strict=True):
        assert rough.dtype == jnp.float32
        assert np.linalg.norm(rough - exact) < 0.05 * norm
