"""How the cameras of a capture stand, and what follows from it."""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_FORWARD_COSINE = 0.64  # of the widest angle to the mean view in a forward-facing rig, 50 degrees
_AIMED_COSINE = 0.82  # of the angle between a view and where the focus is, 35 degrees
_AIMED_SHARE = 0.9  # of the cameras that must look at the focus in a rig that looks inward


class Rig(NamedTuple):
    """How cameras stand.

    Attributes:
      kind: "forward" if all look much the same way, "inward" if they stand around something that
        they look at, else "free".
      focus: `[3]`, the point nearest to all viewing axes.
      up: `[3]`, unit, the mean of the cameras' up.
      num_aimed: how many cameras look at the focus.
    """

    kind: Literal["forward", "inward", "free"]
    focus: Array
    up: Array
    num_aimed: int


def classify_rig(camtoworlds: npt.NDArray[np.floating]) -> Rig:
    """The rig of poses `[num_views, 3, 4]` whose columns are right, up, back | position.

    >>> classify_rig(np.eye(3, 4)[None]).kind
    'forward'
    """
    poses = np.asarray(camtoworlds, np.float64)
    back, positions = poses[:, :, 2], poses[:, :, 3]
    focus = nearest_to_axes(positions, back)
    towards = focus - positions
    distance = np.linalg.norm(towards, axis=-1)
    cosine = -np.sum(back * towards, axis=-1) / np.maximum(distance, 1e-12)
    num_aimed = int(np.sum(cosine > _AIMED_COSINE))
    mean_back = back.sum(axis=0)
    length = float(np.linalg.norm(mean_back))
    kind: Literal["forward", "inward", "free"] = "free"
    if length > 0.1 * len(poses) and (back @ (mean_back / length) > _FORWARD_COSINE).all():
        kind = "forward"
    elif num_aimed >= _AIMED_SHARE * len(poses):
        kind = "inward"
    return Rig(kind, focus, mean_up(poses), num_aimed)


def nearest_to_axes(positions: Array, back: Array) -> Array:
    """The point `[3]` with the least sum of squared distances to all viewing axes.

    Where the axes are as good as parallel it is, along them, where the cameras are.

    Args:
      positions: `[num_views, 3]`.
      back: `[num_views, 3]`, unit.
    """
    across = np.eye(3) - back[:, :, None] * back[:, None, :]
    middle = positions.mean(axis=0)
    wanted = np.einsum("vij,vj->i", across, positions - middle)
    return np.asarray(middle + np.linalg.lstsq(across.sum(axis=0), wanted, rcond=1e-4)[0])


def mean_up(poses: Array) -> Array:
    """The mean of the cameras' up axes, unit; the first camera's where they cancel out."""
    up = poses[:, :, 1].sum(axis=0)
    length = float(np.linalg.norm(up))
    return np.asarray(up / length if length > 1e-3 * len(poses) else poses[0, :, 1])


def widest_gap(offsets: Array) -> tuple[float, float]:
    """The widest part of the horizon, y up, that directions `[num_views, 3]` leave free.

    Returns:
      Where it ends and how wide it is, in radians; angles go from +z to +x.

    >>> end, width = widest_gap(np.array([[0.0, 0, 1], [1, 0, 0], [0, 0, -1]]))
    >>> bool(np.isclose(end, 0.0)), bool(np.isclose(width, np.pi))
    (True, True)
    """
    angles = np.sort(np.arctan2(offsets[:, 0], offsets[:, 2]))
    gaps = np.diff(np.append(angles, angles[0] + 2 * np.pi))
    widest = int(np.argmax(gaps))
    return float(angles[(widest + 1) % len(angles)]), float(gaps[widest])


def upright(up: Array) -> Array:
    """The rotation `[3, 3]` that brings `up` onto +y by the shortest way."""
    target = np.array([0.0, 1.0, 0.0])
    cosine = float(up @ target)
    if cosine < -1.0 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    axis = np.cross(up, target)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / (1.0 + cosine))
