"""Which way of looking up features in planes is fastest on a device.

    python -m benchmarks.gather_forms
    python -m benchmarks.gather_forms --num_points=2000 --num_features=16

Each form interpolates the same planes at the same points, once forward (gathers) and once with the
gradient with respect to the texels (scatter-adds). All forms must give the same numbers; that is
checked first. The first form is the one of `nerf.backends.interpolation`; docs/speed.md explains
the results.
"""

import functools
import itertools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from benchmarks import command_line, compare, report, timing
from nerf.backends.interpolation import interpolate, num_rows
from nerf.backends.planes import PLANES, PlanesConfig

BENCHMARK = command_line.Benchmark(
    "gather_forms", "cases", report.gather_forms, compare.forms, file_prefix="gather-forms-"
)

FLAGS = command_line.new_flags(chart=False)
command_line.define_readings(FLAGS, 7, old_name="rounds")
flags.DEFINE_integer(
    "num_points",
    14336,
    "points that are looked up at once; by default 1,024 rays of 14",
    lower_bound=1,
    upper_bound=2**24,
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "num_features",
    16,
    "features of a texel",
    lower_bound=1,
    upper_bound=4096,
    flag_values=FLAGS,
)

FORWARD, GRADIENT = "forward", "gradient"
Form = Callable[[jax.Array, jax.Array, Sequence[tuple[int, int]]], jax.Array]


def one_gather(rows: jax.Array, unit: jax.Array, texels: Sequence[tuple[int, int]]) -> jax.Array:
    """All corners of all planes in one gather from one table."""
    found = interpolate(rows, jnp.moveaxis(unit, 0, -1), texels)
    return found.reshape(len(unit), len(texels), -1)


def gather_a_plane(
    rows: jax.Array, unit: jax.Array, texels: Sequence[tuple[int, int]]
) -> jax.Array:
    """One gather of four corners for each plane, each from a separate table."""
    found = [
        interpolate(plane, unit[:, i].T[None], [texels[i]])
        for i, plane in enumerate(_split(rows, texels))
    ]
    return jnp.stack(found, axis=1)


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


def measure(num_points: int, num_features: int, num_readings: int) -> dict[str, Any]:
    """Times all forms in turn, forward and with gradient.

    Args:
      num_points: points that are looked up at once.
      num_features: features of a texel.
      num_readings: how often each form is timed.
    """
    assert isinstance(PLANES.field, PlanesConfig)
    levels = [PLANES.field.level(number) for number in range(PLANES.field.num_levels)]
    texels = [(t[a], t[b]) for t in levels for a, b in ((0, 1), (0, 2), (1, 2))]
    keys = jax.random.split(jax.random.key(0), 2)
    rows = jax.random.normal(keys[0], (num_rows(texels), num_features))
    unit = jax.random.uniform(keys[1], (num_points, len(texels), 2))
    contenders = _contenders(rows, unit, texels)
    readings = timing.take_turns(contenders, dict.fromkeys(contenders, 1), num_readings)
    return {
        "num_points": num_points,
        "num_planes": len(texels),
        "num_features": num_features,
        "forms": {
            name: {
                what: timing.spread(readings[f"{name}, {what}"])._asdict()
                for what in (FORWARD, GRADIENT)
            }
            for name in FORMS
        },
    }


def _contenders(
    rows: jax.Array, unit: jax.Array, texels: Sequence[tuple[int, int]]
) -> dict[str, timing.Contender]:
    """Every form, compiled and checked, by `form, what`."""
    expected = jax.jit(lambda r, u: one_gather(r, u, texels))(rows, unit)
    contenders: dict[str, timing.Contender] = {}
    for name, form in FORMS.items():
        forward = jax.jit(functools.partial(_promoting, form, texels=texels))
        gradient = jax.jit(jax.grad(lambda r, u, f=forward: jnp.sum(jnp.square(f(r, u)))))
        np.testing.assert_allclose(forward(rows, unit), expected, atol=1e-4)
        for what, program in ((FORWARD, forward), (GRADIENT, gradient)):
            jax.block_until_ready(program(rows, unit))
            contenders[f"{name}, {what}"] = functools.partial(_repeat, program, rows, unit)
    return contenders


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
    """Measures what the flags ask for."""

    def prepare() -> tuple[dict[str, Any], Callable[[], command_line.Measurements]]:
        names = ("num_points", "num_features", "readings")
        settings = {name: FLAGS[name].value for name in names}
        return settings, lambda: [measure(FLAGS.num_points, FLAGS.num_features, FLAGS.readings)]

    command_line.main(argv, FLAGS, __doc__ or "", BENCHMARK, prepare)


if __name__ == "__main__":
    main(sys.argv)
