"""Adam, its learning rate over the steps or over the time of a run, and that of each array."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from nerf.config.settings import RenderConfig, TrainConfig
from nerf.field import Params, RadianceField
from nerf.render.rays import networks_by_name

WARMUP_START = 0.01  # of the learning rate, as in JaxNeRF


class TimeBudget(NamedTuple):
    """How far a run has come that ends after a time, not after a number of steps.

    Attributes:
      done: the share of the run that is over, in [0, 1].
      per_step: what each step adds to it.
    """

    done: float | jax.Array
    per_step: float | jax.Array


def learning_rate(config: TrainConfig) -> optax.Schedule:
    """The learning rate as a function of the number of steps done; see `TrainConfig`."""
    return optax.warmup_exponential_decay_schedule(
        init_value=WARMUP_START * config.learning_rate,
        peak_value=config.learning_rate,
        warmup_steps=config.warmup_steps,
        transition_steps=max(config.num_steps - config.warmup_steps, 1),
        decay_rate=config.final_learning_rate / config.learning_rate,
    )


def budgeted_step(config: TrainConfig, step: jax.Array, done: jax.Array) -> jax.Array:
    """The step at which a run of `num_steps` has come as far as a run of limited time.

    The warm-up takes its number of steps in either.

    Args:
      config: the run's.
      step: `[]`, number of steps done.
      done: `[]`, the share of the run that is over.
    """
    length = max(config.num_steps - config.warmup_steps, 1)
    behind = config.warmup_steps + jnp.minimum(done, 1.0) * length
    return jnp.where(step < config.warmup_steps, step.astype(jnp.float32), behind)


def share_of_run(config: TrainConfig, step: jax.Array, done: jax.Array | None) -> jax.Array:
    """The share of a run that is over, `[]`, in [0, 1], by its steps or by its time.

    Args:
      config: the run's.
      step: `[]`, number of steps done.
      done: `[]`, the share of a run of limited time that is over; None where steps end the run.
    """
    share = step / max(config.num_steps, 1) if done is None else done
    return jnp.minimum(share, 1.0).astype(jnp.float32)


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Adam behind gradient clipping if asked for; the learning rate is left to the step."""
    clip = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
    adam = optax.scale_by_adam(b1=config.adam_b1, b2=config.adam_b2, eps=config.adam_eps)
    return optax.chain(*clip, adam)


def correction_optimizer() -> optax.GradientTransformation:
    """Adam for the gains of views; the learning rate is left to the step."""
    return optax.scale_by_adam()


def learning_rates(field: RadianceField, params: Params, config: RenderConfig) -> Params:
    """A tree like `params` with each array's factor of the learning rate."""
    return {
        name: owner.rates(params[name]) for name, owner in networks_by_name(field, config).items()
    }
