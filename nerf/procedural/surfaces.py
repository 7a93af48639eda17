"""Quadric surfaces: sheets (petals, leaves, boards) and surfaces of revolution (cones, vases).

Every surface is the zero set of one quadratic form in its own frame,

    q(x, y, z) = xx x^2 + xy x y + yy y^2 + zz z^2 + z1 z + c,

cut to an outline, so one closed-form intersection serves the whole scene.
Lengths are in scene units; `axes` holds the local x, y and z axes as rows, in world coordinates.
Surface coordinates are `s` in [0, 1] (along) and `t` in [-1, 1] (across, or around).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Albedo = Callable[[Array, Array], Array]


class Material(NamedTuple):
    """How a surface reflects light; colours are linear.

    Attributes:
      albedo: rgb by surface coordinates.
      gloss, exponent: the Blinn-Phong lobe.
      sheen: strength of the environment's Fresnel reflection.
      translucency: fraction of the light on the other side that shines through.
      groove: slope at a sheet's midrib.
      emission: above 0, the surface emits this times its albedo and reflects nothing.
    """

    albedo: Albedo
    gloss: float = 0.0
    exponent: float = 30.0
    sheen: float = 0.0
    translucency: float = 0.0
    groove: float = 0.0
    emission: float = 0.0


class Surface(NamedTuple):
    """A quadric cut to an outline; see the module's docstring.

    A sheet covers low <= x <= high, |y| <= half_width (4 u (1 - u))^taper, where u = s^skew and
    s = (x - low) / (high - low). A surface of revolution covers low <= z <= high.

    `centre` and `radius` are a bounding sphere, `texels` the size of the light grid. A surface
    with `casts=False` does not block baked light.
    """

    origin: Array
    axes: Array
    quadric: tuple[float, float, float, float, float, float]
    is_sheet: bool
    low: float
    high: float
    half_width: float
    skew: float
    taper: float
    material: Material
    texels: tuple[int, int] = (8, 8)
    two_sided: bool = False
    casts: bool = True
    centre: Array = np.zeros(3)
    radius: float = 0.0


def unit(vector: Sequence[float] | Array) -> Array:
    """The vectors `[..., 3]`, normalised."""
    v = np.asarray(vector, np.float64)
    return np.asarray(v / np.sqrt(np.sum(v * v, axis=-1, keepdims=True)))


def frame(x_axis: Sequence[float] | Array, z_hint: Sequence[float] | Array) -> Array:
    """A right-handed frame `[3, 3]` of rows x, y, z: x as given, z near to `z_hint`."""
    x = unit(x_axis)
    y = unit(np.cross(np.asarray(z_hint, np.float64), x))
    return np.stack([x, y, np.cross(x, y)])


def outline(surface: Surface, x: Array) -> Array:
    """Half-width `[...]` of a sheet at local coordinate `x` `[...]`."""
    if surface.taper == 0.0:
        return np.full_like(x, surface.half_width)
    along = np.clip((x - surface.low) / (surface.high - surface.low), 0.0, 1.0) ** surface.skew
    return np.asarray(surface.half_width * (4.0 * along * (1.0 - along)) ** surface.taper)


def points(surface: Surface, s: Array, t: Array) -> Array:
    """World points `[..., 3]` of the surface coordinates `s`, `t` `[...]`."""
    xx, xy, yy, zz, z1, c = surface.quadric
    along = surface.low + s * (surface.high - surface.low)
    if surface.is_sheet:
        y = t * outline(surface, along)
        local = np.stack([along, y, xx * along**2 + xy * along * y + yy * y**2], axis=-1)
    else:
        ring = np.sqrt(np.maximum(-(zz * along**2 + z1 * along + c), 0.0))
        local = np.stack([ring * np.cos(np.pi * t), ring * np.sin(np.pi * t), along], axis=-1)
    return surface.origin + local @ surface.axes


def sheet(
    origin: Sequence[float] | Array,
    axes: Array,
    length: float,
    half_width: float,
    material: Material,
    *,
    bend: tuple[float, float, float] = (0.0, 0.0, 0.0),
    skew: float = 1.0,
    taper: float = 0.0,
    texels: tuple[int, int] = (8, 8),
    two_sided: bool = False,
    casts: bool = True,
) -> Surface:
    """The sheet z = bend . (x^2, x y, y^2) over 0 <= x <= length, |y| <= outline(x)."""
    made = Surface(
        origin=np.asarray(origin, np.float64),
        axes=axes,
        quadric=(*bend, 0.0, -1.0, 0.0),
        is_sheet=True,
        low=0.0,
        high=length,
        half_width=half_width,
        skew=skew,
        taper=taper,
        material=material,
        texels=texels,
        two_sided=two_sided,
        casts=casts,
    )
    return _bounded(made)


def round_surface(
    origin: Sequence[float] | Array,
    axes: Array,
    profile: tuple[float, float, float],
    span: tuple[float, float],
    material: Material,
    *,
    texels: tuple[int, int] = (6, 8),
    two_sided: bool = False,
    casts: bool = True,
) -> Surface:
    """The surface of revolution x^2 + y^2 = profile . (1, z, z^2) over span[0] <= z <= span[1]."""
    quadric = (1.0, 0.0, 1.0, -profile[2], -profile[1], -profile[0])
    made = Surface(
        origin=np.asarray(origin, np.float64),
        axes=axes,
        quadric=quadric,
        is_sheet=False,
        low=span[0],
        high=span[1],
        half_width=0.0,
        skew=1.0,
        taper=0.0,
        material=material,
        texels=texels,
        two_sided=two_sided,
        casts=casts,
    )
    return _bounded(made)


def _bounded(surface: Surface) -> Surface:
    """The surface with its bounding sphere: that of a grid of its points, plus a margin."""
    s, t = np.meshgrid(np.linspace(0, 1, 17), np.linspace(-1, 1, 17), indexing="ij")
    cloud = points(surface, s, t).reshape(-1, 3)
    centre = 0.5 * (cloud.min(axis=0) + cloud.max(axis=0))
    radius = float(np.sqrt(np.max(np.sum((cloud - centre) ** 2, axis=-1))))
    return surface._replace(centre=centre, radius=1.03 * radius + 1e-4)


def _rotate(axes: Array, vectors: Array) -> tuple[Array, Array, Array]:
    """The components, each `[...]`, of world vectors `[..., 3]` along `axes`."""
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    first, second, third = (a[0] * x + a[1] * y + a[2] * z for a in axes)
    return first, second, third


def _form(surface: Surface, x: Array, y: Array, z: Array) -> Array:
    """q at local coordinates, each `[...]`."""
    xx, xy, yy, zz, z1, c = surface.quadric
    return np.asarray(xx * x * x + xy * x * y + yy * y * y + zz * z * z + z1 * z + c)


def _within(surface: Surface, x: Array, y: Array) -> NDArray[np.bool_]:
    """Whether the local x, y `[...]` are inside a sheet's outline."""
    within: NDArray[np.bool_] = (x >= surface.low) & (x <= surface.high)
    within &= np.abs(y) <= surface.half_width
    if surface.taper:
        rest = np.flatnonzero(within)
        within[rest] = np.abs(y[rest]) <= outline(surface, x[rest])
    return within


