"""The product of a layer with a few outputs."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from nerf.backends.haiku_planes import NarrowLinear
from nerf.backends.narrow_product import narrow_dot_general, narrow_product


@pytest.mark.parametrize("num_outputs", [1, 3, 8, 9])
def test_it_is_the_product_and_has_its_gradients(num_outputs):
    keys = jax.random.split(jax.random.key(num_outputs), 3)
    inputs, matrix = (
        jax.random.normal(keys[0], (5, 7)),
        jax.random.normal(keys[1], (7, num_outputs)),
    )
    weights = jax.random.normal(keys[2], (5, num_outputs))

    def weighed(product):
        return jax.grad(lambda pair: jnp.vdot(weights, product(*pair)))((inputs, matrix))

    np.testing.assert_allclose(
        narrow_product(inputs, matrix), inputs @ matrix, rtol=1e-5, atol=1e-5
    )
    for found, expected in zip(weighed(narrow_product), weighed(jnp.matmul), strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    check_grads(narrow_product, (inputs, matrix), order=1, modes=["rev"], eps=1e-2, rtol=1e-2)


def test_a_layer_of_flax_calls_it_with_its_last_axis():
    inputs, matrix = jnp.arange(24.0).reshape(2, 3, 4), jnp.arange(8.0).reshape(4, 2)
    dimensions = (((2,), (0,)), ((), ()))
    found = narrow_dot_general(inputs, matrix, dimensions, precision=None)
    np.testing.assert_array_equal(found, jax.lax.dot_general(inputs, matrix, dimensions))


def test_the_layer_of_haiku_begins_like_haikus_own():
    inputs = jax.random.normal(jax.random.key(0), (5, 64))
    own, haikus = (
        hk.without_apply_rng(hk.transform(lambda x, layer=layer: layer(3, name="rgb")(x)))
        for layer in (NarrowLinear, hk.Linear)
    )
    key = jax.random.key(1)
    params, expected = own.init(key, inputs), haikus.init(key, inputs)
    jax.tree.map(np.testing.assert_array_equal, params, expected)
    np.testing.assert_allclose(
        own.apply(params, inputs), haikus.apply(params, inputs), rtol=1e-5, atol=1e-6
    )
