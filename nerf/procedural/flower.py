"""`flower`: a cluster of orange-red blossoms over long leaves, in front of a dark garden."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nerf.procedural.baking import ProceduralWorld
from nerf.procedural.rig import ForwardFacingRig
from nerf.procedural.shapes import ball, surround
from nerf.procedural.surfaces import Array, Material, Surface, frame, round_surface, sheet, unit
from nerf.procedural.textures import earth, foliage, mix, petal, plain, strap_leaf

RIG = ForwardFacingRig(34, (0.0, 0.0, 0.0), (0.36, 0.27, 0.03), (0.05, 0.0, -3.2))
_HEART = np.array([0.06, 0.03, -2.3])
_VIEWER = np.array([0.0, 0.0, 1.0])
_DIM = Material(foliage, emission=0.5)


class _Rosette(NamedTuple):
    """Long leaves around a crown; `light` below 1 darkens those in the background."""

    crown: tuple[float, float, float]
    num_leaves: int
    length: float
    width: float
    light: float
    texels: tuple[int, int]


_ROSETTES = (
    _Rosette((0.06, -0.14, -2.75), 15, 1.25, 0.125, 1.0, (10, 5)),
    _Rosette((-1.05, -0.35, -3.9), 11, 1.35, 0.15, 0.62, (7, 3)),
    _Rosette((1.35, 0.15, -4.1), 11, 1.35, 0.15, 0.58, (7, 3)),
    _Rosette((-1.7, 1.15, -5.3), 11, 1.5, 0.2, 0.36, (7, 3)),
    _Rosette((1.1, 1.7, -5.6), 11, 1.5, 0.2, 0.33, (7, 3)),
    _Rosette((0.2, -1.1, -4.3), 10, 1.2, 0.15, 0.5, (7, 3)),
)


def _floret(index: int, axis: Array, reach: float, size: float) -> list[Surface]:
    """Six petals of length `size` in two whorls about the unit vector `axis`."""
    base = _HEART + reach * axis
    turn = _turn(axis)
    made: list[Surface] = []
    for k in range(6):
        inner = k % 2
        angle = np.pi / 3 * k + 0.9 * index
        radial = np.cos(angle) * turn[0] + np.sin(angle) * turn[1]
        wobble = np.sin(2.3 * k + 1.7 * index)
        opening = 0.66 + 0.08 * (1 - inner) + 0.05 * wobble
        x = np.cos(opening) * axis + np.sin(opening) * radial
        z = np.sin(opening) * axis - np.cos(opening) * radial
        made.append(
            sheet(
                base - 0.01 * inner * z,
                frame(x, z),
                size * (1.0 + 0.05 * wobble),
                size * (0.33 if inner else 0.29),
                Material(petal(0.6 + 0.4 * wobble), 0.16, 26.0, 0.5, 0.35, 0.10),
                bend=(-0.62 / size, 0.08 * wobble / size, 0.42 / size),
                skew=1.25,
                taper=0.62,
                texels=(8, 6),
                two_sided=True,
            )
        )
    return made


def _turn(axis: Array) -> Array:
    """A frame `[3, 3]` with its z axis along `axis`."""
    return frame(np.cross(axis, (0.31, 0.9, 0.2)), axis)


def _stamens(index: int, axis: Array, reach: float, size: float) -> list[Surface]:
    """Five filaments with anthers around a longer style, in the throat of the floret."""
    base, turn = _HEART + reach * axis, _turn(axis)
    stalk = Material(plain(0.93, 0.60, 0.16), 0.1, 20.0)
    tip = Material(plain(0.98, 0.74, 0.10), 0.15, 14.0, 0.2, 0.2)
    thick, thin = (0.030 * size) ** 2, 0.6 * (0.030 * size) ** 2
    made: list[Surface] = []
    for k in range(6):
        style = k == 5
        angle = 2 * np.pi / 5 * k + 0.4 + index
        radial = np.cos(angle) * turn[0] + np.sin(angle) * turn[1]
        way = unit(axis + (0.0 if style else 0.30) * radial)
        length = size * (0.74 if style else 0.60 + 0.04 * np.sin(3.0 * k + index))
        axes = frame(np.cross(way, turn[0] + 0.1 * turn[1]), way)
        profile, span = (thick, -thin / length, 0.0), (0.0, length)
        made.append(round_surface(base, axes, profile, span, stalk, texels=(4, 4), casts=False))
        radius, squash = ((0.055 if style else 0.075) * size, 1.0 if style else 0.55)
        half = radius / (1.0 if style else 0.7416)
        profile, span = (radius**2, 0.0, -squash), (-half, half)
        end = base + length * way
        made.append(round_surface(end, axes, profile, span, tip, texels=(4, 5), casts=False))
    return made


def _umbel() -> list[Surface]:
    """Florets over the front of a ball: one at the centre, six around, six behind."""
    made = [ball(_HEART, 0.27, Material(plain(0.50, 0.09, 0.03)), (6, 8))]
    front = unit([0.04, 0.10, 1.0])
    made += _floret(0, front, 0.54, 0.40) + _stamens(0, front, 0.54, 0.40)
    for k in range(6):
        axis = _leaning(np.pi / 3 * k + 0.35, 1.06 + 0.05 * np.sin(2.1 * k))
        made += _floret(k + 1, axis, 0.38, 0.36) + _stamens(k + 1, axis, 0.38, 0.36)
    for k in range(6):
        axis = _leaning(np.pi / 3 * k + 0.9, 1.68 + 0.06 * np.sin(1.3 * k + 1))
        made += _floret(k + 7, axis, 0.24, 0.34)
    return made


def _leaning(angle: float, tilt: float) -> Array:
    """The unit vector `tilt` radians from the viewing axis, towards `angle` in the image plane."""
    ring = np.array([np.cos(angle), np.sin(angle), 0.0])
    return unit(np.cos(tilt) * _VIEWER + np.sin(tilt) * ring)


def _leaves(layer: int, rosette: _Rosette) -> list[Surface]:
    """One rosette's leaves, which rise towards the viewer and arch back."""
    crown, num_leaves, length, width, light, texels = rosette
    made: list[Surface] = []
    for k in range(num_leaves):
        angle = 2 * np.pi * k / num_leaves + 0.35 * np.sin(4.1 * k + layer) + 0.2
        rise = 0.42 + 0.22 * np.sin(2.7 * k + 2 * layer)
        radial = np.array([np.cos(angle), 0.85 * np.sin(angle), 0.0])
        x = unit(np.cos(rise) * radial + np.sin(rise) * _VIEWER)
        colour = strap_leaf(0.5 + 0.5 * np.sin(3.3 * k + layer), light)
        made.append(
            sheet(
                np.array(crown) + 0.05 * x + 0.012 * (k % 4) * _VIEWER,
                frame(x, _VIEWER),
                length * (1.0 + 0.18 * np.sin(1.9 * k + layer)),
                width * (1.0 + 0.12 * np.sin(5.0 * k)),
                Material(colour, 0.06 * light, 20.0, 0.2 * light, 0.25, 0.16),
                bend=(-0.42 - 0.1 * np.sin(k), 0.10 * np.sin(1.1 * k), 1.1),
                skew=0.9,
                taper=0.55,
                texels=texels,
                two_sided=True,
            )
        )
    return made


