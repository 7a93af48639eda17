"""Camera poses `[..., 3, 4]`, `[right, up, back | position]`, on the host."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
MAX_SKEW = 0.05  # of the products of a rotation's columns from those of perpendicular unit vectors


def look_at(back: Array, up: Array, position: Array) -> Array:
    """The pose `[3, 4]` at `position` that looks along `-back`, with `up` as far up as possible."""
    back = back / np.linalg.norm(back)
    right = np.cross(up, back)
    right = right / np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back, position], axis=-1)


def mean_pose(poses: Array) -> Array:
    """The mean of `[num_views, 3, 4]` poses: mean position, mean viewing direction, mean up."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return look_at(poses[:, :, 2].sum(0), poses[:, :, 1].sum(0), poses[:, :, 3].mean(0))


def similarity(rotation: Array, scale: float, centre: Array) -> Array:
    """The transform that moves `centre` to the origin, rotates, and scales all lengths.

        x -> scale rotation (x - centre)

    Args:
      rotation: `[3, 3]`.
      scale: > 0.
      centre: `[3]`.

    Returns:
      `[4, 4]`, for points in homogeneous coordinates.
    """
    transform = np.eye(4)
    transform[:3, :3] = scale * rotation
    transform[:3, 3] = -scale * (rotation @ centre)
    return transform


def scale_of(transform: Array) -> float:
    """How many times longer a similarity transform `[4, 4]` makes lengths."""
    return float(np.linalg.norm(transform[:3, 0]))


def transform_poses(transform: Array, poses: Array) -> Array:
    """Poses `[..., 3, 4]` in the coordinates that a similarity transform `[4, 4]` leads to.

    Positions are transformed as points; rotations are turned, and stay rotations.

    >>> moved = transform_poses(similarity(np.eye(3), 2.0, np.ones(3)), np.eye(3, 4))
    >>> moved[:, 3].tolist(), moved[:, :3].tolist() == np.eye(3).tolist()
    ([-2.0, -2.0, -2.0], True)
    """
    linear = transform[:3, :3]
    rotations = linear / scale_of(transform) @ poses[..., :3]
    positions = poses[..., 3] @ linear.T + transform[:3, 3]
    return np.concatenate([rotations, positions[..., None]], axis=-1)


def are_orthonormal(matrices: Array) -> npt.NDArray[np.bool_]:
    """Whether the columns of `[..., 3, 3]` are about perpendicular unit vectors, `[...]`."""
    with np.errstate(all="ignore"):
        products = np.swapaxes(matrices, -1, -2) @ matrices
        return np.asarray(np.all(np.abs(products - np.eye(3)) < MAX_SKEW, axis=(-2, -1)))


def are_rotations(matrices: Array) -> npt.NDArray[np.bool_]:
    """Whether `[..., 3, 3]` are about rotations, which do not mirror the axes, `[...]`."""
    with np.errstate(all="ignore"):
        is_proper = np.linalg.det(np.nan_to_num(matrices)) > 0
    return np.asarray(are_orthonormal(matrices) & is_proper)


def nearest_rotations(matrices: Array) -> Array:
    """The rotations `[..., 3, 3]` nearest to matrices that are slightly inexact."""
    left, _, right = np.linalg.svd(matrices)
    return np.asarray(left @ right)
