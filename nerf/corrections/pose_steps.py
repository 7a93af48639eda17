"""Gauss-Newton steps of the poses of all views, while the field is trained.

Every ray says how its colours change with the pose of its camera. Sums over the rays of many
training steps are the normal equations of each view; from time to time they are solved for a step
of its six tangents:

    (H + damping) step = -share (slope + pull tangents)

A gradient alone would not do: turning a camera and moving it sideways change an image nearly alike,
and Adam, which scales each number by itself, cannot follow such a valley.

What images hardly say is drifted along, since the field follows: cameras that turn in proportion to
where they stand flatten or deepen a scene. The pull towards the given poses keeps from that.

Source: Gauss-Newton with damping, Marquardt 1963.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

_RAYS_BETWEEN_STEPS = 256  # of a view, about
_MIN_BETWEEN = 4  # training steps
_MIN_IN_RUN = 100  # steps of the poses, unless the run is shorter
_DELAY = 0.05  # of the run: a field that shows nothing says nothing of poses
_FIRST_SHARE, _LAST_SHARE = 1.0, 0.003  # of a whole step: the last ones average over many rays
_DAMPING = 0.1  # of the diagonal, and of its mean over the views
_PULL, _PULL_DECAY = 0.3, 0.1
_MAX_STEP = 0.05  # of a tangent
_MEMORY = 0.5  # of the Hessian, from one step to the next


class PoseEquations(NamedTuple):
    """The loss as a function of the tangents of each view, to second order; a sum over steps.

    Attributes:
      slope: `[num_views, 6]`, the gradient.
      hessian: `[num_views, 6, 6]`, by the Jacobian of the colours; it is kept for longer.
      num_steps: `[]`, how many training steps the Hessian is of; fewer where old ones fade.
    """

    slope: jax.Array
    hessian: jax.Array
    num_steps: jax.Array


def no_equations(num_views: int) -> PoseEquations:
    """The sum over no steps."""
    return PoseEquations(jnp.zeros((num_views, 6)), jnp.zeros((num_views, 6, 6)), jnp.zeros(()))


def steps_between(num_views: int, num_rays: int, num_steps: int) -> int:
    """How many training steps there are from one step of the poses to the next.

    Args:
      num_views: that are trained on.
      num_rays: of a training step.
      num_steps: training steps of the run.

    >>> (
    ...     steps_between(32, 1024, 2000),
    ...     steps_between(32, 4096, 2000),
    ...     steps_between(32, 1024, 40),
    ... )
    (8, 4, 1)
    """
    num_between = max(_MIN_BETWEEN, round(_RAYS_BETWEEN_STEPS * num_views / num_rays))
    return max(1, min(num_between, num_steps // _MIN_IN_RUN))


def next_tangents(
    tangents: jax.Array,
    equations: PoseEquations,
    found: PoseEquations,
    *,
    step: jax.Array,
    progress: jax.Array,
    between: int,
) -> tuple[jax.Array, PoseEquations]:
    """The tangents after a training step, and the equations for the next one.

    Args:
      tangents: `[num_views, 6]`, see `nerf.corrections.poses.motions_of`.
      equations: of the steps since the poses were moved.
      found: of this step alone. One that is not finite is left out.
      step: `[]` int, the number of the training step, from 0.
      progress: `[]`, the share of the run that is over, in [0, 1].
      between: see `steps_between`.
    """
    is_finite = jnp.isfinite(jnp.sum(found.slope)) & jnp.isfinite(jnp.sum(found.hessian))
    total: PoseEquations = jax.tree.map(
        lambda old, new: jnp.where(is_finite, old + new, old), equations, found
    )
    is_due = step % between == between - 1
    moved = tangents + _step(tangents, total, between, progress)
    tangents = jnp.where(is_due & (progress >= _DELAY), moved, tangents)
    remembered = PoseEquations(jnp.zeros_like(total.slope), *(_MEMORY * x for x in total[1:]))
    total = jax.tree.map(lambda old, new: jnp.where(is_due, new, old), total, remembered)
    return tangents, total


def _step(
    tangents: jax.Array, equations: PoseEquations, num_steps: int, progress: jax.Array
) -> jax.Array:
    """What a step of the poses adds to their tangents."""
    num_views, _ = tangents.shape
    # A view has about 1 / num_views of the rays, and of the loss.
    slope = equations.slope * (num_views / num_steps)
    hessian = equations.hessian * (num_views / jnp.maximum(equations.num_steps, 1e-6))
    diagonal = jnp.diagonal(hessian, axis1=-2, axis2=-1)
    damping = _DAMPING * (diagonal + jnp.mean(diagonal, axis=0, keepdims=True))
    pull = _PULL * jnp.power(jnp.float32(_PULL_DECAY), progress)
    matrix = hessian + jax.vmap(jnp.diag)(damping + pull)
    newton_step = -jnp.linalg.solve(matrix, (slope + pull * tangents)[..., None])[..., 0]
    decay = jnp.power(jnp.float32(_LAST_SHARE / _FIRST_SHARE), progress)
    step: jax.Array = _FIRST_SHARE * decay * newton_step
    size = jnp.max(jnp.abs(step), axis=-1, keepdims=True)
    return step * jnp.minimum(1.0, _MAX_STEP / jnp.maximum(size, 1e-12))
