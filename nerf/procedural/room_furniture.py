"""Furniture of the room: desk, chair, low table, plants."""

from __future__ import annotations

import numpy as np

from nerf.procedural.shapes import LEVEL, UP, Point, ball, box, disc, vessel
from nerf.procedural.surfaces import Array, Material, Surface, frame, round_surface, sheet
from nerf.procedural.textures import houseplant, landscape, mix, plain, wood

PAINT = Material(plain(0.80, 0.78, 0.73), 0.10, 30.0)
OAK = Material(wood((0.36, 0.19, 0.08), (0.52, 0.30, 0.14), 7.0), 0.30, 40.0, 0.8)
WALNUT = Material(wood((0.15, 0.07, 0.035), (0.25, 0.125, 0.06), 6.0), 0.30, 40.0, 0.8)
_BRASS = Material(plain(0.50, 0.34, 0.12), 0.6, 40.0, 1.0)
_SOIL = Material(plain(0.06, 0.04, 0.03))

# Thickness, height, colour.
_BOOKS = (
    (0.07, 0.34, (0.50, 0.10, 0.08)),
    (0.09, 0.30, (0.10, 0.22, 0.38)),
    (0.06, 0.36, (0.62, 0.42, 0.10)),
    (0.10, 0.31, (0.14, 0.30, 0.18)),
    (0.07, 0.28, (0.55, 0.50, 0.42)),
)
# Position in the bowl (x, z), colour.
_FRUIT = (
    (-0.075, 0.02, (0.80, 0.32, 0.03)),
    (0.07, -0.04, (0.62, 0.05, 0.04)),
    (0.02, 0.085, (0.42, 0.52, 0.06)),
    (0.0, -0.09, (0.85, 0.62, 0.06)),
)


def _lampshade(s: Array, t: Array) -> Array:
    return mix((1.0, 0.72, 0.38), (1.0, 0.86, 0.60), 1 - s)


def desk(floor: float) -> list[Surface]:
    """A desk at the back wall with a drawer, a lamp, books and a mug."""
    x0, x1, top, z0, z1 = -0.35, 1.35, -0.45, -4.95, -4.2
    made = box((x0, top - 0.06, z0), (x1, top, z1), OAK, 12, bottom=True)
    for x in (x0 + 0.04, x1 - 0.12):
        made += box((x, floor, z1 - 0.12), (x + 0.08, top - 0.06, z1 - 0.04), OAK)
    drawer = (x1 - 0.56, top - 0.46, z0 + 0.05), (x1 - 0.12, top - 0.06, z1 - 0.05)
    made += box(*drawer, OAK, 6, bottom=True)
    made.append(ball((x1 - 0.34, top - 0.26, z1 - 0.03), 0.035, PAINT))
    x = 0.18
    for thick, tall, colour in _BOOKS:
        skin = Material(plain(*colour), 0.12, 20.0)
        made += box((x, top, -4.85), (x + thick - 0.006, top + tall, -4.6), skin, 5)
        x += thick
    made += box(
        (0.95, top, -4.75), (1.22, top + 0.055, -4.45), Material(plain(0.62, 0.58, 0.50)), 5
    )
    glaze = Material(plain(0.12, 0.32, 0.40), 0.4, 40.0, 0.8)
    made.append(vessel((1.08, top + 0.055, -4.6), 0.14, 0.06, 0.065, glaze))
    made.append(disc((1.08, top + 0.18, -4.6), 0.06, Material(plain(0.08, 0.05, 0.03))))
    return made + _table_lamp(-0.08, top, -4.6)


def _table_lamp(x: float, y: float, z: float) -> list[Surface]:
    """A brass lamp. Its glowing shade casts no shadow, because the bulb inside lights the room."""
    shade = Material(_lampshade, emission=1.8)
    return [
        vessel((x, y, z), 0.03, 0.11, 0.10, _BRASS),
        disc((x, y + 0.03, z), 0.10, _BRASS),
        vessel((x, y, z), 0.40, 0.022, 0.018, _BRASS),
        vessel((x, y + 0.34, z), 0.27, 0.20, 0.12, shade)._replace(casts=False),
    ]


def painting(wall: float) -> list[Surface]:
    """A framed landscape on the wall at z = `wall`."""
    made = box((-0.02, 0.18, wall), (1.12, 0.98, wall + 0.04), WALNUT, 6, bottom=True)
    # A sheet's z axis is its front: here it faces the wall, so that t runs to the right.
    axes = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    canvas = Material(landscape)
    origin = (0.55, 0.25, wall + 0.045)
    return [*made, sheet(origin, axes, 0.66, 0.5, canvas, texels=(6, 6), two_sided=True)]


