"""RenderedImages, exact depth and cameras of the bundled scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nerf.procedural import flower, room, table_courtyard
from nerf.procedural.baking import World, bake
from nerf.procedural.rig import OrbitRig, Rig, camera_poses, pixel_rays, pose_rows
from nerf.procedural.shading import encode_srgb, shade
from nerf.procedural.surfaces import Array
from nerf.procedural.tracing import first_hit

_MAKERS: dict[str, tuple[Callable[[], World], Rig | OrbitRig]] = {
    "flower": (flower.world, flower.RIG),
    "room": (room.world, room.RIG),
    "table": (table_courtyard.table, table_courtyard.TABLE_RIG),
    "courtyard": (table_courtyard.courtyard, table_courtyard.COURTYARD_RIG),
}
TRANSPARENT = ("table",)  # before nothing
NAMES: tuple[str, ...] = tuple(_MAKERS)
_BLOCK = 65536
_BOUNDS_GRID = (94, 126)


class ProceduralViews(NamedTuple):
    """`images` sRGB, `depth` `[V, H, W]` along -z, `poses_bounds` `[V, 17]`.

    Images are `[V, H, W, 3]`; `[V, H, W, 4]`, with alpha, where there is nothing behind a scene,
    and the depth there is inf.
    """

    images: NDArray[np.uint8]
    depth: NDArray[np.float32]
    poses_bounds: NDArray[np.float64]


class Traced(NamedTuple):
    """`rgb` `[..., 3]` display-linear in [0, 1] (`views` adds the sRGB curve), `t` `[...]` in
    direction lengths (inf where nothing is hit), `surface` index `[...]` (-1 there).
    """

    rgb: Array
    t: Array
    surface: NDArray[np.int64]


@cache
def _scene(name: str) -> tuple[World, tuple[Array, ...]]:
    """A scene and its light grids, made once per process."""
    made = _maker(name)[0]()
    return made, bake(made)


def _maker(name: str) -> tuple[Callable[[], World], Rig | OrbitRig]:
    if name not in _MAKERS:
        raise ValueError(
            f"There is no procedural scene {name!r}: choose one of {', '.join(NAMES)}."
        )
    return _MAKERS[name]


def trace(name: str, origins: ArrayLike, directions: ArrayLike) -> Traced:
    """What rays see.

    Args:
        name: one of NAMES.
        origins: `[..., 3]`, scene units.
        directions: `[..., 3]`, of any length.

    Returns:
        The colour, distance and surface of the first hits.

    Raises:
        ValueError: there is no scene of that name.

    >>> trace("room", [0.0, 0.0, 0.0], [0.0, 0.0, -2.0]).t
    array(2.2239)
    """
    o = np.asarray(origins, np.float64)
    d = np.asarray(directions, np.float64)
    o, d = np.broadcast_arrays(o, d)
    lead = o.shape[:-1]
    world, grids = _scene(name)
    rgb, t, which = _trace_flat(world, grids, o.reshape(-1, 3), d.reshape(-1, 3))
    return Traced(rgb.reshape(*lead, 3), t.reshape(lead), which.reshape(lead))


def _trace_flat(
    world: World, grids: tuple[Array, ...], origins: Array, directions: Array
) -> tuple[Array, Array, NDArray[np.int64]]:
    """`trace` on `[N, 3]` (origins `[1, 3]` or `[N, 3]`), in blocks that bound the memory."""
    parts: list[tuple[Array, Array, NDArray[np.int64]]] = []
    for start in range(0, max(1, len(directions)), _BLOCK):
        o = origins if len(origins) == 1 else origins[start : start + _BLOCK]
        d = directions[start : start + _BLOCK]
        t, which = first_hit(world.surfaces, o, d)
        length = np.sqrt(np.sum(d * d, axis=-1, keepdims=True))
        at = o + np.where(np.isfinite(t), t, 0.0)[:, None] * d
        parts.append((shade(world, grids, at, d / length, which), t, which))
    rgb, depths, surfaces = zip(*parts, strict=True)
    return np.concatenate(rgb), np.concatenate(depths), np.concatenate(surfaces)


def views(
    name: str,
    height: int = 94,
    width: int = 126,
    indices: Sequence[int] | None = None,
    *,
    supersample: int = 3,
) -> ProceduralViews:
    """A bundled scene's views: all, or those of `indices`.

    Pixel (column i, row j) is the ray [(i - W/2)/f, -(j - H/2)/f, -1] with f = focal W / 4032, and
    its colour the mean over the box of one pixel about that ray; `supersample`^2 rays sample the
    box wherever the picture is not smooth. Depth is that of the central ray. Centres, depth and
    bounds are in scene units; the rotation's columns are [down, right, back]. The bounds are those
    of the photo's field of view, 4:3; a picture much taller than that may see beyond them.

    Raises:
        ValueError: there is no scene of that name, or a size is below 1.

    >>> images, depth, poses_bounds = views("room", 6, 8, [0, 16])
    >>> images.shape, depth.shape, poses_bounds.shape
    ((2, 6, 8, 3), (2, 6, 8), (2, 17))
    """
    rig = _maker(name)[1]
    if height < 1 or width < 1 or supersample < 1:
        raise ValueError(
            "Height, width and supersample must be at least 1, "
            f"not {height}, {width} and {supersample}."
        )
    world, grids = _scene(name)
    poses = camera_poses(rig)
    chosen = np.arange(rig.num_views) if indices is None else np.array(indices, np.int64)
    images = np.zeros((len(chosen), height, width, 4), np.uint8)
    depth = np.zeros((len(chosen), height, width), np.float32)
    for k, view in enumerate(chosen):
        images[k], depth[k] = _picture(world, grids, poses[view], height, width, supersample)
    if name not in TRANSPARENT:
        images = images[..., :3].copy()
    return ProceduralViews(images, depth, _poses_bounds(name)[chosen])


def _picture(
    world: World, grids: tuple[Array, ...], pose: Array, height: int, width: int, supersample: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """One view: uint8 `[H, W, 4]` and depth `[H, W]`."""
    rows, columns = (g.ravel().astype(np.float64) for g in np.indices((height, width)))

    def look(c: Array, r: Array) -> tuple[Array, Array, NDArray[np.int64]]:
        d = pixel_rays(pose, c, r, height, width)
        return _trace_flat(world, grids, pose[None, :, 3], d)

    rgb, t, which = look(columns, rows)
    alpha = (which >= 0).astype(np.float64)
    if supersample > 1:
        edge = np.flatnonzero(_rough(rgb.reshape(height, width, 3), which.reshape(height, width)))
        offsets = (np.arange(supersample) + 0.5) / supersample - 0.5
        dy, dx = (g.ravel() for g in np.meshgrid(offsets, offsets, indexing="ij"))
        chunk = max(1, _BLOCK // supersample**2)
        for start in range(0, len(edge), chunk):
            part = edge[start : start + chunk]
            c, r = columns[part, None] + dx, rows[part, None] + dy
            colours, _, hits = look(c.ravel(), r.ravel())
            alpha[part] = (hits >= 0).reshape(len(part), -1).mean(axis=1)
            rgb[part] = colours.reshape(len(part), -1, 3).mean(axis=1)
    covered = np.where(alpha > 0, alpha, 1.0)[:, None]
    shown = np.concatenate([encode_srgb(rgb / covered), alpha[:, None]], axis=-1)
    image = np.round(255.0 * np.clip(shown, 0.0, 1.0)).astype(np.uint8)
    return image.reshape(height, width, 4), t.astype(np.float32).reshape(height, width)


def _rough(rgb: Array, which: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Pixels `[H, W]` that differ from one of eight neighbours in surface, or clearly in colour."""
    rough = np.zeros(which.shape, np.bool_)
    shown = encode_srgb(rgb)
    height, width = which.shape
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a: Any = (slice(0, height - dy), slice(max(0, -dx), width - max(0, dx)))
        b: Any = (slice(dy, height), slice(max(0, dx), width + min(0, dx)))
        differs = (which[a] != which[b]) | (np.abs(shown[a] - shown[b]).max(axis=-1) > 0.04)
        rough[a] |= differs
        rough[b] |= differs
    return rough


@cache
def _bounds(name: str) -> Array:
    """near, far `[V, 2]`: 0.94 of the least and 1.1 of the greatest depth on a grid of rays."""
    world, _ = _scene(name)
    height, width = _BOUNDS_GRID
    rows, columns = (g.ravel() for g in np.mgrid[-1:height:36j, -1:width:48j])
    limits = []
    for pose in camera_poses(_maker(name)[1]):
        d = pixel_rays(pose, columns, rows, height, width)
        t, _ = first_hit(world.surfaces, pose[None, :, 3], d)
        t = t[np.isfinite(t)]
        limits.append((0.94 * t.min(), 1.1 * t.max()))
    return np.array(limits)


def _poses_bounds(name: str) -> Array:
    """LLFF's `[V, 17]`."""
    return np.concatenate([pose_rows(camera_poses(_maker(name)[1])), _bounds(name)], axis=-1)
