"""A grid of densities as a proposal, for any field of any backend: it has no layers.

Source: the proposal of Barron et al. 2022 (mip-NeRF 360), section 3, with a grid instead of an MLP.
"""

import dataclasses
import functools
from typing import Any, Literal, Protocol, TypeVar

import chex
import jax
import jax.numpy as jnp

from nerf.backends.grid_interpolation import interpolate_grid
from nerf.backends.interpolation import num_rows
from nerf.config.settings import Counts, Dataclass, GridConfig, RenderConfig, Vector
from nerf.field import Params, Proposal, SceneFacts
from nerf.geometry.occupancy import Occupancy, combine_pairs

_MAX_LOG_DENSITY = 11.0  # e^11 over the size of the box is a wall
# At a corner of a cell that is known to be empty. Between it and another corner, density and its
# gradient fall to nothing within a hundredth of a cell, so training leaves it far below zero.
_KNOWN_EMPTY = -1e4
_RESOLUTION_FOR_360 = (40, 40, 40)  # where no axis is that of depth

SAMPLING = RenderConfig(
    networks="proposal",
    coarse_t="bins",
    fine_t="intervals",
    fine_weight_floor=3e-3,
    fine_gradient=False,
    last_interval=0.0,
    viewdir_space="world",
    num_coarse=32,
    num_fine=14,
)  # of the presets that use this proposal


class Boxed(Dataclass, Protocol):
    """Settings that span a box, see `GridConfig`."""

    @property
    def low(self) -> Vector: ...

    @property
    def high(self) -> Vector: ...

    @property
    def outside(self) -> Literal["border", "empty"]: ...

    @property
    def resolution(self) -> Counts: ...


B = TypeVar("B", bound=Boxed)


def fit(settings: B, facts: SceneFacts) -> B:
    """Settings of a box for a scene: its corners, and for a 360 capture equal axes.

    Args:
      settings: what spans a box.
      facts: of the scene; without a box, the settings stay as they are.
    """
    if facts.box is None:
        return settings
    low, high = facts.box
    changes: dict[str, Any] = {"low": low, "high": high}
    if facts.is_360:
        changes["outside"] = "empty" if facts.is_bounded else "border"
        changes["resolution"] = _RESOLUTION_FOR_360
    return dataclasses.replace(settings, **changes)


def make(config: GridConfig) -> Proposal:
    """A proposal with the parameters `{"grid": {"log_density": [num_rows, 1]}}`.

    Where nothing is outside the box, it stores which of the cells between its texels are empty:
    those with a corner of the log density `_KNOWN_EMPTY`, which `carve` writes.
    """

    def init(key: jax.Array, /) -> Params:
        return {"grid": {"log_density": jnp.zeros((num_rows([config.resolution]), 1))}}

    def density(params: Params, points: jax.Array, /) -> jax.Array:
        unit = to_unit_cube(points, config).reshape(-1, 3).T
        found = interpolate_grid(params["grid"]["log_density"][:, 0], unit, config.resolution)
        found = found.reshape(points.shape[:-1])
        return jnp.where(is_in_domain(points, config), density_from_log(found, config), 0.0)

    def rates(params: Params, /) -> Params:
        return jax.tree.map(lambda _: config.lr_factor, params)

    if config.outside == "border":
        return Proposal(init, density, rates)
    return Proposal(
        init,
        density,
        rates,
        functools.partial(_occupancy, config=config),
        functools.partial(_carve, config=config),
    )


def _occupancy(params: Params, /, *, config: GridConfig) -> Occupancy:
    """The cells without a corner that is known to be empty, `resolution - 1` along each axis."""
    corners = params["grid"]["log_density"].reshape(config.resolution) > 0.5 * _KNOWN_EMPTY
    cells = combine_pairs(corners, jnp.logical_and)
    return Occupancy(cells, jnp.array(config.low), jnp.array(config.high))


def _carve(params: Params, occupied: jax.Array, /, *, config: GridConfig) -> Params:
    """Marks the corners whose cells are all empty; resets other corners that were marked."""
    chex.assert_shape(occupied, tuple(count - 1 for count in config.resolution))
    is_corner = combine_pairs(jnp.pad(occupied, ((1, 1),) * 3), jnp.logical_or)
    log_density = params["grid"]["log_density"]
    unmarked = jnp.where(log_density > 0.5 * _KNOWN_EMPTY, log_density, 0.0)
    carved = jnp.where(is_corner.reshape(-1, 1), unmarked, _KNOWN_EMPTY)
    return {"grid": {"log_density": carved}}


def is_in_domain(points: jax.Array, box: Boxed) -> jax.Array:
    """Whether a point can have a density: inside the box, or anywhere if its border extends.

    Args:
      points: `[..., 3]`.
      box: the box, and what is outside.

    Returns:
      `[...]`, bool.
    """
    if box.outside == "border":
        return jnp.ones(points.shape[:-1], bool)
    low, high = _corners(points, box)
    return jnp.all((points >= low) & (points <= high), axis=-1)


def to_unit_cube(points: jax.Array, box: Boxed) -> jax.Array:
    """The position of points in the box; those outside move to the nearest point of its border.

        (points - low) / (high - low), clipped

    Args:
      points: `[..., 3]`.
      box: the box.

    Returns:
      `[..., 3]`, in [0, 1].

    >>> to_unit_cube(
    ...     jnp.array([0.0, 9.0, -9.0]), GridConfig(high=(3.0, 1.0, 1.0))
    ... ).tolist()
    [0.25, 1.0, 0.0]
    """
    low, high = _corners(points, box)
    return jnp.clip((points - low) / (high - low), 0.0, 1.0)


def density_from_log(log_density: jax.Array, box: Boxed) -> jax.Array:
    """Density per unit of length, from its logarithm in units of one over the size of the box.

        density = exp(log_density) / size,   size = mean(high - low)

    Args:
      log_density: `[...]`, of any float type; 0 gives the box an optical depth of about one.
      box: the box.

    Returns:
      `[...]`, float32, >= 0.
    """
    size = sum(high - low for low, high in zip(box.low, box.high, strict=True)) / 3.0
    return jnp.exp(jnp.minimum(log_density.astype(jnp.float32), _MAX_LOG_DENSITY)) / size


def _corners(points: jax.Array, box: Boxed) -> tuple[jax.Array, jax.Array]:
    """The corners `low` and `high`, with leading axes so that they broadcast against points."""
    chex.assert_axis_dimension(points, -1, 3)
    shape = (1,) * (points.ndim - 1) + (3,)
    return jnp.array(box.low).reshape(shape), jnp.array(box.high).reshape(shape)
