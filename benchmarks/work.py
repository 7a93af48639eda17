"""How many floating-point operations a training step needs, counted in its jaxprs."""

import inspect
import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nerf.backends.interpolation import product_with_identity
from nerf.config.settings import Config
from nerf.field import FieldOutput, Params, RadianceField
from nerf.geometry.rays import Rays
from nerf.geometry.world import World
from nerf.render.rays import Rendering, init_params, render_rays

# Each matrix counts once forward, and twice backward: for its input and for the matrix itself.
PASSES = 3
_NO_WORK = inspect.unwrap(product_with_identity).__name__


class Work(NamedTuple):
    """The work of one ray in one training step.

    Attributes:
      evaluations: of a network at a point.
      flop: floating-point operations of all matrix products, forward and backward.
    """

    evaluations: int
    flop: int

    @property
    def flop_per_evaluation(self) -> float:
        return self.flop / self.evaluations


def forward_flop(field: RadianceField, params: Params) -> int:
    """Floating-point operations of all matrix products of a field at one point.

        sum over products [rows, inputs] x [inputs, outputs] of 2 rows inputs outputs

    Args:
      field: it is traced, not evaluated.
      params: of one network.

    >>> def double(params, points, viewdirs, /, *, key=None):
    ...     return FieldOutput(points @ params, jnp.zeros(points.shape[:-1]))
    >>> forward_flop(RadianceField(lambda key: None, double), jnp.zeros((3, 3)))
    18
    """
    point = jax.ShapeDtypeStruct((1, 3), jnp.float32)
    total = 0
    for equation in equations(jax.make_jaxpr(field.apply)(params, point, point).jaxpr):
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            inputs = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
            total += 2 * inputs * math.prod(equation.outvars[0].aval.shape)
    return total


def equations(jaxpr: Any) -> Iterator[Any]:
    """The equations of a jaxpr and of the jaxprs inside it, without what only guides XLA."""
    for equation in jaxpr.eqns:
        if equation.params.get("name") == _NO_WORK:
            continue
        yield equation
        for value in equation.params.values():
            for part in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    yield from equations(inner)


def work_per_ray(field: RadianceField, config: Config) -> Work:
    """Traces the renderer with one ray, and counts how the field is evaluated."""
    calls: list[Work] = []

    def counting_apply(
        params: Params,
        points: jax.Array,
        viewdirs: jax.Array,
        /,
        *,
        key: jax.Array | None = None,
    ) -> FieldOutput:
        evaluations = math.prod(points.shape[:-1])
        calls.append(Work(evaluations, PASSES * evaluations * forward_flop(field, params)))
        return field.apply(params, points, viewdirs, key=key)

    counted = field._replace(apply=counting_apply)
    params = jax.eval_shape(partial(init_params, field, config.render), jax.random.key(0))
    ray = jax.eval_shape(_one_ray)

    def render(params: Params, ray: Rays) -> Rendering:
        return render_rays(counted, params, ray, config.render)

    jax.eval_shape(render, params, ray)
    return Work(sum(call.evaluations for call in calls), sum(call.flop for call in calls))


def _one_ray() -> Rays:
    vector, scalar = jnp.zeros((1, 3)), jnp.zeros(1)
    return Rays(vector, vector, vector, scalar, scalar, World())
