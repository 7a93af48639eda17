"""The loss of rays along which the depth of the surface is known, up to an error.

A ray of known depth t and its standard deviation s should end there: of the share that ends at
each sample, its weight w_i, what is near the known depth counts,

    h = sum_i w_i exp(-(t_i - t)^2 / (2 (s^2 + l_i^2))),    l_i the distance between samples
    loss = -log((h + f) / (1 + f)),                         f = 0.05

which is 0 where all of the ray ends at the known depth, and never more than 3: a depth that is
wrong by far cannot outweigh the images. Both passes have this loss, so that a proposal learns where
to look before the field has found a surface.

Source: the likelihood of a depth under the weights, Deng et al. 2022 (DS-NeRF), there with the
logarithm inside the sum, and without a bound.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from nerf.config.settings import Config, TrainConfig
from nerf.field import Params, RadianceField
from nerf.geometry.occupancy import Occupancy
from nerf.render.rays import known_occupancy, render_rays
from nerf.render.volume import Composite
from nerf.training.depth_batch import DepthRays
from nerf.training.gradient import adding_in_place
from nerf.training.loss import BatchStats

_FLOOR = 0.05


def depth_loss(composite: Composite, t: jax.Array, sigma: jax.Array) -> jax.Array:
    """The bounded negative log-likelihood of known depths, see the module's docstring.

    Args:
      composite: `[num_rays]`, with its samples.
      t: `[num_rays]`, the parameter at which each ray should end.
      sigma: `[num_rays]`, > 0, its standard deviation.

    Returns:
      `[num_rays]`, from 0 to log(1 + 1 / f).
    """
    weights, t_vals = composite.weights, jax.lax.stop_gradient(composite.t_vals)
    num_rays, _ = weights.shape
    chex.assert_shape([t, sigma], (num_rays,))
    padded = jnp.pad(t_vals, ((0, 0), (1, 1)), mode="edge")
    apart = 0.5 * (padded[:, 2:] - padded[:, :-2])
    variance = jnp.square(sigma)[:, None] + jnp.square(apart)
    kernel = jnp.exp(-0.5 * jnp.square(t_vals - t[:, None]) / variance)
    hit = jnp.sum(weights * kernel, axis=-1)
    return -jnp.log((hit + _FLOOR) / (1.0 + _FLOOR))


def depth_loss_weight(config: TrainConfig, progress: jax.Array) -> jax.Array:
    """The weight of the loss when a share of the run is over, `[]`; see `TrainConfig`."""
    return config.depth_loss_weight * jnp.power(jnp.float32(config.depth_loss_decay), progress)


def rendered_depth_loss(
    field: RadianceField,
    params: Params,
    depth_rays: DepthRays,
    config: Config,
    occupancy: Occupancy | None = None,
) -> jax.Array:
    """The mean of the weighted losses of both passes, `[]`.

    Args:
      field: what is trained.
      params: its parameters.
      depth_rays: `[num_rays]`.
      config: how rays are rendered.
      occupancy: see `nerf.render.rays.render_rays`.
    """
    rendering = render_rays(
        field,
        params,
        depth_rays.rays,
        config.render,
        ray_keys=depth_rays.ray_keys,
        occupancy=occupancy,
    )
    of_passes = [
        depth_loss(composite, depth_rays.t, depth_rays.sigma)
        for composite in (rendering.coarse, rendering.fine)
    ]
    return jnp.mean(depth_rays.weight * (of_passes[0] + of_passes[1]))


def with_depth_loss(
    total: Any,
    field: RadianceField,
    params: Params,
    depth_rays: DepthRays,
    config: Config,
    rays_per_microbatch: int,
    progress: jax.Array,
) -> tuple[jax.Array, BatchStats, Params]:
    """Adds the loss of rays of known depth, and its gradient, to those of a batch.

    Args:
      total: the loss, the statistics and the gradient of the batch.
      field: what is trained.
      params: its parameters.
      depth_rays: `[num_rays]`; `rays_per_microbatch` must divide it.
      config: see `rendered_depth_loss` and `depth_loss_weight`.
      rays_per_microbatch: rays that go through the field at once.
      progress: `[]`, the share of the run that is over.
    """
    loss, stats, gradient = total
    num_microbatches = len(depth_rays.t) // rays_per_microbatch
    chex.assert_equal(num_microbatches * rays_per_microbatch, len(depth_rays.t))
    occupancy = known_occupancy(field, params, config.render, depth_rays.rays.space)
    share = depth_loss_weight(config.train, progress) / num_microbatches
    microbatches = jax.tree.map(
        lambda x: x.reshape(num_microbatches, rays_per_microbatch, *x.shape[1:]), depth_rays
    )

    def add(number: jax.Array | int, total: tuple[jax.Array, Params]) -> tuple[jax.Array, Params]:
        some: DepthRays = jax.tree.map(lambda x: x[number], microbatches)
        loss, gradient = total
        own, add_to = adding_in_place(field, params, gradient, config.render)
        value, new = jax.value_and_grad(
            lambda p: share * rendered_depth_loss(own, p, some, config, occupancy)
        )(params)
        return loss + value, add_to(new)

    extra = jnp.zeros(())
    if num_microbatches == 1:
        extra, gradient = add(0, (extra, gradient))
    else:
        extra, gradient = jax.lax.fori_loop(0, num_microbatches, add, (extra, gradient))
    regularization = stats.regularization + jax.lax.stop_gradient(extra)
    return loss + extra, stats._replace(regularization=regularization), gradient
