"""First hits of rays with a scene's surfaces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nerf.procedural.surfaces import Array, Surface, intersect

_BLOCK = 32768
# Small enough for the table of all surfaces and these rays to stay in a processor's cache.
_CULLED_TOGETHER = 1024


def _near_spheres(
    surfaces: Sequence[Surface], origins: Array, directions: Array
) -> NDArray[np.bool_]:
    """`[P, N]`: whether a ray may meet a surface's bounding sphere.

    float32 and a margin, so that rounding can only let more rays through to the exact test. No
    matrix product: threads do not pay for products this narrow, and BLAS would start them.
    """
    centres = np.stack([s.centre for s in surfaces]).astype(np.float32)
    x, y, z = (centres[:, k, None] for k in range(3))
    radii = np.array([s.radius for s in surfaces], np.float32)
    limit = ((1.01 * radii + 1e-3) ** 2 - np.sum(centres**2, axis=-1))[:, None]
    length = np.sqrt(np.sum(directions**2, axis=-1, keepdims=True))
    d, o = (directions / length).astype(np.float32), origins.astype(np.float32)
    d_dot_o = np.sum(o * d, axis=-1)
    near = np.empty((len(surfaces), len(d)), np.bool_)
    for start in range(0, len(d), _CULLED_TOGETHER):
        part = slice(start, start + _CULLED_TOGETHER)
        from_here = o if len(o) == 1 else o[part]
        ox, oy, oz = from_here.T
        outside = ox * ox + oy * oy + oz * oz - 2.0 * (x * ox + y * oy + z * oz) - limit
        outside[outside < 0.0] = -np.inf
        dx, dy, dz = d[part].T
        along = x * dx
        along += y * dy
        along += z * dz
        along -= d_dot_o[part]
        along *= np.abs(along)
        np.greater(along, outside, out=near[:, part])
    return near


def first_hit(
    surfaces: Sequence[Surface], origins: Array, directions: Array, nearest: float = 1e-6
) -> tuple[Array, NDArray[np.int64]]:
    """The first surface along each ray.

    Args:
        surfaces: where to look.
        origins: `[N, 3]`, or `[1, 3]` for all.
        directions: `[N, 3]`, of any length.
        nearest: hits at t up to this do not count.

    Returns:
        t `[N]` in units of the direction's length (inf where nothing is hit), and the surface's
        index `[N]` (-1 there).
    """
    common = len(origins) == 1
    t = np.full(len(directions), np.inf)
    which = np.full(len(directions), -1, np.int64)
    for start in range(0, len(directions), _BLOCK):
        part = slice(start, start + _BLOCK)
        o, d = (origins if common else origins[part]), directions[part]
        near = _near_spheres(surfaces, o, d)
        for index, surface in enumerate(surfaces):
            rays = np.flatnonzero(near[index])
            if len(rays) == 0:
                continue
            found = intersect(surface, o if common else o[rays], d[rays], nearest)
            closer = found < t[part][rays]
            t[part][rays[closer]] = found[closer]
            which[part][rays[closer]] = index
    return t, which
