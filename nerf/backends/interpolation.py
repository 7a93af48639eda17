"""Multilinear interpolation in tables of features, products of it, and the gradient of both.

All tables are stored as one, and all corners are fetched and summed at once, in one loop.

The gradient of the tables is one buffer, whatever the number of points. On a CPU, points add to it
block by block, so that what is in between stays in the cache; on CUDA, what goes to one row is
summed first, since XLA makes a loop of compare and swap of a scatter of floats there
(openxla/xla#46225).
"""

import functools
import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

_BLOCK_ROWS = 2**13  # of 16 features: what is added at once on a CPU then stays in its cache
Texels = tuple[tuple[int, ...], ...]


def num_rows(texels: Sequence[Sequence[int]]) -> int:
    """The number of rows of all tables together.

    Args:
      texels: for each table the number of texels along each axis.

    >>> num_rows([(2, 3), (4, 5)])
    26
    """
    return int(sum(np.prod(counts) for counts in texels))


def interpolate(
    rows: jax.Array,
    unit: jax.Array,
    texels: Sequence[Sequence[int]],
    *,
    num_factors: int = 1,
    total: jax.Array | None = None,
) -> jax.Array:
    """Interpolates linearly between the texels of tables whose corners are those of a unit box.

    Points come last in what is computed for all points: loops over them are then vectorised.

    Args:
      rows: `[num_rows, num_features]`, the tables one after the other, each in row-major order.
      unit: `[num_tables, num_axes, num_points]`, the position in each table, in [0, 1]; outside,
        the outermost two texels are extrapolated linearly.
      texels: for each table the number of texels along each axis, at least 2.
      num_factors: how many tables that follow each other are multiplied; a divisor of num_tables.
      total: like `rows`: what the gradient with respect to `rows` is added to, so that microbatches
        can share one buffer; None means zeros.

    Returns:
      `[num_points, num_tables / num_factors * num_features]`, the features of the first product
      first; exact where a table is a linear function.

    >>> ramp = jnp.array([[0.0], [1.0], [4.0]])  # at 0, 1/2 and 1
    >>> where = jnp.array([0.25, 0.75, 1.0]).reshape(1, 1, 3)
    >>> interpolate(ramp, where, [(3,)])[:, 0].tolist()
    [0.5, 2.5, 4.0]
    """
    num_tables, num_axes = np.shape(texels)
    chex.assert_shape(unit, (num_tables, num_axes, None))
    chex.assert_shape(rows, (num_rows(texels), None))
    assert num_tables % num_factors == 0
    return _interpolate(jnp.asarray(rows), unit, total, tuple(map(tuple, texels)), num_factors)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _interpolate(
    rows: jax.Array, unit: jax.Array, total: jax.Array | None, texels: Texels, num_factors: int
) -> jax.Array:
    del total
    return _multiply(_by_factor(_mix(rows, *corners(unit, texels)), num_factors))


def _mix(rows: jax.Array, index: jax.Array, share: jax.Array) -> jax.Array:
    """`[num_tables, num_points, num_features]`, the sum over the corners.

    XLA's CPU backend would compute a sum that is written out again for each use: for the product,
    and twice for the gradient of each factor. It never does so with a reduction.
    """
    found = rows.at[index].get(mode="promise_in_bounds")
    return jnp.sum(share[..., None] * found, axis=1)


def computed_once_on_cpu(arrays: jax.Array) -> jax.Array:
    """The same arrays `[num_arrays, num_points]`, which must be finite, computed only once.

    XLA's CPU backend computes them again for each use, e.g. for each corner of a cell, which took
    ten times as long as the look-ups themselves. It never does so with the result of a matrix
    product; an optimisation barrier does not help, since XLA removes it before it fuses loops.
    """
    once: jax.Array = jax.lax.platform_dependent(
        arrays, cpu=product_with_identity, default=lambda arrays: arrays
    )
    return once


@jax.jit
def product_with_identity(arrays: jax.Array) -> jax.Array:
    """The same arrays, from a product; benchmarks find it by its name and do not count it."""
    identity = jnp.eye(len(arrays), dtype=arrays.dtype)
    return jnp.matmul(identity, arrays, precision=jax.lax.Precision.HIGHEST)


