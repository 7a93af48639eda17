"""Multilinear interpolation in a table of features, in the form that a CPU does fastest.

XLA gathers rows of a flat table, and adds to them in the gradient, at a few nanoseconds a row
(`benchmarks/results/gather-*.json`): slices of more dimensions, windows of several texels and
products with interpolation matrices are all slower.
"""

import itertools
import math

import chex
import jax
import jax.numpy as jnp


def interpolate(table: jax.Array, unit: jax.Array) -> jax.Array:
    """Interpolates linearly between the texels of a table whose corners are those of a unit box.

    Args:
      table: `[*texels, num_features]`, at least 2 texels along each axis.
      unit: `[num_points, len(texels)]`, in [0, 1]; beyond, the outermost texels go on linearly.

    Returns:
      `[num_points, num_features]`; exact where the table is a linear function.

    >>> ramp = jnp.array([[0.0], [1.0], [4.0]])  # at 0, 1/2 and 1
    >>> interpolate(ramp, jnp.array([[0.25], [0.75], [1.0]]))[:, 0].tolist()
    [0.5, 2.5, 4.0]
    """
    *texels, num_features = table.shape
    num_points, num_axes = unit.shape
    chex.assert_equal(num_axes, len(texels))
    rows = table.reshape(math.prod(texels), num_features)
    strides = [math.prod(texels[axis + 1 :]) for axis in range(num_axes)]
    first = jnp.zeros(num_points, jnp.int32)
    within = []
    for axis, (count, stride) in enumerate(zip(texels, strides, strict=True)):
        position = unit[:, axis] * (count - 1)
        left = jnp.clip(jnp.floor(position), 0.0, count - 2.0)
        within.append((position - left)[:, None])
        first = first + left.astype(jnp.int32) * stride
    found = jnp.zeros((num_points, num_features), table.dtype)
    for corner in itertools.product((0, 1), repeat=num_axes):
        offset = sum(stride * side for stride, side in zip(strides, corner, strict=True))
        share = jnp.ones((), unit.dtype)
        for fraction, side in zip(within, corner, strict=True):
            share = share * (fraction if side else 1.0 - fraction)
        found = found + share * rows.at[first + offset].get(mode="promise_in_bounds")
    return found
