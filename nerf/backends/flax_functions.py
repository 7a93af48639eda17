"""A Linen module as the pure functions of a `RadianceField`."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from nerf.field import ApplyFn, FieldOutput, InitFn, Params


def pure_functions(module: nn.Module) -> tuple[InitFn, ApplyFn]:
    """`init` and `apply` of a module that is called with points, viewdirs and a key or None.

    `apply` hands on what else it is given by name.
    """

    def init(key: jax.Array, /) -> Params:
        example = jnp.zeros((1, 3))
        return module.init(key, example, example, None)

    def apply(
        params: Params,
        points: jax.Array,
        viewdirs: jax.Array,
        /,
        *,
        key: jax.Array | None = None,
        **more: Any,
    ) -> FieldOutput:
        output = module.apply(params, points, viewdirs, key, **more)
        assert isinstance(output, FieldOutput)
        return output

    return init, apply
