"""First hits of rays with a scene's surfaces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nerf.procedural.surfaces import Array, Surface, intersect

_BLOCK = 32768
# So few rays that the table of all surfaces and rays fits into a processor's cache.
_RAYS_PER_CULLING = 1024


def _near_spheres(
    surfaces: Sequence[Surface], origins: Array, directions: Array
) -> NDArray[np.bool_]:
    """`[P, N]`: whether a ray may hit a surface's bounding sphere.

    Computed in float32 with a margin, so that rounding can only pass more rays to the exact test.
    There is no matrix product, because BLAS would start threads, which are too slow to start for
    products this narrow.
    """
    centres = np.stack([s.centre for s in surfaces]).astype(np.float32)
    x, y, z = (centres[:, k, None] for k in range(3))
    radii = np.array([s.radius for s in surfaces], np.float32)
    limit = ((1.01 * radii + 1e-3) ** 2 - np.sum(centres**2, axis=-1))[:, None]
    length = np.sqrt(np.sum(directions**2, axis=-1, keepdims=True))
    d, o = (directions / length).astype(np.float32), origins.astype(np.float32)
    d_dot_o = np.sum(o * d, axis=-1)
    near = np.empty((len(surfaces), len(d)), np.bool_)
    for start in range(0, len(d), _RAYS_PER_CULLING):
        part = slice(start, start + _RAYS_PER_CULLING)
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
      surfaces: what rays can hit.
      origins: `[N, 3]`, or `[1, 3]` for all rays.
      directions: `[N, 3]`, of any length.
      nearest: hits with t <= nearest are ignored.

    Returns:
      t `[N]` in lengths of the direction (inf where a ray hits nothing), and the index `[N]` of the
      surface (-1 where a ray hits nothing).
    """
    common = len(origins) == 1
    t = np.full(len(directions), np.inf)
    surface_index = np.full(len(directions), -1, np.int64)
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
            surface_index[part][rays[closer]] = index
    return t, surface_index
