"""An NNX module as the pure functions of a `RadianceField`."""

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from nerf.field import ApplyFn, FieldOutput, InitFn, Params


def pure_functions(make_module: Callable[[nnx.Rngs], nnx.Module]) -> tuple[InitFn, ApplyFn]:
    """`init` and `apply` of a module that is called with points, viewdirs and a key or None.

    `apply` hands on what else it is given by name.

    Args:
      make_module: makes the module with fresh parameters.
    """
    graph = nnx.graphdef(nnx.eval_shape(lambda: make_module(nnx.Rngs(0))))

    def init(key: jax.Array, /) -> Params:
        return nnx.to_pure_dict(nnx.state(make_module(nnx.Rngs(key))))

    def apply(
        params: Params,
        points: jax.Array,
        viewdirs: jax.Array,
        /,
        *,
        key: jax.Array | None = None,
        **more: Any,
    ) -> FieldOutput:
        output = nnx.merge(graph, params)(points, viewdirs, key, **more)
        assert isinstance(output, FieldOutput)
        return output

    return init, apply
