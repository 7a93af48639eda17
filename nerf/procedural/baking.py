"""Baked light: ambient light and shadows, computed once on a grid of each surface.

They do not depend on the view.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nerf.procedural.surfaces import Array, Surface, points, surface_coordinates, unit
from nerf.procedural.tracing import first_hit

_OVERSAMPLE = 4
_LIFT = 2e-3


class Lamp(NamedTuple):
    """A small light, Lambertian about `normal`, or equal in all directions where that is zero."""

    position: tuple[float, float, float]
    normal: tuple[float, float, float]
    colour: tuple[float, float, float]


class ProceduralWorld(NamedTuple):
    """A scene before its light is baked; colours are linear.

    Attributes:
      surfaces: all surfaces.
      key_direction, key_colour, key_spread: the main light, a distant disc, and its radius.
      environment: rgb of the light from directions `[..., 3]`.
      reach: obstacles farther away than this do not darken ambient light.
      bounce: the fraction of ambient light that an obstacle reflects.
      exposure: factor before tone mapping.
      lamps: further lights.
      num_directions: samples of the ambient light.
    """

    surfaces: tuple[Surface, ...]
    key_direction: tuple[float, float, float]
    key_colour: tuple[float, float, float]
    key_spread: float
    environment: Callable[[Array], Array]
    reach: float
    bounce: float
    exposure: float
    lamps: tuple[Lamp, ...] = ()
    num_directions: int = 64


def sphere_directions(count: int) -> Array:
    """`[count, 3]` unit vectors spread evenly over the sphere (a Fibonacci lattice)."""
    k = np.arange(count) + 0.5
    y = 1.0 - 2.0 * k / count
    angle = np.pi * (1.0 + np.sqrt(5.0)) * k
    ring = np.sqrt(1.0 - y * y)
    return np.stack([ring * np.cos(angle), y, ring * np.sin(angle)], axis=-1)


def key_directions(world: ProceduralWorld, count: int = 6) -> Array:
    """`[count, 3]` unit vectors towards points of the key light's disc."""
    main = unit(world.key_direction)
    side = unit(np.cross(main, (0.3, 0.9, -0.2)))
    k = np.arange(count)
    ring = world.key_spread * np.sqrt((k + 0.5) / count)
    angle = 2.399963 * k
    other = np.cross(main, side)
    offset = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * other
    return unit(main + ring[:, None] * offset)


def mean_albedo(surface: Surface) -> Array:
    """The average colour `[3]` of a surface."""
    s, t = np.meshgrid(np.linspace(0.05, 0.95, 8), np.linspace(-0.9, 0.9, 8), indexing="ij")
    return np.asarray(surface.material.albedo(s.ravel(), t.ravel()).mean(axis=0))


def bake(world: ProceduralWorld) -> tuple[Array, ...]:
    """A grid for each surface, `[sides, S, T, 4]`: ambient rgb and visibility of the key light."""
    casters = tuple(s for s in world.surfaces if s.casts)
    lit = [s for s in world.surfaces if s.material.emission == 0.0]
    sides = [_texels(s, sign) for s in lit for sign in (1.0, -1.0)[: 1 + s.two_sided]]
    normal = np.concatenate([n for _, n in sides])
    at = np.concatenate([p for p, _ in sides]) + _LIFT * normal
    light = _gather(world, casters, at, normal) + _lamplight(world, casters, at, normal)
    key = _visibility(casters, at, normal, key_directions(world))
    texels = iter(np.concatenate([light, key[:, None]], axis=-1))
    grids = []
    for surface in world.surfaces:
        if surface.material.emission > 0.0:
            grids.append(np.ones((1, 2, 2, 4)))
            continue
        shape = (1 + surface.two_sided, *surface.texels, 4)
        flat = np.array(list(islice(texels, shape[0] * shape[1] * shape[2]))).reshape(shape)
        grids.append(np.stack([_smooth(side, not surface.is_sheet) for side in flat]))
    return tuple(grids)


def _texels(surface: Surface, sign: float) -> tuple[Array, Array]:
    """Points and unit normals `[S T, 3]` of one side's light grid."""
    num_s, num_t = surface.texels
    s = np.linspace(0.004, 0.996, num_s)
    ends = np.linspace(-0.992, 0.992, num_t)
    around = np.linspace(-1.0, 1.0, num_t + 1)[:-1]
    t = ends if surface.is_sheet else around
    grid_s, grid_t = (g.ravel() for g in np.meshgrid(s, t, indexing="ij"))
    at = points(surface, grid_s, grid_t)
    return at, sign * surface_coordinates(surface, at)[2]


