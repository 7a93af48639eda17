"""The field `planes` in Haiku."""

from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from nerf.backends.haiku_functions import NO_MODULE, pure_functions
from nerf.backends.narrow_product import narrow_product
from nerf.backends.planes import (
    PlanesConfig,
    forward,
    initial_planes,
    planes_shape,
    radiance_field,
)
from nerf.field import FieldOutput, RadianceField


class NarrowLinear(hk.Linear):
    """A layer with a few outputs, see `narrow_product`."""

    def __call__(self, inputs: jax.Array, *, precision: Any = None) -> jax.Array:
        assert precision is None  # JAX's default
        num_inputs, num_outputs = inputs.shape[-1], self.output_size
        init = hk.initializers.TruncatedNormal(num_inputs**-0.5)  # as in Haiku's own layer
        matrix = hk.get_parameter("w", (num_inputs, num_outputs), inputs.dtype, init=init)
        bias = hk.get_parameter("b", (num_outputs,), inputs.dtype, init=jnp.zeros)
        output = narrow_product(inputs, matrix)
        return output + jnp.broadcast_to(bias, output.shape)


def make(config: PlanesConfig) -> RadianceField:
    """A `RadianceField`: `{"~": {"planes": rows}, layer: {"w", "b"}}`."""

    def network(
        points: jax.Array,
        viewdirs: jax.Array,
        key: jax.Array | None,
        dtype: jnp.dtype,
        total: jax.Array | None = None,
    ) -> FieldOutput:
        del key  # the density has no noise
        rows = hk.get_parameter(
            "planes",
            planes_shape(config),
            init=lambda shape, dtype: initial_planes(hk.next_rng_key(), config),
        )

        def layer(name: str, num_outputs: int) -> hk.Linear:
            return (NarrowLinear if name == "rgb" else hk.Linear)(num_outputs, name=name)

        return forward(layer, rows, points, viewdirs, config, dtype, total)

    init, apply = pure_functions(network, config.compute_dtype)
    return radiance_field(config, init, apply, lambda params: params[NO_MODULE]["planes"])
