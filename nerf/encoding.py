"""Positional encoding: one function, every convention an argument."""

from typing import Literal

import jax
import jax.numpy as jnp

from nerf.config import EncodingConfig


def positional_encoding(
    points: jax.Array,
    num_frequencies: int,
    *,
    identity: bool,
    multiply_by_pi: bool,
    order: Literal["coordinate", "frequency"],
) -> jax.Array:
    """Sines and cosines of each coordinate at octave-spaced frequencies.

        sin(2^k s x), cos(2^k s x),  k = 0 .. num_frequencies - 1,  s = pi or 1

    Args:
      points: `[..., num_dims]`.
      num_frequencies: number of octaves, L in the paper.
      identity: whether the points themselves come first.
      multiply_by_pi: s = pi (the paper's text) or s = 1 (its code, JaxNeRF).
      order: "coordinate": all frequencies of the first coordinate, each as sin, cos, then the next
        coordinate; "frequency": for each frequency the sines of all coordinates, then the cosines.

    Returns:
      `[..., num_dims * (2 * num_frequencies + identity)]`, of the dtype of `points`.

    Source: Mildenhall et al. 2020, equation 4.

    >>> positional_encoding(
    ...     jnp.array([0.5]), 1, identity=True, multiply_by_pi=True, order="frequency"
    ... ).round(3).tolist()
    [0.5, 1.0, 0.0]
    """
    (*batch_shape, num_dims) = points.shape
    scales = 2.0 ** jnp.arange(num_frequencies, dtype=points.dtype)
    if multiply_by_pi:
        scales = scales * jnp.asarray(jnp.pi, points.dtype)
    scales = scales.reshape((1,) * len(batch_shape) + (num_frequencies, 1))
    angles = points[..., None, :] * scales  # [..., num_frequencies, num_dims]
    waves = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-2)  # [..., frequency, 2, dim]
    if order == "coordinate":
        waves = jnp.moveaxis(waves, -1, -3)  # [..., dim, frequency, 2]
    features = waves.reshape((*batch_shape, 2 * num_frequencies * num_dims))
    return jnp.concatenate([points, features], axis=-1) if identity else features


def encode(points: jax.Array, config: EncodingConfig) -> jax.Array:
    """`positional_encoding` with its conventions taken from `config`."""
    return positional_encoding(
        points,
        config.num_frequencies,
        identity=config.identity,
        multiply_by_pi=config.multiply_by_pi,
        order=config.order,
    )
