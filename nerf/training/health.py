"""Detection of collapsed training: dead density, one colour, an exploding loss, NaN.

The compiled step measures `StepHealth` and updates a few counters in the training state; the loop
checks the counters at each reading. A counter counts consecutive steps with a symptom, so one bad
batch raises no alarm, and a run that recovers starts at zero again.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from nerf.errors import UserError

PATIENCE = 100  # consecutive steps
TRANSPARENT = 1e-3  # mean opacity below which nothing counts as opaque
ONE_COLOUR = 0.02  # standard deviation of the rendered colours, relative to that of the pixels
MIN_SPREAD = 0.01  # standard deviation below which the pixels have one colour themselves
EXPLODED = 4.0  # times the lowest loss
_MEMORY = 0.95  # of the running mean of the loss: about 20 steps


class StepHealth(NamedTuple):
    """Measurements of one step.

    Attributes:
      loss: `[]`.
      grad_norm: `[]`, the gradient's Euclidean norm.
      acc: `[2]`, mean opacity of the rays in the coarse and in the fine pass, in [0, 1].
      rgb_std: `[]`, standard deviation of the rendered colours over the rays, the largest channel.
      pixel_std: `[]`, the same of the pixels of the batch.
    """

    loss: jax.Array
    grad_norm: jax.Array
    acc: jax.Array
    rgb_std: jax.Array
    pixel_std: jax.Array


class Health(NamedTuple):
    """Counters over the run; the first four count consecutive steps up to the last one.

    Attributes:
      not_finite: the loss or the gradient was NaN or infinite.
      transparent: nothing was opaque in the coarse or in the fine pass.
      one_colour: all rays had the same colour although the pixels differ.
      exploded: the running mean of the loss was far above its lowest value.
      mean_loss: that running mean; infinity before the first step.
      lowest_loss: its lowest value.
    """

    not_finite: jax.Array
    transparent: jax.Array
    one_colour: jax.Array
    exploded: jax.Array
    mean_loss: jax.Array
    lowest_loss: jax.Array


class TrainingCollapsed(UserError):
    """Training has collapsed; `symptom` is the field of `Health` that shows it."""

    def __init__(self, symptom: str, step: int, message: str):
        super().__init__(message)
        self.symptom = symptom
        self.step = step


def init() -> Health:
    """The counters before the first step."""
    # Separate arrays, since the step donates the buffers.
    counts = [jnp.zeros((), jnp.int32) for _ in range(4)]
    losses = [jnp.full((), jnp.inf, jnp.float32) for _ in range(2)]
    return Health(*counts, *losses)


def is_finite(loss: jax.Array, grad_norm: jax.Array) -> jax.Array:
    """Whether the loss and the gradient are finite, so that a step may be taken: `[]` bool."""
    return jnp.isfinite(loss) & jnp.isfinite(grad_norm)


def update(health: Health, step_health: StepHealth) -> Health:
    """Adds the measurements of one step; a loss that is not finite leaves the mean unchanged.

    >>> fine = StepHealth(*map(jnp.asarray, (0.1, 1.0, [0.9, 0.9], 0.2, 0.2)))
    >>> dead = fine._replace(acc=jnp.array([0.9, 0.0]))
    >>> [int(update(update(init(), dead), signs).transparent) for signs in (dead, fine)]
    [2, 0]
    """
    finite = is_finite(step_health.loss, step_health.grad_norm)
    previous = jnp.where(jnp.isfinite(health.mean_loss), health.mean_loss, step_health.loss)
    mean_loss = _MEMORY * previous + (1.0 - _MEMORY) * step_health.loss
    mean_loss = jnp.where(finite, mean_loss, health.mean_loss)
    varied = step_health.pixel_std > MIN_SPREAD
    return Health(
        not_finite=_count(health.not_finite, ~finite),
        transparent=_count(health.transparent, jnp.min(step_health.acc) < TRANSPARENT),
        one_colour=_count(
            health.one_colour, varied & (step_health.rgb_std < ONE_COLOUR * step_health.pixel_std)
        ),
        exploded=_count(health.exploded, mean_loss > EXPLODED * health.lowest_loss),
        mean_loss=mean_loss,
        lowest_loss=jnp.minimum(health.lowest_loss, mean_loss),
    )


def check(health: Health, step: int) -> None:
    """Raises TrainingCollapsed if a counter of `health`, on the host, reaches its limit."""
    for symptom, (what, advice) in _MEANING.items():
        limit = 1 if symptom == "not_finite" else PATIENCE
        if int(getattr(health, symptom)) >= limit:
            raise TrainingCollapsed(
                symptom, step, f"training collapsed, as noticed at step {step}: {what}; {advice}"
            )


def _count(steps: jax.Array, is_present: jax.Array) -> jax.Array:
    return jnp.where(is_present, steps + 1, 0)


_PREVENTION = (
    "try `field.density_activation=softplus`, `field.density_noise=1`, "
    "`train.warmup_steps=500` or a smaller `train.learning_rate`"
)
_SMALLER_STEPS = (
    "try a smaller `train.learning_rate`, `train.clip_norm=1` or `train.warmup_steps=500`"
)
_MEANING = {
    "not_finite": (
        "the loss or its gradient is not finite",
        _SMALLER_STEPS,
    ),
    "transparent": (
        f"nothing has been opaque for {PATIENCE} steps in the coarse or the fine pass (dead "
        "density), and what is nowhere opaque gets no gradient",
        _PREVENTION,
    ),
    "one_colour": (f"every ray has had one and the same colour for {PATIENCE} steps", _PREVENTION),
    "exploded": (
        f"the loss has been more than {EXPLODED:g} times its lowest for {PATIENCE} steps",
        _SMALLER_STEPS,
    ),
}