def _by_factor(tables: jax.Array, num_factors: int) -> list[jax.Array]:
    """Splits `[num_tables, ...]` into `[num_products, ...]` for each factor."""
    split = tables.reshape(len(tables) // num_factors, num_factors, *tables.shape[1:])
    return [split[:, i] for i in range(num_factors)]


def _multiply(factors: Sequence[jax.Array]) -> jax.Array:
    """The product of `[num_products, num_points, num_features]`, see `interpolate`."""
    product = functools.reduce(operator.mul, factors)
    return jnp.concatenate(list(product), axis=-1)


Residuals = tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]


def _forward(
    rows: jax.Array, unit: jax.Array, total: jax.Array | None, texels: Texels, num_factors: int
) -> tuple[jax.Array, Residuals]:
    found = _mix(rows, *corners(unit, texels))
    return _multiply(_by_factor(found, num_factors)), (rows, unit, found, total)


def _backward(
    texels: Texels, num_factors: int, residuals: Residuals, gradient: jax.Array
) -> tuple[jax.Array, jax.Array, None]:
    rows, unit, found, total = residuals

    def of_unit(unit: jax.Array) -> jax.Array:
        return _multiply(_by_factor(_mix(rows, *corners(unit, texels)), num_factors))

    (unit_gradient,) = jax.vjp(of_unit, unit)[1](gradient)
    rows_gradient = jax.lax.platform_dependent(
        jnp.zeros_like(rows) if total is None else total,
        found,
        unit,
        gradient,
        cuda=functools.partial(rows_gradient_by_sorting, texels=texels, num_factors=num_factors),
        default=functools.partial(rows_gradient_in_blocks, texels=texels, num_factors=num_factors),
    )
    return rows_gradient, unit_gradient, None


_interpolate.defvjp(_forward, _backward)


def corners(unit: jax.Array, texels: Sequence[Sequence[int]]) -> tuple[jax.Array, jax.Array]:
    """The rows between which `interpolate` interpolates, and the share of each.

    Args:
      unit, texels: see `interpolate`.

    Returns:
      Indices int32 and shares, `[num_tables, 2^num_axes, num_points]` each; the shares of a point
      in a table sum to 1.
    """
    starts = np.cumsum([0, *(math.prod(counts) for counts in texels)])
    found = [
        _corners_in_table(positions, counts, int(start))
        for positions, counts, start in zip(unit, texels, starts[:-1], strict=True)
    ]
    index, share = zip(*found, strict=True)
    return jnp.stack(index), jnp.stack(share)


def _corners_in_table(
    unit: jax.Array, counts: Sequence[int], start: int
) -> tuple[jax.Array, jax.Array]:
    """`corners` of one table, whose rows begin at `start`: `[2^num_axes, num_points]`."""
    left, within = cells(unit, counts)
    return start + jnp.stack(corner_rows(left, counts)), jnp.stack(corner_shares(within))


def cells(
    unit: Iterable[jax.Array], counts: Sequence[int]
) -> tuple[list[jax.Array], list[jax.Array]]:
    """The cell of a table in which each point lies, along each axis.

    Args:
      unit: `[num_points]` for each axis, see `interpolate`.
      counts: texels along each axis.

    Returns:
      The texel before the point, int32, and how many texels behind it the point is.
    """
    left, within = [], []
    for along, count in zip(unit, counts, strict=True):
        position = along * (count - 1.0)
        before = jnp.clip(jnp.floor(position), 0.0, count - 2.0)
        left.append(before.astype(jnp.int32))
        within.append(position - before)
    return left, within


def corner_rows(left: Sequence[jax.Array], counts: Sequence[int]) -> list[jax.Array]:
    """The row of each corner of the cells of points, from the first return value of `cells`."""
    rows: list[Any] = [0]  # of the corners along the axes so far
    for before, count in zip(left, counts, strict=True):
        rows = [row * count + before + side for row in rows for side in (0, 1)]
    return rows


def corner_shares(within: Sequence[jax.Array]) -> list[jax.Array]:
    """The share of each of `corner_rows`, from the second return value of `cells`."""
    shares: list[Any] = [1.0]
    for behind in within:
        shares = [share * side for share in shares for side in (1.0 - behind, behind)]
    return shares


