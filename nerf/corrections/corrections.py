"""What a run learns about each training view besides the field, which does not depend on it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from nerf.config.settings import TrainConfig
from nerf.corrections import exposure

# Of Adam, for the first step. It is high, so that gains are found before the field explains them by
# fog in front of the cameras. It follows the learning rate of the field, and decays besides.
_GAIN_RATE, _GAIN_DECAY = 0.2, 0.1
# Of the mean square of the logarithms of the gains, in the loss: small beside any error of colours.
_GAIN_PRIOR = 1e-5


class Corrections(NamedTuple):
    """Corrections of the training views; those that are off are None.

    Attributes:
      log_gains: `[num_views, 3]`, natural logarithms of gains in linear light, up to their mean,
        see `nerf.corrections.exposure.centred`.
      pose_tangents: `[num_views, 6]`, see `nerf.corrections.poses.corrected_cameras`.
    """

    log_gains: jax.Array | None = None
    pose_tangents: jax.Array | None = None


def identity(num_views: int, config: TrainConfig) -> Corrections | None:
    """Corrections that change nothing; None where all are off."""
    if config.exposure == "off" and config.poses == "off":
        return None
    return Corrections(
        None if config.exposure == "off" else jnp.zeros((num_views, 3)),
        None if config.poses == "off" else jnp.zeros((num_views, 6)),
    )


def pixel_gains(corrections: Corrections, view: jax.Array) -> jax.Array | None:
    """The logarithms of the gains of some pixels, `[num_rays, 3]`; None where they are off.

    Args:
      corrections: of the training views.
      view: `[num_rays]` int, the view of each pixel.
    """
    if corrections.log_gains is None:
        return None
    return exposure.centred(corrections.log_gains)[view]


def prior(log_gains: jax.Array) -> jax.Array:
    """The prior of gains, a term of the loss, `[]`: 0 at the identity."""
    return _GAIN_PRIOR * jnp.mean(jnp.square(log_gains))


def gain_rate(progress: jax.Array) -> jax.Array:
    """The learning rate of gains, not yet scaled by the field's schedule, `[]`.

    Args:
      progress: `[]`, the share of the run that is over, in [0, 1].
    """
    return _GAIN_RATE * jnp.power(jnp.float32(_GAIN_DECAY), progress)
