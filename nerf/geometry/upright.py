"""Which way is up, from the cameras, and the quarter turns that make an image upright.

A camera that is held upright has its up axis near the vertical. One that is held on its side, such
as a phone whose images are stored lying, has its right axis there, and over a full circle the up
axes of such cameras cancel out. What remains is the plane that the cameras stand in, around an
object, or else the axis that all their horizontal axes are perpendicular to.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.geometry.cameras import Cameras

Array = npt.NDArray[np.float64]
UP = np.array([0.0, 1.0, 0.0])  # in scene units
AXES = {
    f"{sign}{name}": float(f"{sign}1") * axis
    for sign in ("", "-")
    for name, axis in zip("xyz", np.eye(3), strict=True)
}

_MAX_THICKNESS = 0.2  # of the plane of cameras, of its smaller extent
_MIN_WIDTH = 0.25  # of the smaller extent of that plane, of the larger: an arc of 120 degrees
_SAME = np.cos(np.radians(5.0))  # between two directions that are taken for one
_CLEAR = np.cos(np.radians(60.0))  # at most between the normal and clear up axes
_MIN_AGREEMENT = 0.3  # the least length of the mean of up axes that do not cancel out
_MIN_VISIBLE = 0.5  # of the length of the up direction in an image: else the camera looks along it


class UpEstimate(NamedTuple):
    """Which way is up.

    Attributes:
      direction: `[3]`, unit.
      reason: what it follows from, for people; empty for the mean of the cameras' up axes.
    """

    direction: Array
    reason: str = ""


def estimate_up(camtoworlds: Array, ups: Array, focus: Array | None) -> UpEstimate:
    """Which way is up, from cameras.

    Args:
      camtoworlds: `[num_views, 3, 4]`.
      ups: `[num_views, 3]`, unit, the way up in each image where the files say it, else the
        camera's up axis.
      focus: `[3]`, the point that the cameras look at; None if they look at no one point.
    """
    poses = np.asarray(camtoworlds, np.float64)
    total = ups.sum(axis=0)
    length = float(np.linalg.norm(total)) / len(ups)
    mean = total / np.linalg.norm(total) if length > 1e-3 else ups[0]
    normal = None if focus is None else _plane_normal(poses[:, :, 3])
    if focus is not None and normal is not None:
        normal = _signed(normal, mean if length > 1e-3 else None, poses, focus)
        cosine = float(mean @ normal)
        differs = not np.allclose(ups, poses[:, :, 1])
        if cosine >= _SAME and length >= _MIN_AGREEMENT:
            return UpEstimate(mean)
        if not (differs and length >= _MIN_AGREEMENT and cosine < _CLEAR):
            return UpEstimate(normal, "from the plane that the cameras stand in")
    if length < _MIN_AGREEMENT:
        across = _across_axes(poses)
        if across is not None:
            return UpEstimate(
                across, "from the cameras' horizontal axes, to which it is perpendicular"
            )
    return UpEstimate(mean)


def _plane_normal(positions: Array) -> Array | None:
    """The normal `[3]` of the plane that positions lie in; None where they lie in no plane."""
    if len(positions) < 4:
        return None
    _, extents, axes = np.linalg.svd(positions - positions.mean(axis=0), full_matrices=False)
    is_plane = extents[2] < _MAX_THICKNESS * extents[1] and extents[1] > _MIN_WIDTH * extents[0]
    return np.asarray(axes[2]) if is_plane else None


def _signed(normal: Array, mean: Array | None, poses: Array, focus: Array) -> Array:
    """The normal or its opposite: as the up axes say, else so that the cameras look down."""
    if mean is not None and abs(float(mean @ normal)) > 0.2:
        return normal if mean @ normal > 0 else -normal
    above = float((poses[:, :, 3].mean(axis=0) - focus) @ normal)
    return normal if above >= 0 else -normal


def _across_axes(poses: Array) -> Array | None:
    """The direction to which all right axes, or all up axes, are nearly perpendicular, so that the
    cameras look down rather than up; None without one.
    """
    found = []
    for column in (0, 1):
        axes = poses[:, :, column]
        values, vectors = np.linalg.eigh(axes.T @ axes / len(axes))
        found.append((float(values[0] / max(values[1], 1e-12)), vectors[:, 0]))
    ratio, direction = min(found, key=lambda each: each[0])
    if ratio > 0.2:
        return None
    is_down = float(poses[:, :, 2].sum(axis=0) @ direction) >= 0
    return np.asarray(direction if is_down else -direction)


def quarter_turns(camtoworld: npt.ArrayLike, up: Array = UP) -> int:
    """How often an image must be turned to the left by 90 degrees to be upright, 0 to 3.

    Args:
      camtoworld: `[3, 4]`, in coordinates in which `up` is up.
      up: `[3]`, unit.

    >>> lying = np.array(
    ...     [[0.0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0]]
    ... )  # up is to the left
    >>> quarter_turns(np.eye(3, 4)), quarter_turns(lying)
    (0, 3)
    """
    right, ahead, _ = up @ np.asarray(camtoworld, np.float64)[:, :3]
    if np.hypot(right, ahead) < _MIN_VISIBLE:
        return 0
    return int(np.round(np.arctan2(right, ahead) / (0.5 * np.pi))) % 4


def upright_cameras(cameras: Cameras) -> Cameras:
    """Cameras `[num_views]` in scene units, turned so that their images are upright.

    Their images have one size, which is that of most of them. Those without a lens, and the middle
    of whose images stays where it is, see what they saw.
    """
    poses = np.asarray(cameras.camtoworlds, np.float32)
    turns = [quarter_turns(pose) for pose in poses]
    if not any(turns):
        return cameras
    turned = np.stack([turned_pose(pose, n) for pose, n in zip(poses, turns, strict=True)])
    height, width = cameras.height, cameras.width
    if lies_on_its_side(poses):
        height, width = width, height
    return dataclasses.replace(cameras, camtoworlds=turned, height=height, width=width, lens=None)


def lies_on_its_side(camtoworlds: npt.ArrayLike) -> bool:
    """Whether most images of cameras `[num_views, 3, 4]` must be turned by 90 or 270 degrees."""
    poses = np.asarray(camtoworlds)
    return 2 * sum(quarter_turns(pose) % 2 for pose in poses) > len(poses)


def turned_pose(camtoworld: npt.NDArray[np.float32], turns: int) -> npt.NDArray[np.float32]:
    """The pose `[3, 4]` of an image that is turned to the left by quarter turns."""
    right, up, back, position = camtoworld.T
    columns = [(right, up), (-up, right), (-right, -up), (up, -right)][turns % 4]
    return np.stack([*columns, back, position], axis=-1)
