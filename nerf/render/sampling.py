"""Sampling along rays: stratified and hierarchical.

`t_vals` are sorted ray parameters in [near, far], `[num_rays, num_samples]`. Randomness comes from
one key a ray, `ray_keys` `[num_rays]`, so that a ray's samples do not depend on the rays beside it;
None means the deterministic middle of what would otherwise be drawn from.
"""

import chex
import jax
import jax.numpy as jnp

from nerf.config.settings import RenderConfig


def unit_samples(ray_keys: jax.Array | None, num_rays: int, num_samples: int) -> jax.Array:
    """One number in each of `num_samples` equal bins of [0, 1), for each ray.

    Args:
      ray_keys: `[num_rays]`, for a uniform draw within each bin; None takes the middle
        (i + 1/2) / num_samples.
      num_rays: number of rays.
      num_samples: number of bins.

    Returns:
      `[num_rays, num_samples]` float32, increasing along the last axis.

    Source: stratified sampling, Mildenhall et al. 2020, equation 2.

    >>> unit_samples(None, 1, 4).tolist()
    [[0.125, 0.375, 0.625, 0.875]]
    """
    within = (
        jnp.full((num_rays, num_samples), 0.5)
        if ray_keys is None
        else _uniform(ray_keys, num_rays, num_samples)
    )
    left = jnp.arange(num_samples, dtype=within.dtype)[None, :]
    below_one = 1.0 - jnp.finfo(within.dtype).epsneg
    return jnp.minimum((left + within) / num_samples, below_one)


def bin_t_vals(ray_keys: jax.Array | None, near: jax.Array, far: jax.Array, num: int) -> jax.Array:
    """One sample in each of `num` equal bins of [near, far].

    Args:
      ray_keys: `[num_rays]`, random within each bin; None takes the bins' middles.
      near, far: `[num_rays]`.
      num: number of samples.

    Returns:
      `[num_rays, num]`.

    >>> bin_t_vals(None, jnp.zeros(1), jnp.full(1, 4.0), 2).tolist()
    [[1.0, 3.0]]
    """
    (num_rays,) = near.shape
    chex.assert_shape(far, (num_rays,))
    return near[:, None] + (far - near)[:, None] * unit_samples(ray_keys, num_rays, num)


def linspace_t_vals(
    ray_keys: jax.Array | None, near: jax.Array, far: jax.Array, num: int
) -> jax.Array:
    """Evenly spaced samples that include both ends, each jittered up to its neighbours' midpoints.

    Args:
      ray_keys: `[num_rays]`, jitters each ray on its own; None leaves the samples where they are.
      near, far: `[num_rays]`.
      num: number of samples, at least 2.

    Returns:
      `[num_rays, num]`.

    Source: the published notebook (which drew its jitter once, for all rays and steps).

    >>> linspace_t_vals(None, jnp.zeros(1), jnp.full(1, 4.0), 3).tolist()
    [[0.0, 2.0, 4.0]]
    """
    (num_rays,) = near.shape
    chex.assert_shape(far, (num_rays,))
    unit = jnp.linspace(0.0, 1.0, num)[None, :]
    if ray_keys is None:
        unit = jnp.broadcast_to(unit, (num_rays, num))
    else:
        edges = interval_edges(unit)
        within = _uniform(ray_keys, num_rays, num)
        unit = edges[:, :-1] + (edges[:, 1:] - edges[:, :-1]) * within
    return near[:, None] + (far - near)[:, None] * unit


def interval_edges(t_vals: jax.Array) -> jax.Array:
    """The first sample, the midpoints between samples, the last sample.

    Args:
      t_vals: `[num_rays, num_samples]`.

    Returns:
      `[num_rays, num_samples + 1]`; interval i is what lies nearest to sample i.

    >>> interval_edges(jnp.array([[0.0, 2.0, 4.0]])).tolist()
    [[0.0, 1.0, 3.0, 4.0]]
    """
    chex.assert_rank(t_vals, 2)
    midpoints = 0.5 * (t_vals[:, 1:] + t_vals[:, :-1])
    return jnp.concatenate([t_vals[:, :1], midpoints, t_vals[:, -1:]], axis=-1)