def _glows(casters: tuple[Surface, ...]) -> NDArray[np.bool_]:
    """`[P + 1]`: whether a surface lets light pass; the last entry stands for no surface."""
    return np.array([s.material.emission > 0.0 for s in casters] + [True])


def _gather(
    world: ProceduralWorld, casters: tuple[Surface, ...], at: Array, normal: Array
) -> Array:
    """Ambient light `[N, 3]`: the environment where nothing is in the way, else the obstacle."""
    directions = sphere_directions(world.num_directions)
    cosine = normal @ directions.T
    point, direction = np.nonzero(cosine > 1e-3)
    weight = cosine[point, direction]
    t, which = first_hit(casters, at[point], directions[direction])
    sky = world.environment(directions)
    far = np.clip(t / world.reach, 0.0, 1.0) ** 2
    far = np.where(_glows(casters)[which], 1.0, far)[:, None]
    colours = np.stack([mean_albedo(s) for s in casters])
    near = world.bounce * colours[which] * sky.mean(axis=0)
    light = weight[:, None] * (far * sky[direction] + (1.0 - far) * near)
    total = [np.bincount(point, light[:, channel], len(at)) for channel in range(3)]
    norm = np.maximum(np.bincount(point, weight, len(at)), 1e-9)
    return np.stack(total, axis=-1) / norm[:, None]


def _visibility(casters: tuple[Surface, ...], at: Array, normal: Array, directions: Array) -> Array:
    """The fraction `[N]` of the directions along which there is no obstacle."""
    point, direction = np.nonzero(normal @ directions.T > 0.0)
    _, which = first_hit(casters, at[point], directions[direction])
    free = _glows(casters)[which].astype(np.float64)
    return np.bincount(point, free, len(at)) / len(directions)


def _lamplight(
    world: ProceduralWorld, casters: tuple[Surface, ...], at: Array, normal: Array
) -> Array:
    """Light `[N, 3]` from the lamps that are visible from each point."""
    total = np.zeros((len(at), 3))
    for lamp in world.lamps:
        way = np.asarray(lamp.position) - at
        square = np.sum(way * way, axis=-1)
        to_lamp = way / np.sqrt(square)[:, None]
        cosine = np.maximum(np.sum(normal * to_lamp, axis=-1), 0.0)
        if any(lamp.normal):
            cosine = cosine * np.maximum(-to_lamp @ np.asarray(lamp.normal), 0.0)
        visible = np.flatnonzero(cosine > 0.0)
        t, which = first_hit(casters, at[visible], way[visible])
        free = (t > 0.999) | _glows(casters)[which]
        strength = np.where(free, cosine[visible] / (square[visible] + 0.02), 0.0)
        total[visible] += strength[:, None] * np.asarray(lamp.colour)
    return total


def _smooth(grid: Array, wrap: bool) -> Array:
    """The grid `[S, T, 4]` as a cubic B-spline, sampled finely enough for bilinear look-up."""
    across = _spline(grid.shape[1], wrap)
    return np.asarray(np.einsum("as,stc,bt->abc", _spline(grid.shape[0], False), grid, across))


def _spline(count: int, wrap: bool) -> Array:
    """B-spline weights `[num_fine, count]` at finer nodes; with `wrap`, the two ends coincide."""
    x = np.linspace(0.0, count - 1.0, _OVERSAMPLE * (count - 1) + 1)
    weights = np.zeros((len(x), count))
    for shift in range(-1, 3):
        node = np.floor(x) + shift
        d = np.abs(x - node)
        w = np.where(d < 1, 2 / 3 - d**2 + d**3 / 2, np.where(d < 2, (2 - d) ** 3 / 6, 0.0))
        node = node % (count - 1) if wrap else np.clip(node, 0, count - 1)
        np.add.at(weights, (np.arange(len(x)), node.astype(int)), w)
    return weights


def look_up(grid: Array, s: Array, t: Array) -> Array:
    """Bilinear values `[N, 4]` of a grid `[S, T, 4]` at s in [0, 1], t in [-1, 1]."""
    num_s, num_t = grid.shape[:2]
    x, y = s * (num_s - 1), 0.5 * (t + 1.0) * (num_t - 1)
    i = np.minimum(x.astype(np.int64), num_s - 2)
    j = np.minimum(y.astype(np.int64), num_t - 2)
    u, v = (x - i)[:, None], (y - j)[:, None]
    flat, at = grid.reshape(-1, grid.shape[-1]), i * num_t + j
    top = (1 - v) * flat[at] + v * flat[at + 1]
    bottom = (1 - v) * flat[at + num_t] + v * flat[at + num_t + 1]
    return np.asarray((1 - u) * top + u * bottom)
