"""The least time that a step of the field `planes` can take: three parts, each measured alone.

    rows      every row that the field's look-ups read is fetched once, and something is added to it
    layers    the products of the field's layers, forward and for both gradients
    tables    parameters, gradient and both moments of Adam are read, and all but the gradient
              written, once

Each part runs on all devices at once, with the share of the rays that each has in a step and in
the same microbatches. What else a step does (rays, samples, encodings, activations, compositing,
the proposal) is left out, and nothing overlaps, so the sum is a yardstick, not a bound.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from benchmarks import timing
from nerf.backends.interpolation import corners, num_rows
from nerf.backends.planes import PlanesConfig, plane_texels
from nerf.config.settings import FINE, PROPOSAL, Config
from nerf.field import Params, RadianceField
from nerf.runtime import parallel

PARTS = ("rows", "layers", "tables")
_AXES = ((0, 1), (0, 2), (1, 2))  # of the planes of a level


def make_parts(
    field: RadianceField, params: Params, config: Config, rays_per_microbatch: int, seed: int
) -> dict[str, timing.Contender]:
    """The parts of the floor as programs to time; none for a field without a table.

    Args:
      field: the field.
      params: of all networks.
      config: samples, rays of a step, planes.
      rays_per_microbatch: of one device.
      seed: of the rays.
    """
    proposes = config.render.networks == PROPOSAL
    if field.table is None or not isinstance(config.field, PlanesConfig) or not proposes:
        return {}
    mesh = parallel.make_mesh(config.train.num_rays)
    num_microbatches = config.train.num_rays // mesh.size // rays_per_microbatch
    num_points = rays_per_microbatch * config.render.num_fine
    table = field.table.find(params[FINE])
    matrices = [
        leaf for leaf in jax.tree.leaves(params[FINE]) if np.ndim(leaf) == 2 and leaf is not table
    ]
    index = _rows_read(config, num_microbatches, rays_per_microbatch, seed)
    return {
        "rows": _rows(mesh, table, index),
        "layers": _layers(mesh, matrices, num_microbatches, num_points),
        "tables": _tables(mesh, table),
    }


def _rows_read(
    config: Config, num_microbatches: int, rays_per_microbatch: int, seed: int
) -> jax.Array:
    """Rows that lines across the box read, `[num_microbatches, tables, corners, points]`."""
    assert isinstance(config.field, PlanesConfig)
    texels, num_samples = plane_texels(config.field), config.render.num_fine
    rng = np.random.default_rng(seed)
    ends = rng.uniform(size=(2, num_microbatches, rays_per_microbatch, 1, 3))
    along = np.linspace(0.0, 1.0, num_samples).reshape(1, 1, -1, 1)
    points = (ends[0] + along * (ends[1] - ends[0])).reshape(num_microbatches, -1, 3)
    axes = np.array(_AXES * (len(texels) // len(_AXES)))
    unit = jnp.asarray(np.moveaxis(points[:, :, axes], 1, -1), jnp.float32)
    index: jax.Array = jax.jit(jax.vmap(lambda unit: corners(unit, texels)[0]))(unit)
    return index


def _rows(mesh: Mesh, table: jax.Array, index: jax.Array) -> timing.Contender:
    def on_one(replicated: tuple[jax.Array, jax.Array], _: jax.Array) -> jax.Array:
        rows, index = replicated

        def add(number: jax.Array, total: jax.Array) -> jax.Array:
            of_microbatch = index[number].reshape(-1)
            found = rows.at[of_microbatch].get(mode="promise_in_bounds")
            found = jax.lax.optimization_barrier(found)
            return total.at[of_microbatch].add(found, mode="promise_in_bounds")

        total: jax.Array = jax.lax.fori_loop(0, len(index), add, jnp.zeros_like(rows))
        return total[:1]

    return _on_all(mesh, on_one, (table, index))


def _layers(
    mesh: Mesh, matrices: list[jax.Array], num_microbatches: int, num_points: int
) -> timing.Contender:
    keys = jax.random.split(jax.random.key(0), len(matrices))
    inputs = [
        jax.random.normal(key, (num_points, len(matrix)))
        for key, matrix in zip(keys, matrices, strict=True)
    ]

    def on_one(replicated: tuple[list[jax.Array], list[jax.Array]], _: jax.Array) -> jax.Array:
        matrices, inputs = replicated

        def add(number: jax.Array, totals: list[jax.Array]) -> list[jax.Array]:
            scale = 1.0 + 1e-6 * number.astype(jnp.float32)  # so that no iteration is the same
            new = []
            for matrix, these, total in zip(matrices, inputs, totals, strict=True):
                outputs = (these * scale) @ matrix
                backward = outputs @ matrix.T
                new.append(total + these.T @ outputs + 1e-9 * jnp.sum(backward))
            return new

        totals = jax.lax.fori_loop(
            0, num_microbatches, add, [jnp.zeros_like(matrix) for matrix in matrices]
        )
        return jnp.stack([jnp.sum(total) for total in totals])

    return _on_all(mesh, on_one, (matrices, inputs))


def _tables(mesh: Mesh, table: jax.Array) -> timing.Contender:
    count = num_rows([table.shape])
    arrays = [jnp.full(count - count % mesh.size, 0.5 + 0.1 * i) for i in range(4)]
    shardings = parallel.row_shardings(mesh, arrays)

    def update(arrays: list[jax.Array]) -> list[jax.Array]:
        rows, first, second, gradient = arrays
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * jnp.square(gradient)
        return [rows - 1e-3 * first * jax.lax.rsqrt(second + 1e-8), first, second]

    jitted = jax.jit(
        update,
        in_shardings=(shardings,),
        out_shardings=shardings[:3],
        compiler_options=parallel.compiler_options(parallel.platform_of(mesh)),
    )
    placed = jax.device_put(arrays, shardings)

    def run(repeats: int) -> None:
        for _ in range(repeats):
            jax.block_until_ready(jitted(placed))

    return run


def _on_all(mesh: Mesh, on_one: Any, replicated: Any) -> timing.Contender:
    """Runs a function of what every device has a copy of, on all devices at once."""
    jitted = parallel.jit_sharded(mesh, on_one, platform=parallel.platform_of(mesh))
    placed = parallel.replicate(mesh, replicated)
    devices = jnp.arange(mesh.size)

    def run(repeats: int) -> None:
        for _ in range(repeats):
            jax.block_until_ready(jitted(placed, devices))

    return run
