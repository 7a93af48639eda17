"""Multilinear interpolation in a grid of numbers, and its gradient.

`nerf.backends.interpolation` does the same for rows of features, which it gathers as rows. Here
XLA's CPU backend makes one vectorised loop of the gathers of all corners, and adds the gradient of
a point to the grid as one window of 2 x 2 x 2 numbers.
"""

import functools
import math
from collections.abc import Iterable, Sequence

import chex
import jax
import jax.numpy as jnp

from nerf.backends.interpolation import computed_once_on_cpu, rows_gradient_by_sorting


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


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _interpolate(values: jax.Array, unit: jax.Array, texels: tuple[int, ...]) -> jax.Array:
    left, within = _cells(computed_once_on_cpu(unit), texels)
    found = jnp.zeros_like(unit[0])
    for index, share in zip(_corners(left, texels), _shares(within), strict=True):
        found += share * values.at[index].get(mode="promise_in_bounds")
    return found


def _forward(
    values: jax.Array, unit: jax.Array, texels: tuple[int, ...]
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _interpolate(values, unit, texels), (values, unit)


def _backward(
    texels: tuple[int, ...], residuals: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    values, unit = residuals

    def of_unit(unit: jax.Array) -> jax.Array:
        left, within = _cells(unit, texels)
        corners = zip(_corners(left, texels), _shares(within), strict=True)
        return jnp.asarray(sum(share * values[index] for index, share in corners))

    (unit_gradient,) = jax.vjp(of_unit, unit)[1](gradient)
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
    left, within = _cells(places, texels)
    axes = tuple(range(len(texels)))
    windows = jnp.stack([share * gradient for share in _shares(within)], axis=-1)
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
    """`gradient_by_windows`, but what goes to one texel is summed before it is added to it."""
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


def _cells(
    unit: Iterable[jax.Array], texels: Sequence[int]
) -> tuple[list[jax.Array], list[jax.Array]]:
    """The texel before each point, int32, and how far behind it the point is, along each axis."""
    left, within = [], []
    for along, count in zip(unit, texels, strict=True):
        position = along * (count - 1.0)
        before = jnp.clip(jnp.floor(position), 0.0, count - 2.0)
        left.append(before.astype(jnp.int32))
        within.append(position - before)
    return left, within


def _corners(left: Sequence[jax.Array], texels: Sequence[int]) -> list[jax.Array]:
    """Indices `[num_points]` of the corners of each point's cell, the last axis' side first."""
    index = [jnp.zeros_like(left[0])]
    for before, count in zip(left, texels, strict=True):
        index = [i * count + before + side for i in index for side in (0, 1)]
    return index


def _shares(within: Sequence[jax.Array]) -> list[jax.Array]:
    """The share `[num_points]` of each of `_corners`; they sum to 1."""
    share = [jnp.ones_like(within[0])]
    for behind in within:
        share = [s * side for s in share for side in (1.0 - behind, behind)]
    return share
