"""The gradient of the loss, accumulated over microbatches; rays that meet nothing are left out."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import chex
import jax
import jax.numpy as jnp

from nerf.config.settings import FINE, PROPOSAL, Config, RenderConfig
from nerf.field import Params, RadianceField
from nerf.geometry.occupancy import Occupancy
from nerf.render.rays import hits_occupied, known_occupancy, render_background
from nerf.training.batch import Batch
from nerf.training.corrected_batch import Corrected, with_corrected
from nerf.training.loss import BatchStats, penalty, photometric_loss, rendering_loss

T = TypeVar("T")


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
    corrected: Corrected | None = None,
) -> tuple[jax.Array, BatchStats, Params, Corrected | None]:
    """`loss_and_gradient`, and the gradient with respect to what corrections of views change.

    Args:
      field, params, batch, config, rays_per_microbatch, step: see `loss_and_gradient`.
      corrected: `[num_rays]`, what corrections change of the batch; None without corrections.

    Returns:
      The loss, statistics, the gradient of the parameters, and that of `corrected`, or None.
    """
    (num_rays, _) = batch.rgb.shape
    num_microbatches = num_rays // rays_per_microbatch
    chex.assert_equal(num_microbatches * rays_per_microbatch, num_rays)
    penalised = _penalty_and_gradient(field, params, config.render, step)
    if corrected is not None:
        batch = with_corrected(batch, corrected)
    if num_microbatches == 1:
        (loss, stats), (gradient, of_parts) = _value_and_gradient(
            field, params, batch, config, corrected
        )
        loss, gradient = jax.tree.map(jnp.add, (loss, gradient), penalised)
        return loss, stats, gradient, of_parts

    occupancy = known_occupancy(field, params, config.render, batch.rays.space)
    num_needed, values = jnp.int32(num_microbatches), (jnp.zeros(()), _no_stats())
    order, of_parts = None, jax.tree.map(jnp.zeros_like, corrected)
    if occupancy is not None:
        order, num_needed = _occupied_first(batch, occupancy, rays_per_microbatch)
        batch, corrected = jax.tree.map(lambda x: x[order], (batch, corrected))
        values, of_parts = _value_and_gradient_of_empty(
            batch, config, num_needed, rays_per_microbatch, corrected
        )

    def in_microbatches(tree: T) -> T:
        shape = num_microbatches, rays_per_microbatch
        split: T = jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), tree)
        return split

    microbatches, microparts = in_microbatches((batch, corrected))

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
    that number, so that the loss does not differ between these steps and others.
    """
    every = field.penalty_every

    def weighed(params: Params) -> jax.Array:
        return (1 if step is None else every) * penalty(field, params, config)

    def found(params: Params) -> tuple[jax.Array, Params]:
        return jax.value_and_grad(weighed)(params)

    def gradient_alone(params: Params) -> tuple[jax.Array, Params]:
        return jnp.zeros(()), jax.grad(weighed)(params)

    def no_penalty(params: Params) -> tuple[jax.Array, Params]:
        return jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)

    if step is None or every == 1:
        return found(params)
    due: tuple[jax.Array, Params] = jax.lax.cond(
        step % every == 0, gradient_alone, no_penalty, params
    )
    return due


def _no_stats() -> BatchStats:
    return BatchStats(
        mse=jnp.zeros(()), acc=jnp.zeros(2), rgb=jnp.zeros((2, 3)), regularization=jnp.zeros(())
    )


