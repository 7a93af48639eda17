"""Textures: linear rgb as smooth functions of s in [0, 1] and t in [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nerf.procedural.surfaces import Albedo, Array


def step(x: Array, low: float, high: float) -> Array:
    """A smooth step from 0 at `low` to 1 at `high` (a cubic), `[...]`."""
    u = np.clip((x - low) / (high - low), 0.0, 1.0)
    return u * u * (3.0 - 2.0 * u)


def mix(a: Sequence[float] | Array, b: Sequence[float] | Array, weight: Array) -> Array:
    """Colours `[..., 3]` from `a` (weight 0) to `b` (weight 1); weight is `[...]`."""
    start = np.asarray(a)
    return np.asarray(start + weight[..., None] * (np.asarray(b) - start))


def plain(*colour: float) -> Albedo:
    """One colour."""
    return lambda s, t: np.broadcast_to(np.array(colour), (*s.shape, 3))


def wood(dark: Sequence[float], light: Sequence[float], rings: float) -> Albedo:
    """Soft grain along the surface."""

    def albedo(s: Array, t: Array) -> Array:
        wave = np.sin(rings * t + 1.2 * np.sin(2.5 * s + t))
        wave = wave + 0.4 * np.sin(0.37 * rings * t + 3 * s)
        return mix(dark, light, 0.5 + 0.35 * wave)

    return albedo


def floorboards(s: Array, t: Array) -> Array:
    """Broad boards in slightly different browns."""
    board = 9.0 * (0.5 + 0.5 * t)
    seam = 0.72 + 0.28 * step(np.abs(board - np.round(board)), 0.0, 0.09)
    index = np.floor(board)
    tone = 0.5 + 0.28 * np.sin(2.4 * index) + 0.10 * np.sin(9 * s + 2 * index)
    return mix((0.24, 0.125, 0.06), (0.40, 0.235, 0.12), tone) * seam[..., None]


def rug(s: Array, t: Array) -> Array:
    """A cream field with a teal border and a faint medallion."""
    rim = np.maximum(np.abs(2 * s - 1), np.abs(t))
    middle = np.exp(-(((2 * s - 1) ** 2 + t * t) / 0.12))
    field = mix((0.62, 0.54, 0.42), (0.62, 0.30, 0.20), 0.8 * middle)
    border = step(rim, 0.70, 0.74) * (1.0 - step(rim, 0.88, 0.92))
    return mix(field, (0.08, 0.24, 0.26), border)


def landscape(s: Array, t: Array) -> Array:
    """A painting: a sun over hills (s runs up, t to the right)."""
    sky = mix((0.95, 0.62, 0.30), (0.22, 0.42, 0.62), step(s, 0.35, 1.0))
    sun = np.exp(-(((s - 0.62) / 0.13) ** 2) - ((t - 0.25) / 0.20) ** 2)
    colour = mix(sky, (1.0, 0.85, 0.5), sun)
    for height, swing, hill in ((0.46, 0.07, (0.20, 0.30, 0.34)), (0.30, 0.09, (0.10, 0.20, 0.15))):
        edge = height + swing * np.sin(3.2 * t + 9 * height)
        colour = mix(colour, hill, step(edge - s, -0.015, 0.015))
    return colour


def outdoors(s: Array, t: Array) -> Array:
    """A bright sky over soft trees (s runs up)."""
    trees = 0.40 + 0.06 * np.sin(7 * t) + 0.04 * np.sin(15 * t + 1)
    tone = 0.5 + 0.5 * np.sin(9 * t) * np.sin(11 * s)
    leaf = mix((0.16, 0.36, 0.12), (0.34, 0.55, 0.22), tone)
    sky = mix((0.95, 0.98, 1.0), (0.55, 0.76, 1.0), step(s, 0.45, 1.0))
    return mix(leaf, sky, step(s - trees, -0.06, 0.06))


def houseplant(s: Array, t: Array) -> Array:
    """A dark green leaf with a paler midrib."""
    colour = mix((0.03, 0.12, 0.03), (0.09, 0.30, 0.06), s)
    return np.asarray(colour + 0.06 * np.exp(-((t / 0.15) ** 2))[..., None])


def petal(warmth: float) -> Albedo:
    """A petal: yellow, orange, then red, with a pale midrib and faint veins; warmth in [0, 1]."""
    throat = np.array([0.95, 0.66, 0.10])
    middle = np.array([0.90, 0.13 + 0.05 * warmth, 0.02])
    tip = np.array([0.76, 0.025 + 0.035 * warmth, 0.016])

    def albedo(s: Array, t: Array) -> Array:
        colour = mix(throat, middle, step(s, 0.18, 0.50))
        colour = mix(colour, tip, step(s, 0.45, 0.9))
        rib = 0.35 * np.exp(-((t / 0.16) ** 2)) * (1.0 - step(s, 0.35, 0.9))
        colour = mix(colour, throat, rib)
        veins = 1.0 + 0.05 * np.cos(14.0 * t) * step(s, 0.1, 0.4)
        return np.asarray(colour * veins[..., None])

    return albedo


def strap_leaf(tint: float, light: float) -> Albedo:
    """A green leaf, darker at the base, with a pale midrib; tint 0 is bluish, 1 yellowish."""
    low = light * np.array([0.012 + 0.015 * tint, 0.065, 0.014])
    high = light * np.array([0.03 + 0.06 * tint, 0.18, 0.028])
    rib = light * np.array([0.12, 0.27, 0.07])

    def albedo(s: Array, t: Array) -> Array:
        colour = mix(low, high, step(s, 0.05, 0.8))
        return mix(colour, rib, 0.4 * np.exp(-((t / 0.13) ** 2)))

    return albedo


def earth(s: Array, t: Array) -> Array:
    """Soil that turns dark green in the distance (s increases with the distance)."""
    tone = 1.0 + 0.16 * np.sin(9 * s + 2.0 * t) * np.sin(7 * t + 3 * s)
    tone = tone + 0.1 * np.sin(21 * s - 9 * t)
    colour = mix((0.075, 0.05, 0.033), (0.010, 0.030, 0.014), step(s, 0.12, 0.62))
    return np.asarray(colour * tone[..., None])


def foliage(s: Array, t: Array) -> Array:
    """Dark, blurred foliage."""
    blobs = np.sin(8 * s + 3 * t) * np.sin(9 * t - 2 * s + 1)
    blobs = blobs + 0.6 * np.sin(15 * t + 5 * s) * np.sin(13 * s)
    tone = 0.5 + 0.5 * step(blobs, -1.0, 1.4)
    return np.asarray(np.array([0.026, 0.075, 0.03]) * (0.5 + tone)[..., None])
