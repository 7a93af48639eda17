"""Images, exact depth and cameras of the bundled scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nerf.procedural import flower, room, table_courtyard
from nerf.procedural.baking import ProceduralWorld, bake
from nerf.procedural.rig import ForwardFacingRig, OrbitRig, camera_poses, pixel_rays, pose_rows
from nerf.procedural.shading import encode_srgb, shade
from nerf.procedural.surfaces import Array
from nerf.procedural.tracing import first_hit


class BundledScene(NamedTuple):
    """A bundled scene.

    Attributes:
      make_world: makes its surfaces and lights.
      rig: its cameras.
      is_transparent: whether it is an object on a transparent background.
    """

    make_world: Callable[[], ProceduralWorld]
    rig: ForwardFacingRig | OrbitRig
    is_transparent: bool = False


_SCENES = {
    "flower": BundledScene(flower.world, flower.RIG),
    "room": BundledScene(room.world, room.RIG),
    "table": BundledScene(table_courtyard.table, table_courtyard.TABLE_RIG, is_transparent=True),
    "courtyard": BundledScene(table_courtyard.courtyard, table_courtyard.COURTYARD_RIG),
}
NAMES: tuple[str, ...] = tuple(_SCENES)
_BLOCK = 65536
_BOUNDS_GRID = (94, 126)


class ProceduralViews(NamedTuple):
    """Views of a bundled scene.

    Attributes:
      images: `[num_views, height, width, 3]`, sRGB; `[num_views, height, width, 4]`, with alpha,
        for an object on a transparent background.
      depth: `[num_views, height, width]` along the viewing axis; inf on a transparent background.
      poses_bounds: `[num_views, 17]`, in LLFF's layout.
    """

    images: NDArray[np.uint8]
    depth: NDArray[np.float32]
    poses_bounds: NDArray[np.float64]


class Traced(NamedTuple):
    """The first hits of rays.

    Attributes:
      rgb: `[..., 3]`, tone-mapped but linear, in [0, 1]; `render_views` applies the sRGB curve.
      t: `[...]`, distance in lengths of the direction; inf where a ray hits nothing.
      surface: `[...]`, index of the surface; -1 where a ray hits nothing.
    """

    rgb: Array
    t: Array
    surface: NDArray[np.int64]


@cache
def _scene(name: str) -> tuple[ProceduralWorld, tuple[Array, ...]]:
    """A scene's surfaces and light grids, made once per process."""
    world = find_scene(name).make_world()
    return world, bake(world)


def find_scene(name: str, num_views: int | None = None) -> BundledScene:
    """The bundled scene of a name, with another number of views unless that is None.

    Raises:
      ValueError: if there is none.
    """
    if name not in _SCENES:
        raise ValueError(
            f"There is no procedural scene {name!r}: choose one of {', '.join(NAMES)}."
        )
    scene = _SCENES[name]
    if num_views is None:
        return scene
    if num_views < 1:
        raise ValueError(f"A scene has at least one view, not {num_views}.")
    return scene._replace(rig=scene.rig._replace(num_views=num_views))


def trace(name: str, origins: ArrayLike, directions: ArrayLike) -> Traced:
    """Traces rays to their first hits.

    Args:
      name: one of NAMES.
      origins: `[..., 3]`, scene units.
      directions: `[..., 3]`, of any length.

    Returns:
      Colour, distance and surface of the first hits.

    Raises:
      ValueError: if there is no scene of that name.

    >>> trace("room", [0.0, 0.0, 0.0], [0.0, 0.0, -2.0]).t
    array(2.2239)
    """
    o = np.asarray(origins, np.float64)
    d = np.asarray(directions, np.float64)
    o, d = np.broadcast_arrays(o, d)
    lead = o.shape[:-1]
    world, grids = _scene(name)
    rgb, t, surface_index = _trace_flat(world, grids, o.reshape(-1, 3), d.reshape(-1, 3))
    return Traced(rgb.reshape(*lead, 3), t.reshape(lead), surface_index.reshape(lead))


def _trace_flat(
    world: ProceduralWorld, grids: tuple[Array, ...], origins: Array, directions: Array
) -> tuple[Array, Array, NDArray[np.int64]]:
    """`trace` for `[N, 3]` (origins `[1, 3]` or `[N, 3]`), in blocks that limit the memory."""
    parts: list[tuple[Array, Array, NDArray[np.int64]]] = []
    for start in range(0, max(1, len(directions)), _BLOCK):
        o = origins if len(origins) == 1 else origins[start : start + _BLOCK]
        d = directions[start : start + _BLOCK]
        t, surface_index = first_hit(world.surfaces, o, d)
        length = np.sqrt(np.sum(d * d, axis=-1, keepdims=True))
        at = o + np.where(np.isfinite(t), t, 0.0)[:, None] * d
        parts.append((shade(world, grids, at, d / length, surface_index), t, surface_index))
    rgb, depths, surfaces = zip(*parts, strict=True)
    return np.concatenate(rgb), np.concatenate(depths), np.concatenate(surfaces)