def _occupied_first(
    batch: Batch, occupancy: Occupancy, rays_per_microbatch: int
) -> tuple[jax.Array, jax.Array]:
    """An order of the rays in which those that meet nothing come last, `[num_rays]`, and the number
    of microbatches that must then be rendered.
    """
    is_needed = hits_occupied(batch.rays, occupancy)
    order = jnp.argsort(~is_needed, stable=True)
    return order, -(-jnp.sum(is_needed, dtype=jnp.int32) // rays_per_microbatch)


def _value_and_gradient_of_empty(
    batch: Batch,
    config: Config,
    num_needed: jax.Array,
    rays_per_microbatch: int,
    corrected: Corrected | None,
) -> tuple[tuple[jax.Array, BatchStats], Corrected | None]:
    """The share of the microbatches from the `num_needed`-th on, whose rays meet nothing, in the
    sums of the loss and the statistics; and the gradient with respect to `corrected`.
    """
    (num_rays, _) = batch.rgb.shape
    is_left_out = jnp.arange(num_rays) >= num_needed * rays_per_microbatch

    def one(ray: Batch) -> tuple[jax.Array, BatchStats]:
        alone = jax.tree.map(lambda x: x[None], ray)
        return rendering_loss(render_background(alone.rays, config.render), alone, config)

    def total(corrected: Corrected | None) -> tuple[jax.Array, BatchStats]:
        rays = batch if corrected is None else with_corrected(batch, corrected)
        values: tuple[jax.Array, BatchStats] = jax.tree.map(
            lambda x: jnp.tensordot(is_left_out.astype(x.dtype), x, axes=1) / rays_per_microbatch,
            jax.vmap(one)(rays),
        )
        return values

    if corrected is None:
        return total(None), None
    found: tuple[tuple[jax.Array, BatchStats], Corrected]
    found = jax.value_and_grad(total, has_aux=True)(corrected)
    return found


def _value_and_gradient(
    field: RadianceField,
    params: Params,
    batch: Batch,
    config: Config,
    corrected: Corrected | None,
    occupancy: Occupancy | None = None,
    share: float = 1.0,
) -> tuple[tuple[jax.Array, BatchStats], tuple[Params, Corrected | None]]:
    """A share of `photometric_loss`, and its gradient with respect to the parameters and to the
    corrected part of the batch.
    """

    def weighed(params: Params, corrected: Corrected | None) -> tuple[jax.Array, BatchStats]:
        rays = batch if corrected is None else with_corrected(batch, corrected)
        loss, stats = photometric_loss(field, params, rays, config, occupancy)
        return share * loss, jax.tree.map(lambda x: share * x, stats)

    found: tuple[tuple[jax.Array, BatchStats], tuple[Params, Corrected | None]]
    found = jax.value_and_grad(weighed, argnums=(0, 1), has_aux=True)(params, corrected)
    return found


def _add_gradient(
    total: Any,
    field: RadianceField,
    params: Params,
    microbatch: Batch,
    config: Config,
    occupancy: Occupancy | None,
    share: float,
    corrected: Corrected | None,
) -> Any:
    """Adds a share of the values and the gradient of a microbatch to totals of both; the gradient
    with respect to its corrected part comes with them.

    The gradient of a field's table is added to in place, see `nerf.field.Table`, where the field is
    evaluated once; other gradients are small.
    """
    values, gradient = total
    field, add = adding_in_place(field, params, gradient, config.render)
    new_values, (new_gradient, of_parts) = _value_and_gradient(
        field, params, microbatch, config, corrected, occupancy, share
    )
    return jax.tree.map(jnp.add, values, new_values), add(new_gradient), of_parts


def adding_in_place(
    field: RadianceField, params: Params, gradient: Params, config: RenderConfig
) -> tuple[RadianceField, Callable[[Params], Params]]:
    """A field whose gradient can be added to another without a copy of its table.

    Args:
      field: with or without a table, see `nerf.field.Table`.
      params: of all networks.
      gradient: what the next gradient is added to.
      config: the networks.

    Returns:
      The field to differentiate, and what makes the sum of its gradient.
    """
    table, rows = field.table, None
    if table is not None and config.networks == PROPOSAL:
        rows = table.find(params[FINE])
        apply = functools.partial(table.apply, total=table.find(gradient[FINE]))
        field = field._replace(apply=apply)

    def add(new: Params) -> Params:
        added: Params = jax.tree.map(
            lambda leaf, old, x: x if leaf is rows else old + x, params, gradient, new
        )
        return added

    return field, add
