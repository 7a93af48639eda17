"""Camera rigs in LLFF's layout: forward-facing on a disc, or a 360 capture of one point."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nerf.procedural.surfaces import Array, unit

PHOTO_HEIGHT, PHOTO_WIDTH, PHOTO_FOCAL = 3024.0, 4032.0, 3575.0


class ForwardFacingRig(NamedTuple):
    """A forward-facing rig: `num_views` cameras on a disc around `centre`, looking at `focus`.

    Positions are in scene units.
    """

    num_views: int
    centre: tuple[float, float, float]
    spread: tuple[float, float, float]
    focus: tuple[float, float, float]


class OrbitRig(NamedTuple):
    """A 360 capture: `num_views` cameras at `distance` around `focus`, looking at it.

    Positions are in scene units. `elevation` is the lowest and the highest camera's angle above the
    horizon, in degrees.
    """

    num_views: int
    focus: tuple[float, float, float]
    distance: float
    elevation: tuple[float, float]


def view_order(num_views: int) -> list[int]:
    """The rank of each view, 0 for the innermost; every 8th view, often held out, is inside."""
    held_out = range(0, num_views, 8)
    inner = [min(1 + 3 * k, num_views - 1) for k in range(len(held_out))]
    rest = iter(rank for rank in range(num_views) if rank not in inner)
    chosen = iter(inner)
    return [next(chosen) if view % 8 == 0 else next(rest) for view in range(num_views)]


def camera_poses(rig: ForwardFacingRig | OrbitRig) -> Array:
    """Camera-to-world matrices `[V, 3, 4]`: columns right, up, back, centre."""
    return _disc_poses(rig) if isinstance(rig, ForwardFacingRig) else _orbit_poses(rig)


def _orbit_poses(rig: OrbitRig) -> Array:
    """Steps of the golden angle, so that even a few consecutive views surround the focus."""
    view = np.arange(rig.num_views)
    low, high = np.sin(np.radians(rig.elevation))
    height = low + (high - low) * (
        (view * 0.7548776662466927) % 1.0
    )  # a step unrelated to the angle's
    angle = 2.399963229728653 * view
    ring = np.sqrt(1.0 - height**2)
    back = np.stack([ring * np.sin(angle), height, ring * np.cos(angle)], axis=-1)
    centres = np.asarray(rig.focus) + rig.distance * back
    right = unit(np.cross(np.array([[0.0, 1.0, 0.0]]), back))
    return np.stack([right, np.cross(back, right), back, centres], axis=-1)


def _disc_poses(rig: ForwardFacingRig) -> Array:
    rank = np.array(view_order(rig.num_views), np.float64)
    ring = np.sqrt((rank + 0.5) / rig.num_views)
    angle = 2.399963229728653 * rank
    wobble = np.sin(3.7 * rank + 1.0)
    offset = np.stack([ring * np.cos(angle), ring * np.sin(angle), wobble], axis=-1)
    centres = np.asarray(rig.centre) + offset * np.asarray(rig.spread)
    back = unit(centres - np.asarray(rig.focus))
    roll = 0.012 * np.sin(5.1 * rank)
    level = np.stack([-np.sin(roll), np.cos(roll), np.zeros_like(roll)], axis=-1)
    right = unit(np.cross(level, back))
    return np.stack([right, np.cross(back, right), back, centres], axis=-1)


def pose_rows(poses: Array) -> Array:
    """LLFF's first fifteen numbers `[V, 15]` of camera-to-world matrices `[V, 3, 4]`."""
    right, up, back, centre = np.moveaxis(poses, -1, 0)
    photo = np.broadcast_to([PHOTO_HEIGHT, PHOTO_WIDTH, PHOTO_FOCAL], centre.shape)
    return np.stack([-up, right, back, centre, photo], axis=-1).reshape(len(poses), 15)


def pixel_rays(pose: Array, columns: Array, rows: Array, height: int, width: int) -> Array:
    """World directions `[N, 3]` through pixel positions `[N]`, one unit of depth long."""
    focal = PHOTO_FOCAL * width / PHOTO_WIDTH
    x, y = (columns - width / 2) / focal, -(rows - height / 2) / focal
    right, up, back = pose[:, 0], pose[:, 1], pose[:, 2]
    return x[:, None] * right + y[:, None] * up - back
