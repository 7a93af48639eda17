"""A Haiku network as the pure functions of a `RadianceField`."""

from collections.abc import Callable
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from nerf.field import ApplyFn, FieldOutput, InitFn, Params

Network = Callable[..., FieldOutput]
NO_MODULE = "~"  # where Haiku puts parameters that belong to no module


def pure_functions(network: Network, compute_dtype: str) -> tuple[InitFn, ApplyFn]:
    """`init` and `apply` of a network.

    Args:
      network: a function of points, viewdirs, a key or None, the dtype to compute in, and of what
        else `apply` is given by name.
      compute_dtype: of the layers' products; a table, which belongs to no module, stays float32.
    """
    transformed: hk.Transformed = hk.without_apply_rng(hk.transform(network))

    def init(key: jax.Array, /) -> Params:
        example = jnp.zeros((1, 3))
        return transformed.init(key, example, example, None, jnp.dtype("float32"))

    def apply(
        params: Params,
        points: jax.Array,
        viewdirs: jax.Array,
        /,
        *,
        key: jax.Array | None = None,
        **more: Any,
    ) -> FieldOutput:
        dtype = jnp.dtype(compute_dtype)
        params = {
            name: arrays
            if name == NO_MODULE
            else jax.tree.map(lambda leaf: leaf.astype(dtype), arrays)  # no change for float32
            for name, arrays in params.items()
        }
        output = transformed.apply(params, points, viewdirs, key, dtype, **more)
        assert isinstance(output, FieldOutput)
        return output

    return init, apply
