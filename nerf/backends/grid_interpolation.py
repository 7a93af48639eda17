"""Multilinear interpolation in a grid of numbers, and its gradient.

As `nerf.backends.interpolation` does it for rows of features, but the gradient of a point is added
to its 2 x 2 x 2 corners as one window.
"""

import functools
import math
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from nerf.backends.interpolation import (
    cells,
    computed_once_on_cpu,
    corner_rows,
    corner_shares,
    rows_gradient_by_sorting,
)


def interpolate_grid(values: jax.Array, unit: jax.Array, texels: Sequence[int]) -> jax.Array:
    """Interpolates linearly between the texels of a grid whose corners are those of a unit box.

    Args:
      values: `[num_texels]`, in row-major order.
      unit: `[num_axes, num_points]`, the position in the box, in [0, 1]; outside, the outermost two
        texels are extrapolated linearly.
      texels: along each axis, at least 2.

    Returns:
      `[num_points]`, exact where the grid is a linear function.

    >>> ramp = jnp.array([0.0, 1.0, 4.0])  # at 0, 1/2 and 1
    >>> interpolate_grid(ramp, jnp.array([[0.25, 0.75, 1.0]]), [3]).tolist()
    [0.5, 2.5, 4.0]
    """
    chex.assert_shape(values, (math.prod(texels),))
    chex.assert_shape(unit, (len(texels), None))
    return _interpolate(values, unit, tuple(texels))


def _at_points(values: jax.Array, unit: jax.Array, texels: tuple[int, ...]) -> jax.Array:
    left, within = cells(computed_once_on_cpu(unit), texels)
    rows, shares = jnp.stack(corner_rows(left, texels)), jnp.stack(corner_shares(within))
    return jnp.sum(shares * values.at[rows].get(mode="promise_in_bounds"), axis=0)


_interpolate = jax.custom_vjp(_at_points, nondiff_argnums=(2,))


def _forward(
    values: jax.Array, unit: jax.Array, texels: tuple[int, ...]
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _at_points(values, unit, texels), (values, unit)


def _backward(
    texels: tuple[int, ...], residuals: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    values, unit = residuals

    (unit_gradient,) = jax.vjp(lambda unit: _at_points(values, unit, texels), unit)[1](gradient)
    values_gradient = jax.lax.platform_dependent(
        jnp.zeros_like(values),
        unit,
        gradient,
        cuda=functools.partial(gradient_by_sorting, texels=texels),
        default=functools.partial(gradient_by_windows, texels=texels),
    )
    return values_gradient, unit_gradient


_interpolate.defvjp(_forward, _backward)


def gradient_by_windows(
    total: jax.Array, unit: jax.Array, gradient: jax.Array, *, texels: Sequence[int]
) -> jax.Array:
    """The gradient of `interpolate_grid` with respect to its values, a window for each point.

    Args:
      total: `[num_texels]`, what it is added to.
      unit, texels: see `interpolate_grid`.
      gradient: `[num_points]`, of its result.

    Returns:
      `[num_texels]`.
    """
    *places, gradient = computed_once_on_cpu(jnp.stack([*unit, gradient]))
    left, within = cells(places, texels)
    axes = tuple(range(len(texels)))
    windows = jnp.stack([share * gradient for share in corner_shares(within)], axis=-1)
    added = jax.lax.scatter_add(
        total.reshape(texels),
        jnp.stack(left, axis=-1),
        windows.reshape(-1, *(2 for _ in axes)),
        jax.lax.ScatterDimensionNumbers(
            update_window_dims=tuple(axis + 1 for axis in axes),
            inserted_window_dims=(),
            scatter_dims_to_operand_dims=axes,
        ),
        mode="promise_in_bounds",
    )
    return added.reshape(-1)


def gradient_by_sorting(
    total: jax.Array, unit: jax.Array, gradient: jax.Array, *, texels: Sequence[int]
) -> jax.Array:
    """Like `gradient_by_windows`, but sums what each texel receives before adding it."""
    found = jnp.zeros((1, len(gradient), 1))  # whose gradient is not asked for
    added = rows_gradient_by_sorting(
        total[:, None],
        found,
        unit[None],
        gradient[:, None],
        texels=(tuple(texels),),
        num_factors=1,
    )
    return added[:, 0]
