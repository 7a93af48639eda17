"""The loss: the error of the rendered colours, and the regularisation of rays and parameters."""

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from nerf.config.settings import FINE, PROPOSAL, Config, RenderConfig
from nerf.field import Params, Proposal, RadianceField
from nerf.geometry.occupancy import Occupancy
from nerf.render.rays import (
    Rendering,
    known_occupancy,
    meets_something,
    parts,
    render_nothing,
    render_rays,
)
from nerf.render.volume import Composite
from nerf.training.batch import Batch
from nerf.training.robust_loss import robust_loss


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
    return _rendering_loss(rendering, batch, config)


def _rendering_loss(
    rendering: Rendering, batch: Batch, config: Config
) -> tuple[jax.Array, BatchStats]:
    """`photometric_loss` of what was rendered."""
    mse = jnp.mean(jnp.square(rendering.fine.rgb - batch.rgb))
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
    error = composite.rgb - batch.rgb
    if batch.alpha is None:
        return jnp.square(error)
    behind = {"black": 0.0, "white": 1.0}[config.background]
    excess = (batch.alpha - composite.acc)[:, None]  # of the background's share
    return jnp.square(error + (0.5 - behind) * excess) + jnp.square(excess) / 12.0


def penalty(field: RadianceField, params: Params, config: RenderConfig) -> jax.Array:
    """The regularisation of the parameters of all networks."""
    owners = parts(field, config).items()
    named = [
        owner.penalty(params[name]) for name, owner in owners if not isinstance(owner, Proposal)
    ]
    return sum(named, jnp.zeros(()))


def loss_and_gradient(
    field: RadianceField,
    params: Params,
    batch: Batch,
    config: Config,
    rays_per_microbatch: int,
    step: jax.Array | None = None,
) -> tuple[jax.Array, BatchStats, Params]:
    """`photometric_loss` with `penalty`, and the gradient, accumulated over microbatches.

    The activations of a small microbatch fit into the cache of a CPU. The result does not depend on
    the size, except for rounding. Rays that meet nothing come last, and microbatches of such rays
    alone are left out: their loss is known, and has no gradient.

    Args:
      field: what is trained.
      params: its parameters.
      batch: `[num_rays]`; `rays_per_microbatch` must divide it.
      config: see `photometric_loss`.
      rays_per_microbatch: rays that go through the field at once.
      step: `[]` int, the number of the step, see `RadianceField.penalty_every`; None for one with
        the penalty, at its own weight.

    Returns:
      The loss, statistics, the gradient.
    """
    (num_rays, _) = batch.rgb.shape
    num_microbatches = num_rays // rays_per_microbatch
    chex.assert_equal(num_microbatches * rays_per_microbatch, num_rays)
    penalised = _penalty_and_gradient(field, params, config.render, step)
    if num_microbatches == 1:
        (loss, stats), gradient = _value_and_gradient(field, params, batch, config)
        loss, gradient = jax.tree.map(jnp.add, (loss, gradient), penalised)
        return loss, stats, gradient

    occupancy = known_occupancy(field, params, config.render, batch.rays.space)
    num_needed, values = jnp.int32(num_microbatches), (jnp.zeros(()), _no_stats())
    if occupancy is not None:
        batch, num_needed, values = _needed_first(batch, occupancy, config, rays_per_microbatch)
    microbatches = jax.tree.map(
        lambda x: x.reshape(num_microbatches, rays_per_microbatch, *x.shape[1:]), batch
    )

    def add(number: jax.Array, total: Any) -> Any:
        microbatch = jax.tree.map(lambda x: x[number], microbatches)
        share = 1.0 / num_microbatches
        return _add_gradient(total, field, params, microbatch, config, occupancy, share)

    loss, stats = jax.tree.map(lambda x: x / num_microbatches, values)
    extra, extra_gradient = penalised
    total = jax.lax.fori_loop(0, num_needed, add, ((extra + loss, stats), extra_gradient))
    (loss, stats), gradient = total
    return loss, stats, gradient


