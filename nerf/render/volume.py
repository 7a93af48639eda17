"""Volume rendering: from colours and densities along a ray to one pixel.

All lengths are those of the space in which the field lives: an interval of the ray parameter times
the length of the ray's direction.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from nerf.config.settings import Background

_SMALL = 0.03  # the next term of the series is then below the rounding of float32


class Composite(NamedTuple):
    """What one ray sees.

    Attributes:
      rgb: `[num_rays, 3]`, in [0, 1]; what is not covered is black.
      depth: `[num_rays]`, the ray parameter t at which the ray ends on average.
      acc: `[num_rays]`, in [0, 1], the share of the ray that is covered.
      weights: `[num_rays, num_samples]`, >= 0, the share that each sample contributes.
      t_vals: `[num_rays, num_samples]`, increasing, where the samples lie.
    """

    rgb: jax.Array
    depth: jax.Array
    acc: jax.Array
    weights: jax.Array
    t_vals: jax.Array


def interval_lengths(t_vals: jax.Array, directions: jax.Array, last_interval: float) -> jax.Array:
    """The length that each sample stands for, up to the next sample.

    Args:
      t_vals: `[num_rays, num_samples]`, increasing.
      directions: `[num_rays, 3]`, not normalised.
      last_interval: what the last sample gets, in units of t; 0 ignores it, a huge value makes
        it a wall.

    Returns:
      `[num_rays, num_samples]`, >= 0, in units of length.

    >>> twice_unit = jnp.array([[0.0, 0.0, 2.0]])
    >>> interval_lengths(
    ...     jnp.array([[0.0, 1.0, 4.0]]), twice_unit, last_interval=10.0
    ... ).tolist()
    [[2.0, 6.0, 20.0]]
    """
    num_rays, _ = t_vals.shape
    chex.assert_shape(directions, (num_rays, 3))
    last = jnp.full((num_rays, 1), last_interval, t_vals.dtype)
    intervals = jnp.concatenate([t_vals[:, 1:] - t_vals[:, :-1], last], axis=-1)
    lengths: jax.Array = intervals * jnp.linalg.norm(directions, axis=-1, keepdims=True)
    return lengths


def compositing_weights(density: jax.Array, lengths: jax.Array) -> jax.Array:
    """The share of the light that each interval adds.

        w_i = T_i (1 - exp(-density_i length_i)),  T_i = exp(-sum_{j<i} density_j length_j)

    Args:
      density: `[num_rays, num_samples]`, >= 0, post-activation.
      lengths: `[num_rays, num_samples]`, >= 0.

    Returns:
      `[num_rays, num_samples]`, >= 0; they sum to 1 - exp(-sum density length).

    Source: Mildenhall et al. 2020, equation 3; Max 1995.

    >>> compositing_weights(jnp.array([[1.0, 1e9]]), jnp.ones((1, 2))).round(3).tolist()
    [[0.632, 0.368]]
    """
    num_rays, num_samples = density.shape
    chex.assert_shape(lengths, (num_rays, num_samples))
    optical_depth = density * lengths
    before = jnp.cumsum(optical_depth[:, :-1], axis=-1)
    before = jnp.concatenate([jnp.zeros_like(optical_depth[:, :1]), before], axis=-1)
    return jnp.exp(-before) * alpha_of_optical_depth(optical_depth)


def alpha_of_optical_depth(optical_depth: jax.Array) -> jax.Array:
    """The share of the light that an interval absorbs, `1 - exp(-x)`, exact for small x as well.

    It is what `-jnp.expm1(-x)` is, which is not vectorised on a CPU: a series where x is small.

    Args:
      optical_depth: `[...]`, >= 0.

    Returns:
      `[...]`, in [0, 1].

    >>> alpha_of_optical_depth(jnp.array([0.0, 1e-8, 0.5, 100.0])).tolist()
    [0.0, 1e-08, 0.3934693, 1.0]
    """
    x = jnp.minimum(optical_depth, _SMALL)
    series = x * (1.0 - x * (1 / 2 - x * (1 / 6 - x * (1 / 24))))
    return jnp.where(optical_depth < _SMALL, series, 1.0 - jnp.exp(-optical_depth))


def composite(
    rgb: jax.Array,
    density: jax.Array,
    t_vals: jax.Array,
    directions: jax.Array,
    *,
    last_interval: float,
) -> Composite:
    """Composites the samples of each ray, front to back.

    Args:
      rgb: `[num_rays, num_samples, 3]`, in [0, 1], post-activation.
      density: `[num_rays, num_samples]`, >= 0, post-activation.
      t_vals: `[num_rays, num_samples]`, increasing.
      directions: `[num_rays, 3]`, not normalised.
      last_interval: see `interval_lengths`.

    Returns:
      A `Composite`; its depth is the mean of t under the weights, and the last t where the ray
      meets nothing.

    >>> rgb = jnp.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])  # red before green
    >>> wall = jnp.array([[1e9, 1e9]])
    >>> seen = composite(
    ...     rgb, wall, jnp.array([[1.0, 2.0]]), jnp.ones((1, 3)), last_interval=1.0
    ... )
    >>> seen.rgb.tolist(), seen.depth.tolist(), seen.acc.tolist()
    ([[1.0, 0.0, 0.0]], [1.0], [1.0])
    """
    lengths = interval_lengths(t_vals, directions, last_interval)
    return accumulate(rgb, density, lengths, t_vals)


def over(composite: Composite, background: Background) -> Composite:
    """Puts a background behind a composite, which was made over black.

    >>> half = Composite(
    ...     jnp.full((1, 3), 0.3), *[jnp.full(1, 0.5)] * 2, *[jnp.ones((1, 1))] * 2
    ... )
    >>> over(half, "white").rgb.round(3).tolist()
    [[0.8, 0.8, 0.8]]
    """
    if background == "black":
        return composite
    return composite._replace(rgb=composite.rgb + (1.0 - composite.acc)[..., None])


def distortion(weights: jax.Array, lengths: jax.Array) -> jax.Array:
    """The distortion loss: how far apart along a ray its light comes from.

        sum_ij w_i w_j |m_i - m_j| + 1/3 sum_i w_i^2 length_i

    where m_i is the middle of interval i, measured along the ray. It is least where all light comes
    from one short interval, or where there is none.

    Args:
      weights: `[num_rays, num_samples]`, >= 0.
      lengths: `[num_rays, num_samples]`, >= 0, of intervals that follow each other.

    Returns:
      `[num_rays]`, >= 0, in units of length.

    Source: Barron et al. 2022 (mip-NeRF 360), equation 15; the double sum in linear time, Sun et
    al. 2022 (DVGO-v2).

    >>> halves = jnp.array([[0.5, 0.0, 0.5]])
    >>> found = distortion(halves, jnp.array([[1.0, 2.0, 1.0]]))  # middles 3 apart
    >>> round(float(found[0]), 4)  # 2 x 1/4 x 3 + 1/3 x (1/4 + 1/4)
    1.6667
    """
    num_rays, num_samples = weights.shape
    chex.assert_shape(lengths, (num_rays, num_samples))
    middles = jnp.cumsum(lengths, axis=-1) - 0.5 * lengths
    before = jnp.cumsum(weights, axis=-1) - weights
    moment_before = jnp.cumsum(weights * middles, axis=-1) - weights * middles
    between = 2.0 * jnp.sum(weights * (middles * before - moment_before), axis=-1)
    return between + jnp.sum(jnp.square(weights) * lengths, axis=-1) / 3.0


def with_peak_depth(composite: Composite) -> Composite:
    """A composite whose depth is that of the surface that adds most light, for meshes.

    Where a ray grazes an edge, or passes fog, the mean lies between two surfaces, and the peak on
    one of them. It is the mean of t over the three neighbouring samples of the greatest weight.

    Args:
      composite: with its samples.

    >>> weights = jnp.array(
    ...     [[0.2, 0.0, 0.1, 0.4, 0.1]]
    ... )  # the edge of a surface, and a wall
    >>> seen = Composite(
    ...     jnp.zeros((1, 3)),
    ...     jnp.full(1, 3.0),
    ...     jnp.ones(1),
    ...     weights,
    ...     jnp.arange(1.0, 6)[None],
    ... )
    >>> with_peak_depth(seen).depth.tolist()
    [4.0]
    """
    weights, t_vals = composite.weights, composite.t_vals
    chex.assert_equal_shape([weights, t_vals])
    num_samples = weights.shape[-1]
    padded = jnp.pad(weights, ((0, 0), (1, 1)))
    around = padded[:, :-2] + weights + padded[:, 2:]
    peak = jnp.argmax(around, axis=-1)[:, None]
    is_near = jnp.abs(jnp.arange(num_samples)[None] - peak) <= 1
    near = jnp.where(is_near, weights, 0.0)
    total = jnp.sum(near, axis=-1)
    is_seen = (composite.acc > 1e-6) & (total > 0)
    depth = jnp.sum(near * t_vals, axis=-1) / jnp.where(is_seen, total, 1.0)
    return composite._replace(depth=jnp.where(is_seen, depth, composite.depth))


def accumulate(
    rgb: jax.Array, density: jax.Array, lengths: jax.Array, t_vals: jax.Array
) -> Composite:
    """`composite` for samples whose intervals are given.

    Args:
      rgb: `[num_rays, num_samples, 3]`, in [0, 1], post-activation.
      density: `[num_rays, num_samples]`, >= 0, post-activation.
      lengths: `[num_rays, num_samples]`, >= 0, in units of length.
      t_vals: `[num_rays, num_samples]`, increasing.
    """
    num_rays, num_samples = t_vals.shape
    chex.assert_shape(rgb, (num_rays, num_samples, 3))
    chex.assert_shape(density, (num_rays, num_samples))
    weights = compositing_weights(density, lengths)
    acc = jnp.sum(weights, axis=-1)
    covered = acc > 1e-6
    mean_t = jnp.sum(weights * t_vals, axis=-1) / jnp.where(covered, acc, 1.0)
    return Composite(
        rgb=jnp.sum(weights[..., None] * rgb, axis=-2),
        depth=jnp.where(covered, mean_t, t_vals[:, -1]),
        acc=acc,
        weights=weights,
        t_vals=t_vals,
    )
