"""Positional encoding: one function, every convention an argument."""

import math
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

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
    (*_, num_dims) = points.shape
    scale = math.pi if multiply_by_pi else 1.0
    waves = _waves(points, _Features.of(num_dims, num_frequencies, scale, order))
    return jnp.concatenate([points, waves], axis=-1) if identity else waves


class _Features(NamedTuple):
    """What each feature is made of, hashable: its coordinate, its scale, and whether it is a sine.

    A table makes the encoding one loop over features, where stacking sines and cosines would move
    every number several times, which costs more than computing them.
    """

    dims: tuple[int, ...]
    scales: tuple[float, ...]
    are_sines: tuple[bool, ...]

    @classmethod
    def of(cls, num_dims: int, num_frequencies: int, scale: float, order: str) -> "_Features":
        dims, octaves = range(num_dims), range(num_frequencies)
        features = (
            [(dim, k, sine) for dim in dims for k in octaves for sine in (True, False)]
            if order == "coordinate"
            else [(dim, k, sine) for k in octaves for sine in (True, False) for dim in dims]
        )
        return cls(
            dims=tuple(dim for dim, _, _ in features),
            scales=tuple(scale * 2.0**k for _, k, _ in features),
            are_sines=tuple(sine for _, _, sine in features),
        )

    def spread(self, vectors: jax.Array) -> jax.Array:
        """For each feature its coordinate, times its scale: `[..., num_features]`."""
        (*batch_shape, num_dims) = vectors.shape
        coordinates = jnp.zeros((*batch_shape, len(self.dims)), vectors.dtype)
        for dim in range(num_dims):
            coordinates = jnp.where(
                self._row(np.array(self.dims) == dim, vectors),
                vectors[..., dim : dim + 1],
                coordinates,
            )
        return coordinates * self._row(np.array(self.scales, vectors.dtype), vectors)

    def pick(self, for_sines: jax.Array, for_cosines: jax.Array) -> jax.Array:
        return jnp.where(self._row(np.array(self.are_sines), for_sines), for_sines, for_cosines)

    @staticmethod
    def _row(values: npt.NDArray[Any], like: jax.Array) -> npt.NDArray[Any]:
        return values.reshape((1,) * (like.ndim - 1) + (-1,))


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _waves(points: jax.Array, features: _Features) -> jax.Array:
    """Sines and cosines, `[..., num_features]`."""
    angles = features.spread(points)
    return features.pick(jnp.sin(angles), jnp.cos(angles))


@_waves.defjvp
def _waves_jvp(
    features: _Features, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """d sin(s x) = cos(s x) s dx, d cos(s x) = -sin(s x) s dx."""
    (points,), (tangent,) = primals, tangents
    angles = features.spread(points)
    sines, cosines = jnp.sin(angles), jnp.cos(angles)
    return features.pick(sines, cosines), features.pick(cosines, -sines) * features.spread(tangent)


def encode(points: jax.Array, config: EncodingConfig) -> jax.Array:
    """`positional_encoding` with its conventions taken from `config`."""
    return positional_encoding(
        points,
        config.num_frequencies,
        identity=config.identity,
        multiply_by_pi=config.multiply_by_pi,
        order=config.order,
    )