def distance(surface: Surface, at: Array) -> Array:
    """First-order distance `[N]` of points `[N, 3]` from the uncut surface: |q| / |grad q|."""
    xx, xy, yy, zz, z1, _ = surface.quadric
    x, y, z = _rotate(surface.axes, at - surface.origin)
    slope = np.stack([2 * xx * x + xy * y, 2 * yy * y + xy * x, 2 * zz * z + z1], axis=-1)
    return np.asarray(np.abs(_form(surface, x, y, z)) / np.sqrt(np.sum(slope * slope, axis=-1)))


def intersect(surface: Surface, origins: Array, directions: Array, nearest: float) -> Array:
    """The smallest t > `nearest` `[N]` where the rays `[N, 3]` hit the surface, or inf."""
    xx, xy, yy, zz, z1, _ = surface.quadric
    ox, oy, oz = o = _rotate(surface.axes, origins - surface.origin)
    dx, dy, dz = _rotate(surface.axes, directions)
    if not any((xx, xy, yy, zz)):
        with np.errstate(divide="ignore", invalid="ignore"):
            t = -oz / dz
            hit = (t > nearest) & np.isfinite(t)
            hit &= _within(surface, ox + t * dx, oy + t * dy)
        return np.where(hit, t, np.inf)
    a = xx * dx * dx + xy * dx * dy + yy * dy * dy + zz * dz * dz
    b = 2 * (xx * ox * dx + yy * oy * dy + zz * oz * dz) + xy * (ox * dy + oy * dx) + z1 * dz
    c = _form(surface, *o)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        half = -0.5 * (b + np.copysign(np.sqrt(b * b - 4 * a * c), b))
        best = np.full(len(dx), np.inf)
        for t in (c / half, half / a):
            hit = (t > nearest) & (t < best)
            if surface.is_sheet:
                hit &= _within(surface, ox + t * dx, oy + t * dy)
            else:
                z = oz + t * dz
                hit &= (z >= surface.low) & (z <= surface.high)
            best = np.where(hit, t, best)
    return best


def surface_coordinates(surface: Surface, at: Array) -> tuple[Array, Array, Array]:
    """s, t `[N]` and the unit normal `[N, 3]` (to the +z side, or outwards) at points `[N, 3]`."""
    xx, xy, yy, zz, z1, _ = surface.quadric
    x, y, z = _rotate(surface.axes, at - surface.origin)
    gradient = np.stack([2 * xx * x + xy * y, 2 * yy * y + xy * x, 2 * zz * z + z1], axis=-1)
    along = x if surface.is_sheet else z
    s = np.clip((along - surface.low) / (surface.high - surface.low), 0.0, 1.0)
    if surface.is_sheet:
        gradient = -gradient
        t = y / np.maximum(outline(surface, x), 1e-9)
        gradient[:, 1] += surface.material.groove * 6.0 * t * np.exp(-9.0 * t * t)
    else:
        t = np.arctan2(y, x) / np.pi
    world = sum(gradient[:, k, None] * surface.axes[k] for k in range(3))
    return s, np.clip(t, -1.0, 1.0), unit(np.asarray(world))
