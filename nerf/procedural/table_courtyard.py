"""Two 360 captures: `table`, an object on a transparent background, and `courtyard`, unbounded.

`courtyard` is the same table in a yard.
"""

from __future__ import annotations

import numpy as np

from nerf.procedural.baking import ProceduralWorld
from nerf.procedural.rig import OrbitRig
from nerf.procedural.room_furniture import OAK, PAINT, low_table, plant
from nerf.procedural.shapes import LEVEL, ball, board, box, surround, vessel
from nerf.procedural.surfaces import Array, Material, Surface, sheet
from nerf.procedural.textures import mix, outdoors, plain, step

FLOOR = -1.25
_MIDDLE = (0.62, -0.78, -2.15)  # the position of `low_table`
TABLE_RIG = OrbitRig(56, _MIDDLE, 1.75, (4.0, 62.0))
COURTYARD_RIG = OrbitRig(72, _MIDDLE, 1.9, (2.0, 38.0))


def _laid_table() -> list[Surface]:
    """The low table of `room` with a plant and a jug."""
    x, y, z = _MIDDLE[0], -0.62, _MIDDLE[2]
    glaze = Material(plain(0.10, 0.30, 0.42), 0.5, 40.0, 0.8)
    jug = vessel(
        (x - 0.22, y, z - 0.22),
        0.30,
        0.07,
        0.05,
        glaze,
        belly=0.012,
        texels=(8, 12),
        two_sided=True,
    )
    return [*low_table(FLOOR), jug, *plant((x + 0.16, y, z - 0.26), 0.075, 11, 0.36, 0.9)]


def _paving(s: Array, t: Array) -> Array:
    """Slabs of two greys with darker joints and patches of moss."""
    u, v = 30.0 * s, 15.0 * (1.0 + t)
    joint = np.minimum(np.abs(u - np.round(u)), np.abs(v - np.round(v)))
    tone = 0.5 + 0.32 * np.sin(2.1 * np.floor(u + 0.5) + 4.7 * np.floor(v + 0.5))
    moss = np.clip(np.sin(0.9 * u) * np.sin(0.7 * v + 1.0), 0.0, 1.0)
    slab = mix(mix((0.20, 0.19, 0.17), (0.36, 0.34, 0.30), tone), (0.12, 0.17, 0.07), 0.5 * moss)
    return np.asarray(slab * (0.55 + 0.45 * step(joint, 0.02, 0.09))[..., None])


def _bricks(s: Array, t: Array) -> Array:
    """Courses of warm bricks (s runs along the wall, t upwards)."""
    course = np.floor(7.0 * (1.0 + t))
    across = 16.0 * s + 0.5 * (course % 2)
    up = 7.0 * (1.0 + t)
    joint = np.minimum(np.abs(across - np.round(across)), 0.5 * np.abs(up - np.round(up)))
    tone = 0.5 + 0.4 * np.sin(3.1 * course + 5.3 * np.floor(across + 0.5))
    brick = mix((0.34, 0.12, 0.07), (0.52, 0.24, 0.14), tone)
    return mix((0.50, 0.47, 0.42), brick, step(joint, 0.03, 0.07))


def _yard() -> list[Surface]:
    """Paving, two kinds of walls at several distances, trees, and a sky."""
    x, _, z = _MIDDLE
    paving = Material(_paving, 0.05, 12.0)
    brick, plaster = Material(_bricks), Material(plain(0.66, 0.56, 0.40))
    made = [
        sheet((x - 14.0, FLOOR, z), LEVEL, 28.0, 14.0, paving, texels=(28, 28)),
        board((x - 6.0, FLOOR, z - 5.5), (12.0, 0, 0), (0, 2.2, 0), brick, (20, 8)),
        board((x + 7.5, FLOOR, z - 5.0), (0, 0, 10.0), (0, 3.0, 0), plaster, (16, 8)),
        board((x - 9.0, FLOOR, z + 5.0), (0, 0, -9.0), (0, 1.6, 0), brick, (16, 8)),
    ]
    for k, (dx, dz, tall) in enumerate(((-3.2, 3.6, 2.6), (3.4, 3.0, 2.1), (-4.4, -2.8, 3.0))):
        bark = Material(plain(0.20, 0.13, 0.08))
        leaves = Material(plain(0.10 + 0.03 * k, 0.26, 0.07))
        made.append(vessel((x + dx, FLOOR, z + dz), tall, 0.13, 0.09, bark, texels=(6, 8)))
        for a, b, up in ((0.0, 0.0, 0.3), (0.5, 0.2, -0.1), (-0.4, 0.35, 0.0), (-0.1, -0.5, 0.05)):
            centre = (x + dx + a, FLOOR + tall + up, z + dz + b)
            made.append(ball(centre, 0.62, leaves, (8, 10)))
    made += box((x + 2.2, FLOOR, z - 2.9), (x + 3.6, FLOOR + 0.45, z - 2.4), OAK, 8, bottom=True)
    made += box((x - 3.1, FLOOR, z - 0.6), (x - 2.4, FLOOR + 0.5, z + 0.8), PAINT, 8, bottom=True)
    made += plant((x - 2.2, FLOOR, z - 2.6), 0.24, 13, 0.8, 0.95)
    made += plant((x + 2.6, FLOOR, z + 1.2), 0.22, 11, 0.75, 1.1)
    return [*made, surround((x, FLOOR, z), 40.0, Material(outdoors, emission=1.3))]


def environment(directions: Array) -> Array:
    """Ambient rgb by direction `[..., 3]`: a bright overcast sky, warm light from the ground."""
    up = 0.5 + 0.5 * directions[..., 1]
    return np.asarray((0.25 + 0.6 * up)[..., None] * mix((1.05, 0.97, 0.86), (0.92, 1.0, 1.1), up))


def _world(surfaces: list[Surface]) -> ProceduralWorld:
    return ProceduralWorld(
        surfaces=tuple(surfaces),
        key_direction=(-0.45, 0.80, 0.40),
        key_colour=(1.7, 1.6, 1.4),
        key_spread=0.12,
        environment=environment,
        reach=1.0,
        bounce=0.7,
        exposure=1.1,
        num_directions=48,
    )


def table() -> ProceduralWorld:
    """The table alone."""
    return _world(_laid_table())


def courtyard() -> ProceduralWorld:
    """The table in its yard."""
    return _world([*_laid_table(), *_yard()])