def render_views(
    name: str,
    height: int = 94,
    width: int = 126,
    indices: Sequence[int] | None = None,
    *,
    supersample: int = 3,
    num_views: int | None = None,
) -> ProceduralViews:
    """Renders views of a bundled scene.

    The ray of the pixel in column i and row j has the direction

        [(i - width/2)/f, -(j - height/2)/f, -1],  f = focal width / 4032.

    The pixel's colour is the mean over a box of one pixel centred on that ray; its depth is that of
    the ray itself. Camera positions, depth and bounds are in scene units; the rotation's columns
    are [down, right, back]. The bounds are computed for images of 4:3. In much taller images, some
    depths may lie outside them.

    Args:
      name: one of NAMES.
      height, width: of the images, in pixels.
      indices: of the views to render; None means all.
      supersample: where an image is not smooth, `supersample`^2 rays sample a pixel's box.
      num_views: how many cameras the scene's arrangement has; None means the scene's own number.

    Raises:
      ValueError: if there is no scene of that name, or a size or number is less than 1.

    >>> images, depth, poses_bounds = render_views("room", 6, 8, [0, 16])
    >>> images.shape, depth.shape, poses_bounds.shape
    ((2, 6, 8, 3), (2, 6, 8), (2, 17))
    """
    scene = find_scene(name, num_views)
    if height < 1 or width < 1 or supersample < 1:
        raise ValueError(
            "Height, width and supersample must be at least 1, "
            f"not {height}, {width} and {supersample}."
        )
    world, grids = _scene(name)
    poses = camera_poses(scene.rig)
    chosen = np.arange(scene.rig.num_views) if indices is None else np.array(indices, np.int64)
    images = np.zeros((len(chosen), height, width, 4), np.uint8)
    depth = np.zeros((len(chosen), height, width), np.float32)
    for k, view in enumerate(chosen):
        images[k], depth[k] = _render_view(world, grids, poses[view], height, width, supersample)
    if not scene.is_transparent:
        images = images[..., :3].copy()
    return ProceduralViews(images, depth, _poses_bounds(name, num_views)[chosen])


def _render_view(
    world: ProceduralWorld,
    grids: tuple[Array, ...],
    pose: Array,
    height: int,
    width: int,
    supersample: int,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """One view: uint8 image `[height, width, 4]` and depth `[height, width]`."""
    rows, columns = (g.ravel().astype(np.float64) for g in np.indices((height, width)))

    def trace_pixels(c: Array, r: Array) -> tuple[Array, Array, NDArray[np.int64]]:
        d = pixel_rays(pose, c, r, height, width)
        return _trace_flat(world, grids, pose[None, :, 3], d)

    rgb, t, surface_index = trace_pixels(columns, rows)
    alpha = (surface_index >= 0).astype(np.float64)
    if supersample > 1:
        edges = np.flatnonzero(
            _needs_supersampling(
                rgb.reshape(height, width, 3), surface_index.reshape(height, width)
            )
        )
        offsets = (np.arange(supersample) + 0.5) / supersample - 0.5
        dy, dx = (g.ravel() for g in np.meshgrid(offsets, offsets, indexing="ij"))
        chunk = max(1, _BLOCK // supersample**2)
        for start in range(0, len(edges), chunk):
            part = edges[start : start + chunk]
            c, r = columns[part, None] + dx, rows[part, None] + dy
            colours, _, hits = trace_pixels(c.ravel(), r.ravel())
            alpha[part] = (hits >= 0).reshape(len(part), -1).mean(axis=1)
            rgb[part] = colours.reshape(len(part), -1, 3).mean(axis=1)
    covered = np.where(alpha > 0, alpha, 1.0)[:, None]
    shown = np.concatenate([encode_srgb(rgb / covered), alpha[:, None]], axis=-1)
    image = np.round(255.0 * np.clip(shown, 0.0, 1.0)).astype(np.uint8)
    return image.reshape(height, width, 4), t.astype(np.float32).reshape(height, width)


def _needs_supersampling(rgb: Array, surface_index: NDArray[np.int64]) -> NDArray[np.bool_]:
    """`[height, width]`: whether a pixel shows another surface or colour than a neighbour."""
    differs_somewhere = np.zeros(surface_index.shape, np.bool_)
    srgb = encode_srgb(rgb)
    height, width = surface_index.shape
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a: Any = (slice(0, height - dy), slice(max(0, -dx), width - max(0, dx)))
        b: Any = (slice(dy, height), slice(max(0, dx), width + min(0, dx)))
        differs = (surface_index[a] != surface_index[b]) | (
            np.abs(srgb[a] - srgb[b]).max(axis=-1) > 0.04
        )
        differs_somewhere[a] |= differs
        differs_somewhere[b] |= differs
    return differs_somewhere


@cache
def _bounds(name: str, num_views: int | None) -> Array:
    """near, far `[num_views, 2]`: 0.94 of the smallest and 1.1 of the largest depth on a grid."""
    world, _ = _scene(name)
    height, width = _BOUNDS_GRID
    rows, columns = (g.ravel() for g in np.mgrid[-1:height:36j, -1:width:48j])
    limits = []
    for pose in camera_poses(find_scene(name, num_views).rig):
        d = pixel_rays(pose, columns, rows, height, width)
        t, _ = first_hit(world.surfaces, pose[None, :, 3], d)
        t = t[np.isfinite(t)]
        limits.append((0.94 * t.min(), 1.1 * t.max()))
    return np.array(limits)


def _poses_bounds(name: str, num_views: int | None) -> Array:
    """`[num_views, 17]`, in LLFF's layout."""
    rows = pose_rows(camera_poses(find_scene(name, num_views).rig))
    return np.concatenate([rows, _bounds(name, num_views)], axis=-1)
