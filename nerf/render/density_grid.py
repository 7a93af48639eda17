"""A field's density on a regular grid, which tells where along a ray samples are needed."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from nerf.field import Params, RadianceField
from nerf.geometry.rays import Rays, positions
from nerf.render.images import map_microbatches
from nerf.runtime import parallel

CPU_POINTS_PER_MICROBATCH, _POINTS_PER_MICROBATCH = 1024, 65536


class DensityGrid(NamedTuple):
    """Densities at the middles of the cells of an axis-aligned box.

    Attributes:
      density: `[nx, ny, nz]`, >= 0, per unit of length of the space the field lives in.
      low, high: `[3]`, corners of the box, in that space.
    """

    density: jax.Array
    low: jax.Array
    high: jax.Array


def box_around(rays: Sequence[Rays]) -> tuple[jax.Array, jax.Array]:
    """Corners `[3]` of the smallest box that holds all rays from near to far, and a bit more."""

    def box(rays: Sequence[Rays]) -> tuple[jax.Array, jax.Array]:
        ends = [positions(some, jnp.stack([some.near, some.far], axis=-1)) for some in rays]
        points = jnp.concatenate([end.reshape(-1, 3) for end in ends])
        low, high = jnp.min(points, axis=0), jnp.max(points, axis=0)
        margin = 1e-3 * (high - low) + 1e-6
        return low - margin, high + margin

    corners: tuple[jax.Array, jax.Array] = jax.jit(box)(rays)
    return corners


def make_grid_builder(
    field: RadianceField, box: tuple[jax.Array, jax.Array], resolution: tuple[int, int, int]
) -> Callable[[Params], DensityGrid]:
    """The compiled evaluation of a field at the middle of every cell, on all devices.

    Args:
      field: whose density to evaluate; it must not depend on the viewing direction.
      box: corners `[3]` and `[3]`.
      resolution: cells along each axis.

    Returns:
      A function of the parameters of one network.
    """
    low, high = box
    chex.assert_shape([low, high], (3,))
    mesh = parallel.make_mesh(resolution[0])
    jitted = jit_grid_builder(field, resolution, mesh)
    layers = parallel.replicate(mesh, jnp.arange(resolution[0]))

    def build(params: Params) -> DensityGrid:
        density = jitted(parallel.replicate(mesh, (params, low, high)), layers)
        return parallel.replicate(mesh, DensityGrid(density, low, high))

    return build


def jit_grid_builder(
    field: RadianceField,
    resolution: tuple[int, int, int],
    mesh: Mesh,
    *,
    platform: str | None = None,
) -> Any:
    """The densities of `make_grid_builder`, for arrays that are on the devices of a mesh.

    Args:
      field, resolution: see `make_grid_builder`.
      mesh: the devices.
      platform: where the program will run; None for the platform of the mesh.

    Returns:
      A function as `jax.jit` returns it, of (parameters, low corner, high corner) and of the
      indices `[resolution[0]]` of all layers, that returns densities `resolution`.
    """
    platform = platform or parallel.platform_of(mesh)
    num_points = resolution[0] // mesh.size * resolution[1] * resolution[2]
    preferred = CPU_POINTS_PER_MICROBATCH if platform == "cpu" else _POINTS_PER_MICROBATCH
    microbatch_size = parallel.largest_divisor(num_points, preferred)

    def share(replicated: tuple[Params, jax.Array, jax.Array], layers: jax.Array) -> jax.Array:
        params, low, high = replicated
        size = jnp.array(resolution, jnp.float32)

        def evaluate(number: jax.Array) -> jax.Array:
            layer, row, column = jnp.unravel_index(number, (len(layers), *resolution[1:]))
            index = jnp.stack([layers[layer], row, column], axis=-1).astype(jnp.float32)
            points = low[None] + (index + 0.5) / size[None] * (high - low)[None]
            viewdirs = jnp.broadcast_to(jnp.array([[0.0, 0.0, -1.0]]), points.shape)
            return field.apply(params, points, viewdirs).density

        density = map_microbatches(evaluate, jnp.arange(num_points), microbatch_size)
        return density.reshape(len(layers), *resolution[1:])

    return parallel.jit_sharded(mesh, share, platform=platform)


def density_at(grid: DensityGrid, points: jax.Array) -> jax.Array:
    """Trilinear interpolation between the middles of cells; beyond them, the nearest value.

    Args:
      grid: the grid.
      points: `[..., 3]`.

    Returns:
      `[...]`.

    >>> halves = DensityGrid(jnp.array([[[1.0]], [[3.0]]]), jnp.zeros(3), jnp.ones(3))
    >>> points = jnp.array(
    ...     [[0.0, 0.5, 0.5], [0.5, 0.5, 0.5], [0.6, 0.1, 0.9], [9.0, 0.5, 0.5]]
    ... )
    >>> density_at(halves, points).round(3).tolist()
    [1.0, 2.0, 2.4, 3.0]
    """
    *batch_shape, _ = points.shape
    chex.assert_shape(points, (*batch_shape, 3))
    flat = points.reshape(-1, 3)
    resolution = jnp.array(grid.density.shape, jnp.float32)[None]
    cells = (flat - grid.low[None]) / (grid.high - grid.low)[None] * resolution - 0.5
    with jax.numpy_dtype_promotion("standard"):  # it mixes integers and floats
        density: jax.Array = jax.scipy.ndimage.map_coordinates(
            grid.density, list(cells.T), order=1, mode="nearest"
        )
    return density.reshape(batch_shape)
