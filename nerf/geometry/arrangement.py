"""How the cameras of a capture are arranged: the kind, the focus and the up direction."""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.geometry.upright import estimate_up

Array = npt.NDArray[np.float64]

_FORWARD_COSINE = 0.64  # 50 degrees, the most between an axis and the mean axis, if forward-facing
_AIMED_COSINE = 0.82  # 35 degrees, the most between an axis and the direction to the focus
_AIMED_FRACTION = 0.9  # of the cameras, the least that look at the focus if they face inward


class CameraArrangement(NamedTuple):
    """The arrangement of cameras.

    Attributes:
      kind: "forward" if all cameras look in about the same direction, "inward" if nearly all look
        at one point, else "free".
      focus: `[3]`, the point nearest to all viewing axes, in the unit of the poses.
      up: `[3]`, unit, the direction that is given, else estimated, see `nerf.geometry.upright`.
      num_aimed: the number of cameras that look at the focus.
    """

    kind: Literal["forward", "inward", "free"]
    focus: Array
    up: Array
    num_aimed: int


def find_arrangement(
    camtoworlds: npt.NDArray[np.floating], up: Array | None = None
) -> CameraArrangement:
    """Finds the arrangement of cameras from their poses.

    Args:
      camtoworlds: `[num_views, 3, 4]`, columns right, up, back | position, any unit.
      up: `[3]`, unit, which way is up; None estimates it from the cameras.

    >>> find_arrangement(np.eye(3, 4)[None]).kind
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
    elif num_aimed >= _AIMED_FRACTION * len(poses):
        kind = "inward"
    if up is None:
        around = focus if kind == "inward" else None
        up = estimate_up(poses, poses[:, :, 1], around).direction
    return CameraArrangement(kind, focus, up, num_aimed)


def suitable_path(camtoworlds: npt.ArrayLike) -> str:
    """The camera path for poses `[num_views, 3, 4]`: around what they look at, or through them."""
    return (
        "orbit"
        if find_arrangement(np.asarray(camtoworlds, np.float64)).kind == "inward"
        else "interpolate"
    )


def nearest_to_axes(positions: Array, back: Array) -> Array:
    """The point `[3]` with the least sum of squared distances to all viewing axes.

    Along a direction in which the axes leave it free (nearly parallel axes), it is at the mean of
    the positions.

    Args:
      positions: `[num_views, 3]`.
      back: `[num_views, 3]`, unit.
    """
    across = np.eye(3) - back[:, :, None] * back[:, None, :]
    mean = positions.mean(axis=0)
    right_side = np.einsum("vij,vj->i", across, positions - mean)
    return np.asarray(mean + np.linalg.lstsq(across.sum(axis=0), right_side, rcond=1e-4)[0])


def widest_gap(offsets: Array) -> tuple[float, float]:
    """The widest horizontal angle between neighbouring directions.

    Args:
      offsets: `[num_views, 3]`, directions with y up; their heights do not count.

    Returns:
      The angle at which the gap ends and its width, in radians; angles go from +z to +x.

    >>> end, width = widest_gap(np.array([[0.0, 0, 1], [1, 0, 0], [0, 0, -1]]))
    >>> bool(np.isclose(end, 0.0)), bool(np.isclose(width, np.pi))
    (True, True)
    """
    angles = np.sort(np.arctan2(offsets[:, 0], offsets[:, 2]))
    gaps = np.diff(np.append(angles, angles[0] + 2 * np.pi))
    widest = int(np.argmax(gaps))
    return float(angles[(widest + 1) % len(angles)]), float(gaps[widest])


def rotation_to_upright(up: Array) -> Array:
    """The least rotation `[3, 3]` that turns the unit vector `up` into +y."""
    target = np.array([0.0, 1.0, 0.0])
    cosine = float(up @ target)
    if cosine < -1.0 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    axis = np.cross(up, target)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / (1.0 + cosine))