def invert_piecewise_constant(unit: jax.Array, edges: jax.Array, weights: jax.Array) -> jax.Array:
    """Inverts the distribution function of a histogram.

    Args:
      unit: `[num_rays, num_samples]` in [0, 1).
      edges: `[num_rays, num_bins + 1]`, increasing.
      weights: `[num_rays, num_bins]`, > 0; their sum need not be one.

    Returns:
      `[num_rays, num_samples]`: where the distribution function reaches `unit`; increasing where
      `unit` is.

    Source: inverse transform sampling, Mildenhall et al. 2020, section 5.2.

    >>> invert_piecewise_constant(
    ...     jnp.array([[0.25, 0.75]]),
    ...     jnp.array([[0.0, 1.0, 3.0]]),
    ...     jnp.array([[1.0, 1.0]]),
    ... ).tolist()
    [[0.5, 2.0]]
    """
    num_rays, num_bins = weights.shape
    chex.assert_shape(edges, (num_rays, num_bins + 1))
    chex.assert_shape(unit, (num_rays, None))
    pdf = weights / jnp.sum(weights, axis=-1, keepdims=True)
    cdf = jnp.cumsum(pdf, axis=-1)
    cdf = jnp.concatenate([jnp.zeros_like(cdf[:, :1]), cdf], axis=-1)
    # Rounding may leave the last value beside one; beyond the last edge there is nothing to find.
    inside = cdf[:, None, 1:-1] <= unit[:, :, None]
    index = jnp.sum(inside, axis=-1, dtype=jnp.int32)  # [num_rays, num_samples]
    low, high = _gather_pair(cdf, index)
    left, right = _gather_pair(edges, index)
    width = jnp.where(high > low, high - low, 1.0)
    return left + (right - left) * jnp.clip((unit - low) / width, 0.0, 1.0)


def fine_t_vals(
    ray_keys: jax.Array | None, t_vals: jax.Array, weights: jax.Array, config: RenderConfig
) -> jax.Array:
    """New samples where the coarse weights are.

    Args:
      ray_keys: `[num_rays]`; None places them at the middles of equal shares of the weight.
      t_vals: `[num_rays, num_coarse]`, the coarse samples.
      weights: `[num_rays, num_coarse]`, their compositing weights, >= 0.
      config: `fine_t` "around_samples" gives each coarse sample the interval between its
        neighbouring midpoints, and half its weight to the first and the last, whose intervals are
        half as long; "between_samples" gives the weights of the inner samples to the intervals
        between midpoints. `fine_weight_floor` is added to each weight; `fine_gradient` lets the
        gradient flow into the weights.

    Returns:
      `[num_rays, num_fine]`, increasing.
    """
    num_rays, num_coarse = t_vals.shape
    chex.assert_shape(weights, (num_rays, num_coarse))
    edges = interval_edges(t_vals)
    if config.fine_t == "around_samples":
        ends = jnp.zeros(num_coarse, bool).at[jnp.array([0, num_coarse - 1])].set(True)
        weights = jnp.where(ends[None, :], 0.5 * weights, weights)
    else:
        edges, weights = edges[:, 1:-1], weights[:, 1:-1]
    unit = unit_samples(ray_keys, num_rays, config.num_fine)
    new = invert_piecewise_constant(unit, edges, weights + config.fine_weight_floor)
    return new if config.fine_gradient else jax.lax.stop_gradient(new)


def proposed_edges(
    ray_keys: jax.Array | None, edges: jax.Array, weights: jax.Array, config: RenderConfig
) -> jax.Array:
    """Cuts each ray into intervals of equal share of a proposal's weights.

    Args:
      ray_keys: `[num_rays]`, shifts all inner edges of a ray by up to half a share; None does not.
      edges: `[num_rays, num_coarse + 1]`, increasing.
      weights: `[num_rays, num_coarse]`, >= 0, the proposal's compositing weights. They are blurred
        with those beside them, so that what lies at the border of a bin is not missed.
      config: `num_fine` is the number of intervals; `fine_weight_floor` is added to each weight.

    Returns:
      `[num_rays, num_fine + 1]`, increasing, from the first of `edges` to the last, without a
      gradient.

    Source: Barron et al. 2022 (mip-NeRF 360), section 3.
    """
    num_rays, num_coarse = weights.shape
    chex.assert_shape(edges, (num_rays, num_coarse + 1))
    padded = jnp.pad(weights, ((0, 0), (1, 1)))
    blurred = 0.5 * weights + 0.25 * (padded[:, :-2] + padded[:, 2:])
    shift = jnp.zeros((1, 1)) if ray_keys is None else _uniform(ray_keys, num_rays, 1) - 0.5
    share = (jnp.arange(1, config.num_fine, dtype=weights.dtype)[None] + shift) / config.num_fine
    share = jnp.broadcast_to(share, (num_rays, config.num_fine - 1))
    inner = invert_piecewise_constant(share, edges, blurred + config.fine_weight_floor)
    found = jnp.concatenate([edges[:, :1], inner, edges[:, -1:]], axis=-1)
    return jax.lax.stop_gradient(found)


def _uniform(ray_keys: jax.Array, num_rays: int, num: int) -> jax.Array:
    """`[num_rays, num]` uniform in [0, 1), each row from its own key."""
    chex.assert_shape(ray_keys, (num_rays,))
    return jax.vmap(lambda key: jax.random.uniform(key, (num,)))(ray_keys)


def _gather_pair(values: jax.Array, index: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`values[index]` and `values[index + 1]` along the last axis of each ray."""
    return (
        jnp.take_along_axis(values, index, axis=-1),
        jnp.take_along_axis(values, index + 1, axis=-1),
    )
