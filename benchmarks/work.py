"""What a training step has to compute, counted from the settings and the parameters' shapes."""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nerf.cameras import Rays
from nerf.config import Config
from nerf.field import FieldOutput, Params, RadianceField
from nerf.render.rays import Rendering, init_params, render_rays

# Through each matrix once forward; backward once for the layer's input and once for the matrix.
PASSES = 3


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


def forward_flop(params: Params) -> int:
    """Operations of the products with all matrices of one network, for one point.

        sum over matrices [inputs, outputs] of 2 inputs outputs

    >>> forward_flop({"matrix": jnp.zeros((60, 256)), "bias": jnp.zeros(256)})
    30720
    """
    matrices = [leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
    return sum(2 * math.prod(shape) for shape in matrices)


def work_per_ray(field: RadianceField, config: Config) -> Work:
    """Asks the renderer: one ray goes through it in the abstract, and evaluations are counted."""
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
        calls.append(Work(evaluations, PASSES * evaluations * forward_flop(params)))
        return field.apply(params, points, viewdirs, key=key)

    counted = RadianceField(field.init, counting_apply)
    params = jax.eval_shape(partial(init_params, field, config.render), jax.random.key(0))
    ray = jax.eval_shape(_one_ray)

    def render(params: Params, ray: Rays) -> Rendering:
        return render_rays(counted, params, ray, config.render)

    jax.eval_shape(render, params, ray)
    return Work(sum(call.evaluations for call in calls), sum(call.flop for call in calls))


def _one_ray() -> Rays:
    vector, scalar = jnp.zeros((1, 3)), jnp.zeros(1)
    return Rays(vector, vector, vector, scalar, scalar)
