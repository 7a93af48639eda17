"""The loss of a proposal, whose weights must bound those of the field from above."""

import chex
import jax
import jax.numpy as jnp

_EPSILON = 1e-5


def proposal_loss(
    edges: jax.Array,
    weights: jax.Array,
    proposed_edges: jax.Array,
    proposed_weights: jax.Array,
) -> jax.Array:
    """By how much a field's weights exceed the bound that a proposal gives.

        sum_i max(0, w_i - bound_i)^2 / (w_i + eps)

    where bound_i is the sum of the proposal's weights in all its intervals that overlap with
    interval i. It is zero where the proposal's histogram can contain the field's.

    Args:
      edges: `[num_rays, num_samples + 1]`, increasing.
      weights: `[num_rays, num_samples]`, >= 0, of the field.
      proposed_edges: `[num_rays, num_proposed + 1]`, increasing.
      proposed_weights: `[num_rays, num_proposed]`, >= 0.

    Returns:
      `[num_rays]`, >= 0; its gradient is for the proposal alone.

    Source: Barron et al. 2022 (mip-NeRF 360), equations 12 and 13.

    >>> halves, whole = jnp.array([[0.0, 0.5, 1.0]]), jnp.array([[0.0, 1.0]])
    >>> allowed = proposal_loss(
    ...     halves, jnp.array([[0.3, 0.2]]), whole, jnp.array([[0.4]])
    ... )
    >>> exceeded = proposal_loss(
    ...     halves, jnp.array([[0.8, 0.2]]), whole, jnp.array([[0.4]])
    ... )
    >>> [round(float(x[0]), 3) for x in (allowed, exceeded)]  # 0.4^2 / 0.8
    [0.0, 0.2]
    """
    num_rays, num_samples = weights.shape
    _, num_proposed = proposed_weights.shape
    chex.assert_shape(edges, (num_rays, num_samples + 1))
    chex.assert_shape(proposed_edges, (num_rays, num_proposed + 1))
    chex.assert_shape(proposed_weights, (num_rays, num_proposed))
    edges, weights = jax.lax.stop_gradient((edges, weights))
    proposed_edges = jax.lax.stop_gradient(proposed_edges)
    begins_before = proposed_edges[:, None, :-1] < edges[:, 1:, None]
    ends_behind = proposed_edges[:, None, 1:] > edges[:, :-1, None]
    overlap = begins_before & ends_behind  # [num_rays, num_samples, num_proposed]
    bound = jnp.sum(jnp.where(overlap, proposed_weights[:, None, :], 0.0), axis=-1)
    excess = jnp.maximum(weights - bound, 0.0)
    return jnp.sum(jnp.square(excess) / (weights + _EPSILON), axis=-1)
