"""`room`: a sunlit study with a desk, a chair, a lamp, a painting, plants and a low table."""

from __future__ import annotations

import numpy as np

from nerf.procedural.baking import Lamp, ProceduralWorld
from nerf.procedural.rig import ForwardFacingRig
from nerf.procedural.room_furniture import PAINT, chair, desk, low_table, painting, plant
from nerf.procedural.shapes import board, box, surround
from nerf.procedural.surfaces import Array, Material, Surface
from nerf.procedural.textures import floorboards, mix, outdoors, plain, rug

RIG = ForwardFacingRig(41, (0.0, 0.0, 0.0), (0.36, 0.27, 0.03), (-0.05, -0.15, -3.6))
_LEFT, _RIGHT, _FLOOR, _CEILING, _BACK, _FRONT = -1.9, 2.3, -1.25, 1.45, -5.0, 0.8
_SILL, _LINTEL, _NEAR_JAMB, _FAR_JAMB = -0.35, 1.0, -2.75, -4.35


def _shell() -> list[Surface]:
    """Floor, ceiling and walls; the left wall has an opening for the window."""
    width, height, depth = _RIGHT - _LEFT, _CEILING - _FLOOR, _FRONT - _BACK
    floor = Material(floorboards, 0.35, 30.0, 0.9)
    back, side = Material(plain(0.72, 0.63, 0.48)), Material(plain(0.50, 0.60, 0.56))
    front, inward = _FRONT, (0, 0, -depth)
    pane, above = (0, _LINTEL - _SILL, 0), (0, _CEILING - _LINTEL, 0)
    return [
        board((_LEFT, _FLOOR, front), (width, 0, 0), inward, floor, (30, 40)),
        board((_LEFT, _CEILING, front), inward, (width, 0, 0), PAINT, (16, 14)),
        board((_LEFT, _FLOOR, _BACK), (width, 0, 0), (0, height, 0), back, (30, 22)),
        board((_RIGHT, _FLOOR, _BACK), (0, 0, depth), (0, height, 0), side, (24, 16)),
        board((_LEFT, _FLOOR, front), inward, (0, _SILL - _FLOOR, 0), side, (24, 12)),
        board((_LEFT, _LINTEL, front), inward, above, side, (24, 8)),
        board((_LEFT, _SILL, front), (0, 0, _NEAR_JAMB - front), pane, side, (16, 10)),
        board((_LEFT, _SILL, _FAR_JAMB), (0, 0, _BACK - _FAR_JAMB), pane, side, (8, 10)),
    ]


def _trim() -> list[Surface]:
    """The window's frame and sill, the view outside, the skirting board and the rug."""
    sky = Material(outdoors, emission=1.9)
    near, far = _NEAR_JAMB, _FAR_JAMB
    made = [board((_LEFT - 1.0, -1.6, -9.0), (0, 4.2, 0), (0, 0, 10.0), sky)]
    for y in (_SILL, _LINTEL - 0.07):
        made += box((_LEFT - 0.10, y, far), (_LEFT + 0.03, y + 0.07, near), PAINT, bottom=True)
    for z in (far, 0.5 * (near + far) - 0.035, near - 0.07):
        made += box((_LEFT - 0.08, _SILL, z), (_LEFT + 0.02, _LINTEL, z + 0.07), PAINT)
    sill = (_LEFT, _SILL - 0.06, far - 0.06), (_LEFT + 0.16, _SILL, near + 0.06)
    made += box(*sill, PAINT, bottom=True)
    made += box((_LEFT, _FLOOR, _BACK), (_RIGHT, _FLOOR + 0.12, _BACK + 0.03), PAINT, 10)
    corner = (-1.15, _FLOOR + 0.012, -1.9)
    return [*made, board(corner, (2.3, 0, 0), (0, 0, -2.0), Material(rug), (24, 22))]


def environment(directions: Array) -> Array:
    """Ambient rgb by direction `[..., 3]`: bright on the window's side, warm from below."""
    x, y, z = directions[..., 0], directions[..., 1], directions[..., 2]
    window = np.maximum(-x * 0.93 + 0.25 * y - 0.1 * z, 0.0)
    level = 0.30 + 0.12 * y + 0.55 * window**2
    tint = mix((1.06, 0.98, 0.86), (0.94, 1.0, 1.08), np.clip(0.5 * window + 0.4, 0, 1))
    return np.asarray(level[..., None] * tint)


def world() -> ProceduralWorld:
    """The room, its sun, the window as nine lamps, and the bulb on the desk."""
    window = tuple(
        Lamp((_LEFT - 0.02, y, z), (1.0, 0.0, 0.0), (0.36, 0.39, 0.42))
        for y in (-0.1, 0.33, 0.78)
        for z in (-3.0, -3.55, -4.1)
    )
    bulb = Lamp((-0.08, 0.0, -4.6), (0.0, 0.0, 0.0), (0.16, 0.11, 0.055))
    return ProceduralWorld(
        surfaces=(
            *_shell(),
            *_trim(),
            *desk(_FLOOR),
            *painting(_BACK),
            *chair(_FLOOR),
            *low_table(_FLOOR),
            *plant((-1.35, _FLOOR, -4.45), 0.22, 13, 0.75, 0.95),
            *plant((1.95, _FLOOR, -4.3), 0.20, 9, 0.75, 1.15),
            surround((0.0, 0.0, -1.0), 14.0, Material(plain(0.70, 0.85, 1.0), emission=1.9)),
        ),
        key_direction=(-0.72, 0.70, -0.08),
        key_colour=(2.4, 2.05, 1.55),
        key_spread=0.10,
        environment=environment,
        reach=1.1,
        bounce=0.7,
        exposure=1.25,
        lamps=(*window, bulb),
        num_directions=32,
    )
