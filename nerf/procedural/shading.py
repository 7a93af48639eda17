"""Shading: diffuse and translucent light, and glossy light, which depends on the view."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nerf.procedural.baking import ProceduralWorld, look_up
from nerf.procedural.surfaces import Array, Surface, surface_coordinates, unit


def shade(
    world: ProceduralWorld,
    grids: tuple[Array, ...],
    at: Array,
    viewdirs: Array,
    surface_index: NDArray[np.int64],
) -> Array:
    """Colours of hits.

    Args:
      world: the scene.
      grids: its baked light.
      at: `[N, 3]`, the hits.
      viewdirs: `[N, 3]`, unit vectors from the camera to the hits.
      surface_index: `[N]`, index of the surface; -1 for none, which is black.

    Returns:
      rgb `[N, 3]`, tone-mapped but linear, in [0, 1].
    """
    rgb = np.zeros((len(at), 3))
    order = np.argsort(surface_index, kind="stable")
    starts = np.searchsorted(surface_index[order], np.arange(len(world.surfaces) + 1))
    for index in range(len(world.surfaces)):
        hits = order[starts[index] : starts[index + 1]]
        if len(hits):
            surface, grid = world.surfaces[index], grids[index]
            rgb[hits] = _radiance(world, surface, grid, at[hits], viewdirs[hits])
    return tone_map(world.exposure * rgb)


def _radiance(
    world: ProceduralWorld, surface: Surface, grid: Array, at: Array, viewdirs: Array
) -> Array:
    """Linear rgb `[N, 3]` that leaves one surface towards the camera."""
    material = surface.material
    s, t, normal = surface_coordinates(surface, at)
    albedo = material.albedo(s, t)
    if material.emission > 0:
        return material.emission * albedo
    facing = np.sum(normal * viewdirs, axis=-1) < 0
    n = np.where(facing[:, None], normal, -normal)
    front = look_up(grid[0], s, t)
    if surface.two_sided:
        back = look_up(grid[1], s, t)
        front, back = (
            np.where(facing[:, None], front, back),
            np.where(facing[:, None], back, front),
        )
    else:
        back = front
    to_light, key = unit(world.key_direction), np.asarray(world.key_colour)
    lit = np.sum(n * to_light, axis=-1)
    direct = (front[:, 3] * np.maximum(lit, 0.0))[:, None] * key
    through = (back[:, 3] * np.maximum(-lit, 0.0))[:, None] * key + 0.5 * back[:, :3]
    diffuse = front[:, :3] + direct + material.translucency * through
    return np.asarray(albedo * diffuse + _glossy(world, surface, n, viewdirs, front))


def _glossy(
    world: ProceduralWorld, surface: Surface, n: Array, viewdirs: Array, light: Array
) -> Array:
    """Blinn-Phong highlight of the key light, and a Fresnel sheen of the (smooth) environment."""
    material = surface.material
    half = unit(unit(world.key_direction) - viewdirs)
    lobe = np.maximum(np.sum(n * half, axis=-1), 0.0) ** material.exponent
    highlight = (material.gloss * light[:, 3] * lobe)[:, None] * np.asarray(world.key_colour)
    if material.sheen == 0.0:
        return np.asarray(highlight)
    cosine = np.clip(-np.sum(n * viewdirs, axis=-1), 0.0, 1.0)
    fresnel = material.sheen * (0.06 + 0.94 * (1.0 - cosine) ** 5)
    mirrored = viewdirs + 2.0 * cosine[:, None] * n
    sheen = fresnel[:, None] * world.environment(mirrored) * light[:, :3]
    return np.asarray(highlight + sheen)


def tone_map(radiance: Array) -> Array:
    """Maps linear light to [0, 1] with a soft shoulder: 1 - exp(-x)."""
    return 1.0 - np.exp(-np.maximum(radiance, 0.0))


def encode_srgb(linear: Array) -> Array:
    """The sRGB curve on values in [0, 1] (IEC 61966-2-1)."""
    low = 12.92 * linear
    return np.where(linear <= 0.0031308, low, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
