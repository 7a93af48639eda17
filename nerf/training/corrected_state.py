"""The corrections of the training views after a step: gains by Adam, poses by Gauss-Newton."""

import jax
import jax.numpy as jnp
import optax

from nerf.config.settings import TrainConfig
from nerf.corrections.corrections import Corrections, gain_rate, prior
from nerf.corrections.pose_steps import next_tangents, steps_between
from nerf.training.optimizer import correction_optimizer
from nerf.training.state import CorrectionState, TrainState
from nerf.training.view_gradients import ViewGradients


def with_corrections(
    state: TrainState,
    found: ViewGradients | None,
    *,
    share_of_rate: jax.Array,
    progress: jax.Array,
    config: TrainConfig,
) -> tuple[TrainState, jax.Array]:
    """A state whose corrections have taken a step, and their prior before it.

    Args:
      state: before the step.
      found: the gradients of its rays for the views; None where nothing is corrected.
      share_of_rate: the field's learning rate, by that of its first step.
      progress: the share of the run that is over.
      config: of the run.
    """
    extra = jnp.zeros(())
    if state.corrections is None or found is None:
        return state, extra
    corrections, equations = state.corrections, state.pose_equations
    tangents = corrections.values.pose_tangents
    if corrections.values.log_gains is not None and found.log_gains is not None:
        corrections, extra = _with_gains(
            corrections, found.log_gains, share_of_rate * gain_rate(progress)
        )
    if tangents is not None and equations is not None and found.poses is not None:
        between = steps_between(len(tangents), config.num_rays, config.num_steps)
        tangents, equations = next_tangents(
            tangents,
            equations,
            found.poses,
            step=state.step,
            progress=progress,
            between=between,
        )
        values = corrections.values._replace(pose_tangents=tangents)
        corrections = corrections._replace(values=values)
    return state._replace(corrections=corrections, pose_equations=equations), extra


def _with_gains(
    state: CorrectionState, gradient: jax.Array, rate: jax.Array
) -> tuple[CorrectionState, jax.Array]:
    """Gains after a step of Adam, and their prior before it.

    Args:
      state: before the step.
      gradient: `[num_views, 3]`, of the loss without the prior.
      rate: the learning rate.
    """
    log_gains = state.values.log_gains
    extra, of_prior = jax.value_and_grad(prior)(log_gains)
    gradient = gradient + of_prior
    with jax.numpy_dtype_promotion("standard"):  # Optax raises floats to integer powers
        updates, opt_state = correction_optimizer().update(Corrections(gradient), state.opt_state)
    values = state.values._replace(log_gains=log_gains - rate * updates.log_gains)
    # A gradient that is not finite must not stay in Adam's moments.
    is_finite = jnp.isfinite(optax.tree.norm(gradient))
    chosen: CorrectionState = jax.tree.map(
        lambda new, old: jnp.where(is_finite, new, old), CorrectionState(values, opt_state), state
    )
    return chosen, extra
