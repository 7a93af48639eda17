"""Boards, boxes, vessels and balls, made of sheets and surfaces of revolution; y is up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nerf.procedural.surfaces import Array, Material, Surface, frame, round_surface, sheet

UP = np.array([0.0, 1.0, 0.0])
LEVEL = frame([1.0, 0.0, 0.0], UP)
Point = Sequence[float] | Array


def board(
    corner: Point, along: Point, across: Point, skin: Material, texels: tuple[int, int] = (8, 8)
) -> Surface:
    """A rectangle with edges `along` (s) and `across` (t) from `corner`, facing along x across."""
    u, v = np.asarray(along, np.float64), np.asarray(across, np.float64)
    length, width = float(np.sqrt(u @ u)), float(np.sqrt(v @ v))
    axes = frame(u, np.cross(u, v))
    return sheet(np.asarray(corner) + 0.5 * v, axes, length, 0.5 * width, skin, texels=texels)


def box(
    low: Point, high: Point, skin: Material, texels: int = 4, bottom: bool = False
) -> list[Surface]:
    """The visible faces of an axis-aligned box: top, front, left, right, and optionally bottom."""
    x, y, z = low
    a, b, c = high[0] - low[0], high[1] - low[1], high[2] - low[2]
    g = (texels, texels)
    faces = [
        board((x, y + b, z + c), (a, 0, 0), (0, 0, -c), skin, g),
        board((x, y, z + c), (a, 0, 0), (0, b, 0), skin, g),
        board((x, y, z), (0, 0, c), (0, b, 0), skin, g),
        board((x + a, y, z + c), (0, 0, -c), (0, b, 0), skin, g),
    ]
    return [*faces, board((x, y, z), (a, 0, 0), (0, 0, c), skin, g)] if bottom else faces


def vessel(
    base: Point,
    height: float,
    bottom: float,
    top: float,
    skin: Material,
    *,
    belly: float = 0.0,
    texels: tuple[int, int] = (6, 10),
    two_sided: bool = False,
) -> Surface:
    """A vessel on `base`: radius `bottom` to `top`, its square greater by `belly` half-way up."""
    start, end = bottom**2, top**2
    bulge = 4.0 * belly / height**2
    profile = (start, (end - start) / height + bulge * height, -bulge)
    return round_surface(
        base, LEVEL, profile, (0.0, height), skin, texels=texels, two_sided=two_sided
    )


def ball(centre: Point, radius: float, skin: Material, texels: tuple[int, int] = (7, 8)) -> Surface:
    """A sphere."""
    profile = (radius**2, 0.0, -1.0)
    return round_surface(centre, LEVEL, profile, (-radius, radius), skin, texels=texels)


def surround(centre: Point, radius: float, skin: Material) -> Surface:
    """A sphere around the scene, so that every ray hits a surface, whatever the image's shape."""
    return ball(centre, radius, skin)._replace(casts=False)


def disc(centre: Point, radius: float, skin: Material, texels: int = 8) -> Surface:
    """A horizontal disc that faces up."""
    x, y, z = centre
    grid = (texels, texels)
    return sheet((x - radius, y, z), LEVEL, 2 * radius, radius, skin, taper=0.5, texels=grid)
