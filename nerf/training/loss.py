"""The loss: the error of the rendered colours, and the regularisation of rays and parameters."""

import functools
from typing import Any, NamedTuple, TypeVar

import chex
import jax
import jax.numpy as jnp

from nerf.config.settings import FINE, PROPOSAL, Config, RenderConfig
from nerf.corrections import exposure
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
from nerf.training.batch import Batch, Corrected, with_corrected
from nerf.training.robust_loss import robust_loss

T = TypeVar("T")
_BEHIND = {"black": 0.0, "white": 1.0}  # the colour of a background, in all channels


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
    behind = _BEHIND[config.background]
    rgb = exposure.with_gains_over(composite.rgb, composite.acc, batch.log_gains, behind)
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
    behind = _BEHIND[config.background]
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
    return loss_and_gradients(field, params, batch, config, rays_per_microbatch, step)[:3]


def loss_and_gradients(
    field: RadianceField,
    params: Params,
    batch: Batch,
    config: Config,
    rays_per_microbatch: int,
    step: jax.Array | None = None,
    parts: Corrected | None = None,
) -> tuple[jax.Array, BatchStats, Params, Corrected | None]:
    """`loss_and_gradient`, and the gradient with respect to what corrections of views change.

    Args:
      field, params, batch, config, rays_per_microbatch, step: see `loss_and_gradient`.
      parts: `[num_rays]`, those of the batch that corrections change; None without corrections.

    Returns:
      The loss, statistics, the gradient of the parameters, and that of `parts`, None where it is.
    """
    (num_rays, _) = batch.rgb.shape
    num_microbatches = num_rays // rays_per_microbatch
    chex.assert_equal(num_microbatches * rays_per_microbatch, num_rays)
    penalised = _penalty_and_gradient(field, params, config.render, step)
    if parts is not None:
        batch = with_corrected(batch, parts)
    if num_microbatches == 1:
        (loss, stats), (gradient, of_parts) = _value_and_gradient(
            field, params, batch, config, parts
        )
        loss, gradient = jax.tree.map(jnp.add, (loss, gradient), penalised)
        return loss, stats, gradient, of_parts

    occupancy = known_occupancy(field, params, config.render, batch.rays.space)
    num_needed, values = jnp.int32(num_microbatches), (jnp.zeros(()), _no_stats())
    order, of_parts = None, jax.tree.map(jnp.zeros_like, parts)
    if occupancy is not None:
        order, num_needed = _needed_first(batch, occupancy, rays_per_microbatch)
        batch, parts = jax.tree.map(lambda x: x[order], (batch, parts))
        values, of_parts = _left_out(batch, config, num_needed, rays_per_microbatch, parts)

    def in_microbatches(tree: T) -> T:
        shape = num_microbatches, rays_per_microbatch
        split: T = jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), tree)
        return split

    microbatches, microparts = in_microbatches((batch, parts))

    def add(number: jax.Array, total: Any) -> Any:
        microbatch, some = jax.tree.map(lambda x: x[number], (microbatches, microparts))
        share, (values, gradient, of_parts) = 1.0 / num_microbatches, total
        values, gradient, of_some = _add_gradient(
            (values, gradient), field, params, microbatch, config, occupancy, share, some
        )
        of_parts = jax.tree.map(lambda all, new: all.at[number].set(new), of_parts, of_some)
        return values, gradient, of_parts

    (loss, stats), of_parts = jax.tree.map(lambda x: x / num_microbatches, (values, of_parts))
    extra, extra_gradient = penalised
    total = ((extra + loss, stats), extra_gradient, in_microbatches(of_parts))
    (loss, stats), gradient, of_parts = jax.lax.fori_loop(0, num_needed, add, total)
    of_parts = jax.tree.map(lambda x: x.reshape(num_rays, *x.shape[2:]), of_parts)
    if order is not None:
        of_parts = jax.tree.map(lambda x: jnp.zeros_like(x).at[order].set(x), of_parts)
    return loss, stats, gradient, of_parts


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
    batch: Batch, occupancy: Occupancy, rays_per_microbatch: int
) -> tuple[jax.Array, jax.Array]:
    """An order of the rays in which those that meet nothing come last, `[num_rays]`, and the number
    of microbatches that must then be rendered.
    """
    is_needed = meets_something(batch.rays, occupancy)
    order = jnp.argsort(~is_needed, stable=True)
    return order, -(-jnp.sum(is_needed, dtype=jnp.int32) // rays_per_microbatch)


def _left_out(
    batch: Batch,
    config: Config,
    num_needed: jax.Array,
    rays_per_microbatch: int,
    parts: Corrected | None,
) -> tuple[tuple[jax.Array, BatchStats], Corrected | None]:
    """What the microbatches from the `num_needed`-th on, whose rays meet nothing, add to the sum,
    over microbatches, of the loss and the statistics; and the gradient with respect to `parts`.
    """
    (num_rays, _) = batch.rgb.shape
    is_left_out = jnp.arange(num_rays) >= num_needed * rays_per_microbatch

    def one(ray: Batch) -> tuple[jax.Array, BatchStats]:
        alone = jax.tree.map(lambda x: x[None], ray)
        return _rendering_loss(render_nothing(alone.rays, config.render), alone, config)

    def total(parts: Corrected | None) -> tuple[jax.Array, BatchStats]:
        rays = batch if parts is None else with_corrected(batch, parts)
        values: tuple[jax.Array, BatchStats] = jax.tree.map(
            lambda x: jnp.tensordot(is_left_out.astype(x.dtype), x, axes=1) / rays_per_microbatch,
            jax.vmap(one)(rays),
        )
        return values

    if parts is None:
        return total(None), None
    found: tuple[tuple[jax.Array, BatchStats], Corrected]
    found = jax.value_and_grad(total, has_aux=True)(parts)
    return found


def _value_and_gradient(
    field: RadianceField,
    params: Params,
    batch: Batch,
    config: Config,
    parts: Corrected | None,
    occupancy: Occupancy | None = None,
    share: float = 1.0,
) -> tuple[tuple[jax.Array, BatchStats], tuple[Params, Corrected | None]]:
    """A share of `photometric_loss`, and its gradient with respect to the parameters and to the
    corrected parts of the batch.
    """

    def weighed(params: Params, parts: Corrected | None) -> tuple[jax.Array, BatchStats]:
        rays = batch if parts is None else with_corrected(batch, parts)
        loss, stats = photometric_loss(field, params, rays, config, occupancy)
        return share * loss, jax.tree.map(lambda x: share * x, stats)

    found: tuple[tuple[jax.Array, BatchStats], tuple[Params, Corrected | None]]
    found = jax.value_and_grad(weighed, argnums=(0, 1), has_aux=True)(params, parts)
    return found


def _add_gradient(
    total: Any,
    field: RadianceField,
    params: Params,
    microbatch: Batch,
    config: Config,
    occupancy: Occupancy | None,
    share: float,
    parts: Corrected | None,
) -> Any:
    """Adds a share of the values and the gradient of a microbatch to totals of both; the gradient
    with respect to its corrected parts comes with them.

    The gradient of a field's table is added to in place, see `nerf.field.Table`, where the field is
    evaluated once; other gradients are small.
    """
    values, gradient = total
    table, rows = field.table, None
    if table is not None and config.render.networks == PROPOSAL:
        rows = table.find(params[FINE])
        apply = functools.partial(table.apply, total=table.find(gradient[FINE]))
        field = field._replace(apply=apply)
    new_values, (new_gradient, of_parts) = _value_and_gradient(
        field, params, microbatch, config, parts, occupancy, share
    )
    added = jax.tree.map(
        lambda leaf, old, new: new if leaf is rows else old + new, params, gradient, new_gradient
    )
    return jax.tree.map(jnp.add, values, new_values), added, of_parts