def _garden() -> list[Surface]:
    """Earth that rises into the distance, and a dark backdrop."""
    slope = frame(unit([0.0, 0.20, -1.0]), [0, 1, 0.2])
    upright = frame([0, 1, 0], [0, 0, 1])
    return [
        sheet([0.0, -1.75, -2.2], slope, 7.6, 8.0, Material(earth), texels=(20, 20)),
        sheet([0.0, -2.5, -8.6], upright, 9.0, 9.0, _DIM),
    ]


def environment(directions: Array) -> Array:
    """Ambient rgb by direction `[..., 3]`: daylight from above and from the camera, green below."""
    up = 0.5 + 0.5 * directions[..., 1]
    front = 0.5 + 0.5 * directions[..., 2]
    level = 0.13 + 0.58 * up**1.5 + 0.25 * front
    tint = mix((0.75, 0.95, 0.70), (0.95, 1.0, 1.08), up)
    return np.asarray(level[..., None] * tint)


def world() -> ProceduralWorld:
    """The garden, the leaves and the blossom under a soft sun."""
    leaves = [leaf for k, rosette in enumerate(_ROSETTES) for leaf in _leaves(k, rosette)]
    return ProceduralWorld(
        surfaces=(*_garden(), *leaves, *_umbel(), surround((0.0, 0.0, -1.0), 12.0, _DIM)),
        key_direction=(-0.45, 0.80, 0.62),
        key_colour=(1.9, 1.70, 1.38),
        key_spread=0.22,
        environment=environment,
        reach=0.9,
        bounce=0.8,
        exposure=1.05,
        num_directions=48,
    )
