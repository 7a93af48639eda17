"""What training makes small: the error of rays against pictures, and what fields add to it."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from nerf.config.settings import Config, RenderConfig
from nerf.field import Params, Proposal, RadianceField
from nerf.render.rays import parts, render_rays
from nerf.render.volume import Composite
from nerf.training.batch import Batch


class BatchStats(NamedTuple):
    """Means over the rays of a batch, apart from the loss.

    Attributes:
      mse: `[]`, squared error of the fine pass, over all channels.
      acc: `[2]`, coverage in the coarse and in the fine pass.
      rgb: `[2, 3]`, the fine pass's colour, and its square.
      regularization: `[]`, what rays add to the loss beside the error of their colours.
    """

    mse: jax.Array
    acc: jax.Array
    rgb: jax.Array
    regularization: jax.Array


def photometric_loss(
    field: RadianceField, params: Params, batch: Batch, config: Config
) -> tuple[jax.Array, BatchStats]:
    """The squared error of both passes, and what else rays add.

        error + proposal loss + k_d distortion + k_o (1 - acc)^2, means over the rays

    Light that does not end anywhere, or that gathers along all of a ray, is how a field explains
    plain surfaces by a fog before them: the pictures are right, the depth is not.

    Args:
      field: what is trained.
      params: its parameters.
      batch: rays and colours.
      config: `train.loss` sums or averages over the three channels; rays are averaged.
        `train.distortion_loss_weight` and `train.opacity_loss_weight` are k_d and
        k_o; the latter is ignored for transparent images, whose opacity is known.

    Returns:
      The loss, and what was seen. A proposal has no colour of its own; in the place of its error
      stands its proposal loss. See `squared_error` for transparent pictures.

    Source: Mildenhall et al. 2020, equation 6; Barron et al. 2022, equations 13 and 15.
    """
    rendering = render_rays(field, params, batch.rays, config.render, ray_keys=batch.ray_keys)
    fine = jnp.mean(jnp.square(rendering.fine.rgb - batch.rgb))
    channels = {"sum": 3.0, "mean": 1.0}[config.train.loss]
    regularization = jnp.mean(rendering.proposal_loss)
    loss = channels * squared_error(rendering.fine, batch, config.render)
    if config.render.networks != "proposal":
        loss = loss + channels * squared_error(rendering.coarse, batch, config.render)
    if config.train.distortion_loss_weight > 0:
        regularization = regularization + config.train.distortion_loss_weight * jnp.mean(
            rendering.distortion
        )
    if config.train.opacity_loss_weight > 0 and batch.alpha is None:
        open_share = 1.0 - rendering.fine.acc
        regularization = regularization + config.train.opacity_loss_weight * jnp.mean(
            jnp.square(open_share)
        )
    rgb = rendering.fine.rgb
    seen = BatchStats(
        mse=fine,
        acc=jnp.stack([jnp.mean(rendering.coarse.acc), jnp.mean(rendering.fine.acc)]),
        rgb=jnp.mean(jnp.stack([rgb, jnp.square(rgb)]), axis=1),
        regularization=regularization,
    )
    return loss + regularization, jax.lax.stop_gradient(seen)


def squared_error(seen: Composite, batch: Batch, config: RenderConfig) -> jax.Array:
    """The mean squared error of colours; of transparent pictures over all backgrounds.

        mean over b in [0, 1] of |error of the colours over b|^2
          = |error over 1/2|^2 + (error of the coverage)^2 / 12

    Before the one background that pictures lie over, a fog of its colour costs nothing where there
    should be none.

    Args:
      seen: `[num_rays]`, over the background of `config`.
      batch: `[num_rays]`, over the same.
      config: which background.

    Source: random backgrounds in training, Müller et al. 2022 (Instant NGP); here their mean.
    """
    error = seen.rgb - batch.rgb
    if batch.alpha is None:
        return jnp.mean(jnp.square(error))
    behind = {"black": 0.0, "white": 1.0}[config.background]
    excess = (batch.alpha - seen.acc)[:, None]  # of the background
    return jnp.mean(jnp.square(error + (0.5 - behind) * excess) + jnp.square(excess) / 12.0)


def penalty(field: RadianceField, params: Params, config: RenderConfig) -> jax.Array:
    """What the parameters of all networks add to the loss by themselves."""
    owners = parts(field, config).items()
    named = [
        owner.penalty(params[name]) for name, owner in owners if not isinstance(owner, Proposal)
    ]
    return sum(named, jnp.zeros(()))


def loss_and_gradient(
    field: RadianceField, params: Params, batch: Batch, config: Config, rays_per_microbatch: int
) -> tuple[jax.Array, BatchStats, Params]:
    """`photometric_loss` with `penalty`, and the gradient, accumulated over pieces of the batch.

    Small pieces keep a CPU's activations in its cache; the result is the same to rounding.

    Args:
      field: what is trained.
      params: its parameters.
      batch: `[num_rays]`; `rays_per_microbatch` must divide it.
      config: see `photometric_loss`.
      rays_per_microbatch: how many rays go through at once.

    Returns:
      The loss, what was seen, the gradient.
    """
    (num_rays, _) = batch.rgb.shape
    num_pieces = num_rays // rays_per_microbatch
    chex.assert_equal(num_pieces * rays_per_microbatch, num_rays)
    value_and_grad = jax.value_and_grad(
        lambda params, piece: photometric_loss(field, params, piece, config), has_aux=True
    )
    penalised = jax.value_and_grad(lambda params: penalty(field, params, config.render))(params)
    if num_pieces == 1:
        (loss, seen), gradient = value_and_grad(params, batch)
        loss, gradient = jax.tree.map(jnp.add, (loss, gradient), penalised)
        return loss, seen, gradient

    def add_piece(total: Any, piece: Batch) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, value_and_grad(params, piece)), None

    pieces = jax.tree.map(lambda x: x.reshape(num_pieces, rays_per_microbatch, *x.shape[1:]), batch)
    one_piece = jax.tree.map(lambda x: x[0], pieces)
    (_, nothing), _ = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(value_and_grad, params, one_piece)
    )
    extra, extra_gradient = jax.tree.map(lambda x: x * num_pieces, penalised)
    total, _ = jax.lax.scan(add_piece, ((extra, nothing), extra_gradient), pieces)
    (loss, seen), gradient = jax.tree.map(lambda x: x / num_pieces, total)
    return loss, seen, gradient