def _penalty_and_gradient(
    field: RadianceField, params: Params, config: RenderConfig, step: jax.Array | None
) -> tuple[jax.Array, Params]:
    """`penalty` and its gradient, or the gradient alone at every `penalty_every`-th step, times
    that number: the loss of a step does not tell whether it is one of these.
    """
    every = field.penalty_every

    def weighed(params: Params) -> jax.Array:
        return (1 if step is None else every) * penalty(field, params, config)

    def found(params: Params) -> tuple[jax.Array, Params]:
        return jax.value_and_grad(weighed)(params)

    def gradient_alone(params: Params) -> tuple[jax.Array, Params]:
        return jnp.zeros(()), jax.grad(weighed)(params)

    def nothing(params: Params) -> tuple[jax.Array, Params]:
        return jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)

    if step is None or every == 1:
        return found(params)
    due: tuple[jax.Array, Params] = jax.lax.cond(step % every == 0, gradient_alone, nothing, params)
    return due


def _no_stats() -> BatchStats:
    return BatchStats(
        mse=jnp.zeros(()), acc=jnp.zeros(2), rgb=jnp.zeros((2, 3)), regularization=jnp.zeros(())
    )


def _needed_first(
    batch: Batch, occupancy: Occupancy, config: Config, rays_per_microbatch: int
) -> tuple[Batch, jax.Array, tuple[jax.Array, BatchStats]]:
    """Sorts rays that meet nothing to the end.

    Returns:
      The batch in its new order; the number of microbatches that must be rendered; and what the
      others add to the sum, over microbatches, of the loss and the statistics.
    """
    is_needed = meets_something(batch.rays, occupancy)
    order = jnp.argsort(~is_needed, stable=True)
    batch = jax.tree.map(lambda x: x[order], batch)
    num_needed = -(-jnp.sum(is_needed, dtype=jnp.int32) // rays_per_microbatch)
    is_left_out = jnp.arange(len(order)) >= num_needed * rays_per_microbatch

    def one(ray: Batch) -> tuple[jax.Array, BatchStats]:
        alone = jax.tree.map(lambda x: x[None], ray)
        return _rendering_loss(render_nothing(alone.rays, config.render), alone, config)

    values: tuple[jax.Array, BatchStats] = jax.tree.map(
        lambda x: jnp.tensordot(is_left_out.astype(x.dtype), x, axes=1) / rays_per_microbatch,
        jax.vmap(one)(batch),
    )
    return batch, num_needed, values


def _value_and_gradient(
    field: RadianceField,
    params: Params,
    batch: Batch,
    config: Config,
    occupancy: Occupancy | None = None,
    share: float = 1.0,
) -> tuple[tuple[jax.Array, BatchStats], Params]:
    """A share of `photometric_loss`, and its gradient with respect to the parameters."""

    def weighed(params: Params) -> tuple[jax.Array, BatchStats]:
        loss, stats = photometric_loss(field, params, batch, config, occupancy)
        return share * loss, jax.tree.map(lambda x: share * x, stats)

    found: tuple[tuple[jax.Array, BatchStats], Params] = jax.value_and_grad(weighed, has_aux=True)(
        params
    )
    return found


def _add_gradient(
    total: Any,
    field: RadianceField,
    params: Params,
    microbatch: Batch,
    config: Config,
    occupancy: Occupancy | None,
    share: float,
) -> Any:
    """Adds a share of the values and the gradient of a microbatch to totals of both.

    The gradient of a field's table is added to in place, see `nerf.field.Table`, where the field is
    evaluated once; other gradients are small.
    """
    values, gradient = total
    table, rows = field.table, None
    if table is not None and config.render.networks == PROPOSAL:
        rows = table.find(params[FINE])
        apply = functools.partial(table.apply, total=table.find(gradient[FINE]))
        field = field._replace(apply=apply)
    new_values, new_gradient = _value_and_gradient(
        field, params, microbatch, config, occupancy, share
    )
    added = jax.tree.map(
        lambda leaf, old, new: new if leaf is rows else old + new, params, gradient, new_gradient
    )
    return jax.tree.map(jnp.add, values, new_values), added