def chair(floor: float) -> list[Surface]:
    """A chair in front of the desk, seen from behind, slightly turned."""
    skin = Material(plain(0.62, 0.20, 0.12), 0.2, 24.0, 0.5)
    wooden = Material(plain(0.22, 0.12, 0.06), 0.2, 30.0)
    turn = 0.35
    side = np.array([np.cos(turn), 0.0, -np.sin(turn)])
    deep = np.array([np.sin(turn), 0.0, np.cos(turn)])
    seat = np.array([0.15, -0.78, -3.75])
    level, tilted = frame(side, UP), frame(UP + 0.16 * deep, deep)
    rim, back = seat + 0.24 * deep - 0.05 * UP - 0.22 * side, seat + 0.25 * deep + 0.14 * UP
    bend = (0.0, 0.0, -0.9)
    made = [
        sheet(seat - 0.24 * side, level, 0.48, 0.24, skin, taper=0.12, two_sided=True),
        sheet(seat - 0.24 * side - 0.05 * UP, level, 0.48, 0.24, skin, taper=0.12, two_sided=True),
        sheet(back, tilted, 0.44, 0.25, skin, bend=bend, taper=0.14, two_sided=True),
        sheet(rim, frame(side, deep), 0.44, 0.03, skin, two_sided=True),
    ]
    for a in (-0.2, 0.2):
        for b, above in ((-0.2, 0.0), (0.22, 0.2)):
            x, _, z = seat + a * side + b * deep
            span = (0.0, float(seat[1]) - floor + above)
            radius = (0.024**2, 0.0, 0.0)
            made.append(round_surface((x, floor, z), LEVEL, radius, span, wooden, texels=(6, 5)))
    return made


def plant(base: Point, pot: float, count: int, length: float, lift: float) -> list[Surface]:
    """A pot of radius `pot` with `count` arching leaves that rise at about `lift` radians."""
    clay = Material(plain(0.60, 0.27, 0.15), 0.12, 20.0, 0.4)
    leaf = Material(houseplant, 0.25, 24.0, 0.5, 0.2, 0.12)
    x, y, z = base
    height = 1.7 * pot
    made = [
        vessel(base, height, 0.75 * pot, pot, clay, texels=(8, 12)),
        disc((x, y + height - 0.02, z), pot, _SOIL),
    ]
    for k in range(count):
        angle = 2.399963 * k + 0.3
        rise = lift + 0.22 * np.sin(2.2 * k)
        radial = np.array([np.cos(angle), 0.0, np.sin(angle)])
        way = np.cos(rise) * radial + np.sin(rise) * UP
        made.append(
            sheet(
                (x, y + height - 0.03, z),
                frame(way, UP),
                length * (1.0 + 0.2 * np.sin(1.7 * k)),
                0.13 * length + 0.02,
                leaf,
                bend=(-0.55 / length, 0.0, 1.0),
                skew=1.1,
                taper=0.6,
                texels=(8, 5),
                two_sided=True,
            )
        )
    return made


def low_table(floor: float) -> list[Surface]:
    """A round table near the camera with a bowl of fruit and two books."""
    x, y, z, r = 0.62, -0.62, -2.15, 0.52
    made = [
        disc((x, y, z), r, WALNUT, 18),
        vessel((x, y - 0.045, z), 0.045, r, r, WALNUT, texels=(4, 16)),
        vessel((x, floor, z), y - floor, 0.16, 0.05, WALNUT, belly=-0.004, texels=(8, 10)),
    ]
    china = Material(plain(0.74, 0.74, 0.70), 0.4, 40.0, 0.6)
    bx, bz = x + 0.10, z + 0.08
    bowl = (bx, y + 0.002, bz)
    made.append(vessel(bowl, 0.11, 0.07, 0.19, china, belly=0.006, texels=(7, 12), two_sided=True))
    for k, (dx, dz, colour) in enumerate(_FRUIT):
        peel = Material(plain(*colour), 0.35, 30.0, 0.4)
        made.append(ball((bx + dx, y + 0.125 + 0.008 * k, bz + dz), 0.078, peel))
    blue = Material(plain(0.12, 0.25, 0.42), 0.15, 24.0)
    buff = Material(plain(0.70, 0.56, 0.36), 0.15, 24.0)
    made += box((x - 0.40, y, z - 0.02), (x - 0.14, y + 0.04, z + 0.16), blue, 6)
    made += box((x - 0.37, y + 0.04, z), (x - 0.16, y + 0.075, z + 0.15), buff, 6)
    return made