def rows_gradient_in_blocks(
    total: jax.Array,
    found: jax.Array,
    unit: jax.Array,
    gradient: jax.Array,
    *,
    texels: Texels,
    num_factors: int,
) -> jax.Array:
    """The gradient of `interpolate` with respect to the tables, by a scatter for each block.

    Args:
      total: `[num_rows, num_features]`, what it is added to.
      found: `[num_tables, num_points, num_features]`, what was found in each table.
      unit, texels, num_factors: see `interpolate`.
      gradient: of its result.

    Returns:
      `[num_rows, num_features]`.
    """
    num_points, _ = gradient.shape
    if num_points == 0:
        return total
    num_tables, num_axes = np.shape(texels)
    per_point = num_tables * 2**num_axes * total.shape[-1] / 16
    block = min(max(1, round(_BLOCK_ROWS / per_point)), num_points)
    divisor = next(n for n in range(block, 0, -1) if num_points % n == 0)
    block = divisor if 2 * divisor >= block else block  # which needs no padding
    padding = -num_points % block  # with points that have no gradient
    unit = jnp.pad(unit, ((0, 0), (0, 0), (0, padding)))
    found = jnp.pad(found, ((0, 0), (0, padding), (0, 0)))
    gradient = jnp.pad(gradient, ((0, padding), (0, 0)))

    def blocks(array: jax.Array, axis: int) -> jax.Array:
        """The blocks of points first."""
        shape = (*array.shape[:axis], -1, block, *array.shape[axis + 1 :])
        return jnp.moveaxis(array.reshape(shape), axis, 0)

    def add(total: jax.Array, parts: Sequence[Any]) -> tuple[jax.Array, None]:
        for index, share, of_factor in parts:
            added = share[..., None] * of_factor[:, None]
            total = total.at[index].add(added, mode="promise_in_bounds")
        return total, None

    # Computed for all points before the loop: within it, XLA would not vectorise them.
    parts = [
        (blocks(index, 2), blocks(share, 2), blocks(of_factor, 1))
        for index, share, of_factor in _additions(found, unit, gradient, texels, num_factors)
    ]
    total, _ = jax.lax.scan(add, total, parts)
    return total


def rows_gradient_by_sorting(
    total: jax.Array,
    found: jax.Array,
    unit: jax.Array,
    gradient: jax.Array,
    *,
    texels: Texels,
    num_factors: int,
) -> jax.Array:
    """Like `rows_gradient_in_blocks`, but sums what each row receives before adding it."""
    if len(gradient) == 0:
        return total
    parts = _additions(found, unit, gradient, texels, num_factors)
    index = jnp.concatenate([index.reshape(-1) for index, _, _ in parts])
    added = jnp.concatenate(
        [
            (share[..., None] * of_factor[:, None]).reshape(-1, total.shape[-1])
            for _, share, of_factor in parts
        ]
    )
    order = jnp.argsort(index)
    index, added = index[order], added[order]
    is_first = jnp.concatenate([jnp.ones(1, bool), index[1:] != index[:-1]])
    is_last = jnp.concatenate([is_first[1:], jnp.ones(1, bool)])

    def add(
        left: tuple[jax.Array, jax.Array], right: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        return left[0] | right[0], right[1] + jnp.where(right[0], 0.0, left[1])

    _, sums = jax.lax.associative_scan(add, (is_first[:, None], added))
    beyond = len(total) + jnp.arange(len(index), dtype=index.dtype)  # is dropped
    target = jnp.where(is_last, index, beyond)
    return total.at[target].add(sums, mode="drop", unique_indices=True)


def _additions(
    found: jax.Array, unit: jax.Array, gradient: jax.Array, texels: Texels, num_factors: int
) -> list[tuple[jax.Array, jax.Array, jax.Array]]:
    """For each factor of the products, what its rows receive from the gradient.

    Returns:
      Indices and interpolation weights, `[num_products, num_corners, num_points]` each, and the
      gradient with respect to the factor, `[num_products, num_points, num_features]`. A row
      receives weight times gradient.
    """
    index, share = corners(unit, texels)
    factors = _by_factor(found, num_factors)
    num_tables, num_points, num_features = found.shape
    of_products = gradient.reshape(num_points, num_tables // num_factors, num_features)
    of_products = jnp.moveaxis(of_products, 1, 0)
    parts = []
    for i in range(num_factors):
        others = factors[:i] + factors[i + 1 :]
        of_factor = functools.reduce(operator.mul, others, of_products)
        index_of, share_of = (_by_factor(x, num_factors)[i] for x in (index, share))
        parts.append((index_of, share_of, of_factor))
    return parts
