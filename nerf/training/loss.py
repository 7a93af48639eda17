"""The loss: the error of the rendered colours, and the regularisation of rays and parameters."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from nerf.config.settings import Config, RenderConfig
from nerf.corrections import exposure
from nerf.field import Params, Proposal, RadianceField
from nerf.geometry.occupancy import Occupancy
from nerf.render.rays import (
    Rendering,
    networks_by_name,
    render_rays,
)
from nerf.render.volume import Composite
from nerf.training.batch import Batch
from nerf.training.robust_loss import robust_loss

_BACKGROUND_LEVEL = {"black": 0.0, "white": 1.0}  # the colour of a background, in all channels


class BatchStats(NamedTuple):
    """Means over the rays of a batch.

    Attributes:
      mse: `[]`, squared error of the fine pass, over all channels.
      acc: `[2]`, opacity in the coarse and in the fine pass.
      rgb: `[2, 3]`, the colour of the fine pass, and its square.
      regularization: `[]`, the terms of the loss of rays other than the error of their colours.
    """

    mse: jax.Array
    acc: jax.Array
    rgb: jax.Array
    regularization: jax.Array


def photometric_loss(
    field: RadianceField,
    params: Params,
    batch: Batch,
    config: Config,
    occupancy: Occupancy | None = None,
) -> tuple[jax.Array, BatchStats]:
    """The squared error of both passes, and the regularisation of rays.

        error + proposal loss + k_d distortion + k_o (1 - acc)^2, means over the rays

    The last two terms keep a field from showing a plain surface as fog in front of it: fog is
    spread along the ray and not opaque. Its images are right, but its depth is wrong.

    Args:
      field: what is trained.
      params: its parameters.
      batch: rays and colours.
      config: `train.loss` sums or averages over the three channels; rays are averaged.
        `train.distortion_loss_weight` and `train.opacity_loss_weight` are k_d and
        k_o; the latter is ignored for transparent images, whose opacity is known.
      occupancy: see `nerf.render.rays.render_rays`.

    Returns:
      The loss, and statistics. A proposal has no colours; its proposal loss takes the place of the
      error of the coarse pass. See `squared_error` for transparent images.

    Source: Mildenhall et al. 2020, equation 6; Barron et al. 2022, equations 13 and 15.
    """
    rendering = render_rays(
        field, params, batch.rays, config.render, ray_keys=batch.ray_keys, occupancy=occupancy
    )
    return rendering_loss(rendering, batch, config)


def rendering_loss(
    rendering: Rendering, batch: Batch, config: Config
) -> tuple[jax.Array, BatchStats]:
    """`photometric_loss` of what was rendered."""
    mse = jnp.mean(jnp.square(colour_error(rendering.fine, batch, config.render)))
    channels = {"sum": 3.0, "mean": 1.0}[config.train.loss]
    regularization = jnp.mean(rendering.proposal_loss)
    loss = channels * _error(rendering.fine, batch, config)
    if config.render.networks != "proposal":
        loss = loss + channels * _error(rendering.coarse, batch, config)
    if config.train.distortion_loss_weight > 0:
        regularization = regularization + config.train.distortion_loss_weight * jnp.mean(
            rendering.distortion
        )
    if config.train.opacity_loss_weight > 0 and batch.alpha is None:
        transmittance = 1.0 - rendering.fine.acc
        regularization = regularization + config.train.opacity_loss_weight * jnp.mean(
            jnp.square(transmittance)
        )
    rgb = rendering.fine.rgb
    stats = BatchStats(
        mse=mse,
        acc=jnp.stack([jnp.mean(rendering.coarse.acc), jnp.mean(rendering.fine.acc)]),
        rgb=jnp.mean(jnp.stack([rgb, jnp.square(rgb)]), axis=1),
        regularization=regularization,
    )
    return loss + regularization, jax.lax.stop_gradient(stats)


def colour_error(composite: Composite, batch: Batch, config: RenderConfig) -> jax.Array:
    """The error of colours, `[num_rays, 3]`, through the gains of the views' cameras if any."""
    if batch.log_gains is None:
        return composite.rgb - batch.rgb
    if batch.alpha is None:
        return exposure.clipped_error(
            exposure.with_gains(composite.rgb, batch.log_gains), batch.rgb
        )
    background = _BACKGROUND_LEVEL[config.background]
    rgb = exposure.with_gains_over(composite.rgb, composite.acc, batch.log_gains, background)
    is_opaque = batch.alpha[:, None] >= 1.0
    return jnp.where(is_opaque, exposure.clipped_error(rgb, batch.rgb), rgb - batch.rgb)


def _error(composite: Composite, batch: Batch, config: Config) -> jax.Array:
    """The mean error of a batch: squared, or robust, see `nerf.training.robust_loss`."""
    if config.train.robust_loss == "none":
        return squared_error(composite, batch, config.render)
    of_rays = jnp.mean(squared_errors(composite, batch, config.render), axis=-1)
    progress = jnp.ones_like(of_rays) if batch.progress is None else batch.progress
    return jnp.mean(robust_loss(of_rays, config.train, progress))


def squared_error(composite: Composite, batch: Batch, config: RenderConfig) -> jax.Array:
    """The mean squared error of colours; of transparent images, averaged over all backgrounds.

        mean over b in [0, 1] of |error of the colours over background b|^2
          = |error over 1/2|^2 + (error of the opacity)^2 / 12

    Over a single background, fog of the background's colour would cost nothing.

    Args:
      composite: `[num_rays]`, over the background of `config`.
      batch: `[num_rays]`, over the same background.
      config: the background.

    Source: random backgrounds in training, Müller et al. 2022 (Instant NGP); here their mean.
    """
    return jnp.mean(squared_errors(composite, batch, config))


def squared_errors(composite: Composite, batch: Batch, config: RenderConfig) -> jax.Array:
    """The squared error of every ray and channel, `[num_rays, 3]`; see `squared_error`."""
    error = colour_error(composite, batch, config)
    if batch.alpha is None:
        return jnp.square(error)
    background = _BACKGROUND_LEVEL[config.background]
    excess = (batch.alpha - composite.acc)[:, None]  # of the background's share
    return jnp.square(error + (0.5 - background) * excess) + jnp.square(excess) / 12.0


def penalty(field: RadianceField, params: Params, config: RenderConfig) -> jax.Array:
    """The regularisation of the parameters of all networks."""
    networks = networks_by_name(field, config).items()
    named = [
        owner.penalty(params[name]) for name, owner in networks if not isinstance(owner, Proposal)
    ]
    return sum(named, jnp.zeros(()))
