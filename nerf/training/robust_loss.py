"""Losses that large errors cannot dominate, for views in which something moved or glares.

A robust loss rho takes the squared error x = e^2 of a ray to a bounded value, with the scale c:

    none           rho = x
    clipped        rho = min(x, c^2)
    geman_mcclure  rho = x c^2 / (x + c^2)

Each is x where x is small, so that a ray that fits weighs as much as without it. The gradient of a
ray is that of the squared error times the weight d rho / d x, which falls from 1 to 0: the rays
that do not fit what the other views agree on do not count.

Source: Geman & McClure 1985; robust losses for radiance fields, Sabour et al. 2023 (RobustNeRF),
which finds the rays that do not count by a quantile of the errors of image patches.
"""

import jax
import jax.numpy as jnp

from nerf.config.settings import TrainConfig


def robust_loss(squared: jax.Array, config: TrainConfig, progress: jax.Array) -> jax.Array:
    """The robust loss of rays, see the module's docstring.

    Args:
      squared: `[num_rays]`, >= 0, the squared error of each ray, a mean over the channels.
      config: `robust_loss` is the kind, `robust_scale` is c at the end of the run.
      progress: `[num_rays]` or `[]`, the share of the run that is over, see `robust_scale`.

    Returns:
      `[num_rays]`, from 0 to c^2, and at most `squared`.

    >>> from nerf.config.presets import PLANES
    >>> import dataclasses
    >>> clipped = dataclasses.replace(
    ...     PLANES.train, robust_loss="clipped", robust_scale=0.5
    ... )
    >>> robust_loss(jnp.array([0.0, 0.125, 4.0]), clipped, jnp.ones(3)).tolist()
    [0.0, 0.125, 0.25]
    """
    if config.robust_loss == "none":
        return squared
    limit = jnp.square(robust_scale(config, progress))
    if config.robust_loss == "clipped":
        return jnp.minimum(squared, limit)
    return squared * limit / (squared + limit)


def robust_weight(squared: jax.Array, config: TrainConfig, progress: jax.Array) -> jax.Array:
    """How much each ray counts, d rho / d x: 1 for a ray that fits, 0 for one that is far off.

    Args:
      squared, config, progress: see `robust_loss`.

    Returns:
      `[num_rays]`, in [0, 1].
    """
    limit = jnp.square(robust_scale(config, progress))
    if config.robust_loss == "none":
        return jnp.ones_like(squared)
    if config.robust_loss == "clipped":
        return (squared <= limit).astype(squared.dtype)
    return jnp.square(limit / (squared + limit))


def robust_scale(config: TrainConfig, progress: jax.Array) -> jax.Array:
    """The scale c: `robust_start` times its last value at first, with an exponential decay to it.

    At first nothing fits, so that all rays must count.

    Args:
      config: `robust_scale`, `robust_start` and `robust_anneal`, the share of the run in which c
        decays.
      progress: `[...]`, the share of the run that is over.
    """
    left = 1.0 - jnp.minimum(progress / config.robust_anneal, 1.0)
    return config.robust_scale * jnp.power(jnp.float32(config.robust_start), left)
