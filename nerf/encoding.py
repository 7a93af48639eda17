"""Positional encoding: one function, every convention an argument."""

import math
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp

from nerf.config.settings import EncodingConfig


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
    waves = _octaves(points, num_frequencies, math.pi if multiply_by_pi else 1.0)
    if order == "coordinate":
        waves = jnp.moveaxis(waves, -1, -3)  # [..., dim, frequency, 2]
    features = waves.reshape((*batch_shape, 2 * num_frequencies * num_dims))
    return jnp.concatenate([points, features], axis=-1) if identity else features


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _octaves(points: jax.Array, num_frequencies: int, scale: float) -> jax.Array:
    """Sines and cosines, `[..., num_frequencies, 2, num_dims]`.

    Every fourth octave is computed, the three behind it by doubling the angle, which costs a
    fraction and less than 1e-6 in exactness:

        sin 2a = 2 sin a cos a,   cos 2a = 1 - 2 sin^2 a
    """
    sines, cosines = [], []
    for number in range(num_frequencies):
        if number % 4 == 0:
            angles = points * jnp.asarray(scale * 2**number, points.dtype)
            sine, cosine = jnp.sin(angles), jnp.cos(angles)
        else:
            sine, cosine = 2.0 * sine * cosine, 1.0 - 2.0 * sine * sine
        sines.append(sine)
        cosines.append(cosine)
    waves = [jnp.stack(pair, axis=-2) for pair in zip(sines, cosines, strict=True)]
    if not waves:
        return jnp.zeros((*points.shape[:-1], 0, 2, points.shape[-1]), points.dtype)
    return jnp.stack(waves, axis=-3)


@_octaves.defjvp
def _octaves_jvp(
    num_frequencies: int, scale: float, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """d sin(s x) = s cos(s x) dx, d cos(s x) = -s sin(s x) dx."""
    (points,), (tangent,) = primals, tangents
    waves = _octaves(points, num_frequencies, scale)
    scales = scale * 2.0 ** jnp.arange(num_frequencies, dtype=points.dtype)
    scales = scales.reshape((1,) * (points.ndim - 1) + (-1, 1))
    slopes = jnp.stack([waves[..., 1, :] * scales, -waves[..., 0, :] * scales], axis=-2)
    return waves, slopes * tangent[..., None, None, :]


def encode(points: jax.Array, config: EncodingConfig) -> jax.Array:
    """`positional_encoding` with its conventions taken from `config`."""
    return positional_encoding(
        points,
        config.num_frequencies,
        identity=config.identity,
        multiply_by_pi=config.multiply_by_pi,
        order=config.order,
    )
