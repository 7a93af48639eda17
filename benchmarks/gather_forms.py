"""Which form of looking up features a device does fastest: gathers, and scatter-adds for gradients.

    python -m benchmarks.gather_forms
    python -m benchmarks.gather_forms --num_points=14336 --num_features=16

Each form interpolates the same points in the same planes, forward, and forward with the gradient
of the planes' texels; all give the same numbers, which is checked first. The first is what
`nerf.backends.interpolation` does; docs/speed.md says what was learnt.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks import timing
from nerf.backends.interpolation import interpolate, num_rows
from nerf.backends.planes import PLANES, PlanesConfig

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_points", 14336, "points that are looked up at once, 1,024 rays of 14")
flags.DEFINE_integer("num_features", 16, "features a texel")
flags.DEFINE_integer("rounds", 7, "how often each form is timed, in turns")

FORWARD, GRADIENT = "forward", "gradient"
Form = Callable[[jax.Array, jax.Array, Sequence[tuple[int, int]]], jax.Array]


def one_gather(rows: jax.Array, unit: jax.Array, texels: Sequence[tuple[int, int]]) -> jax.Array:
    """All corners of all planes in one gather from one table."""
    return interpolate(rows, unit, texels)


def gather_a_plane(
    rows: jax.Array, unit: jax.Array, texels: Sequence[tuple[int, int]]
) -> jax.Array:
    """One gather of four corners for each plane, from a table of its own."""
    found = [
        interpolate(plane, unit[:, i, None], [texels[i]])
        for i, plane in enumerate(_split(rows, texels))
    ]
    return jnp.concatenate(found, axis=1)


def corner_by_corner(
    rows: jax.Array, unit: jax.Array, texels: Sequence[tuple[int, int]]
) -> jax.Array:
    """Four gathers from one table, each of one corner in all planes."""
    counts = np.array(texels)
    last = jnp.array(counts, jnp.float32)[None] - 1.0
    left = jnp.clip(jnp.floor(unit * last), 0.0, last - 1.0)
    within = unit * last - left
    starts = np.cumsum(counts.prod(1)) - counts.prod(1)
    first = left[..., 0] * jnp.array(counts[None, :, 1], jnp.float32) + left[..., 1]
    first = first.astype(jnp.int32) + jnp.array(starts, jnp.int32)[None]
    total = jnp.zeros((*first.shape, rows.shape[-1]))
    for a, b in itertools.product((0, 1), repeat=2):
        share = (within if a else 1.0 - within)[..., 0] * (within if b else 1.0 - within)[..., 1]
        index = first + jnp.array(a * counts[:, 1] + b, jnp.int32)[None]
        corner = rows.at[index].get(mode="promise_in_bounds")
        total = total + share[..., None] * corner
    return total


def gather_a_corner(
    rows: jax.Array, unit: jax.Array, texels: Sequence[tuple[int, int]]
) -> jax.Array:
    """Four gathers for each plane, one a corner, indexed by row and column."""
    found = []
    for i, plane in enumerate(_split(rows, texels)):
        left, within = _cells(unit[:, i], texels[i])
        grid = plane.reshape(*texels[i], -1)
        total = jnp.zeros((len(unit), grid.shape[-1]))
        for sides in itertools.product((0, 1), repeat=2):
            share = jnp.prod(jnp.where(jnp.array([sides], bool), within, 1.0 - within), axis=-1)
            corner = grid[left[:, 0] + sides[0], left[:, 1] + sides[1]]
            total = total + share[:, None] * corner
        found.append(total)
    planes: jax.Array = jnp.stack(found, axis=1)
    return planes


def map_coordinates(
    rows: jax.Array, unit: jax.Array, texels: Sequence[tuple[int, int]]
) -> jax.Array:
    """JAX's own interpolation, a plane and a feature at a time."""
    found = []
    for i, plane in enumerate(_split(rows, texels)):
        grid = plane.reshape(*texels[i], -1)
        where = list((unit[:, i] * (jnp.array([texels[i]], jnp.float32) - 1.0)).T)

        def one(feature: jax.Array, where: list[jax.Array] = where) -> jax.Array:
            line: jax.Array = jax.scipy.ndimage.map_coordinates(
                feature, where, order=1, mode="nearest"
            )
            return line

        found.append(jax.vmap(one, in_axes=2, out_axes=1)(grid))
    return jnp.stack(found, axis=1)


def matrix_product(
    rows: jax.Array, unit: jax.Array, texels: Sequence[tuple[int, int]]
) -> jax.Array:
    """Weights of all texels along both axes, as two products: no gather at all."""
    found = []
    for i, plane in enumerate(_split(rows, texels)):
        along, across = (_hat(unit[:, i, axis], texels[i][axis]) for axis in (0, 1))
        grid = plane.reshape(*texels[i], -1)
        found.append(jnp.einsum("pa,pb,abf->pf", along, across, grid, optimize="optimal"))
    return jnp.stack(found, axis=1)


FORMS: dict[str, Form] = {
    "one gather": one_gather,
    "corner by corner": corner_by_corner,
    "a gather a plane": gather_a_plane,
    "a gather a corner": gather_a_corner,
    "map_coordinates": map_coordinates,
    "matrix product": matrix_product,
}


def _split(rows: jax.Array, texels: Sequence[tuple[int, int]]) -> list[jax.Array]:
    return list(jnp.split(rows, np.cumsum([a * b for a, b in texels])[:-1]))


def _cells(unit: jax.Array, texels: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
    """The texel before each point, and where between it and the next."""
    last = jnp.array([texels], jnp.float32) - 1.0
    left = jnp.clip(jnp.floor(unit * last), 0.0, last - 1.0)
    return left.astype(jnp.int32), unit * last - left


def _hat(unit: jax.Array, num: int) -> jax.Array:
    """`[num_points, num]`: the share of each texel at each point."""
    return jnp.maximum(1.0 - jnp.abs(unit[:, None] * (num - 1.0) - jnp.arange(num)[None]), 0.0)


def measure(num_points: int, num_features: int, rounds: int) -> dict[str, timing.Spread]:
    """Seconds of each form, forward and with gradient, by `form, what`; all in turns."""
    assert isinstance(PLANES.field, PlanesConfig)
    levels = [PLANES.field.level(number) for number in range(PLANES.field.num_levels)]
    texels = [(t[a], t[b]) for t in levels for a, b in ((0, 1), (0, 2), (1, 2))]
    keys = jax.random.split(jax.random.key(0), 2)
    rows = jax.random.normal(keys[0], (num_rows(texels), num_features))
    unit = jax.random.uniform(keys[1], (num_points, len(texels), 2))
    expected = jax.jit(lambda r, u: one_gather(r, u, texels))(rows, unit)
    contenders: dict[str, timing.Contender] = {}
    for name, form in FORMS.items():
        forward = jax.jit(functools.partial(_promoting, form, texels=texels))
        gradient = jax.jit(jax.grad(lambda r, u, f=forward: jnp.sum(jnp.square(f(r, u)))))
        np.testing.assert_allclose(forward(rows, unit), expected, atol=1e-4)
        for what, program in ((FORWARD, forward), (GRADIENT, gradient)):
            jax.block_until_ready(program(rows, unit))
            contenders[f"{name}, {what}"] = functools.partial(_repeat, program, rows, unit)
    repeats = dict.fromkeys(contenders, 1)
    readings = timing.take_turns(contenders, repeats, rounds)
    return {name: timing.spread(values) for name, values in readings.items()}


def _promoting(
    form: Form, rows: jax.Array, unit: jax.Array, *, texels: Sequence[tuple[int, int]]
) -> jax.Array:
    with jax.numpy_dtype_promotion("standard"):  # which `map_coordinates` needs
        found = form(rows, unit, texels)
    return found


def _repeat(program: Any, rows: jax.Array, unit: jax.Array, repeats: int) -> None:
    for _ in range(repeats):
        jax.block_until_ready(program(rows, unit))


def main(argv: Sequence[str]) -> None:
    """Prints a table."""
    del argv
    found = measure(FLAGS.num_points, FLAGS.num_features, FLAGS.rounds)
    best = {what: found[f"{next(iter(FORMS))}, {what}"].median for what in (FORWARD, GRADIENT)}
    print(
        f"{jax.default_backend()} ({jax.devices()[0].device_kind}), JAX {jax.__version__}; "
        f"{FLAGS.num_points:,} points, 6 planes of {FLAGS.num_features} features; medians of "
        f"{FLAGS.rounds}, and how many times that of the first"
    )
    print(f"{'form':<20}{FORWARD:>22}{GRADIENT:>22}")
    for name in FORMS:
        medians = [(what, found[f"{name}, {what}"].median) for what in best]
        cells = [f"{1e3 * m:9.2f} ms ({m / best[what]:5.1f} x)" for what, m in medians]
        print(f"{name:<20}{cells[0]:>22}{cells[1]:>22}")


if __name__ == "__main__":
    app.run(main)
