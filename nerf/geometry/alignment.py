"""Two sets of poses of the same cameras: their similarity transform and residual errors.

The coordinates of poses that were found from images are arbitrary: they can be turned, moved and
scaled together. So poses are compared after such a transform.
"""

from typing import NamedTuple

import chex
import numpy as np
import numpy.typing as npt

from nerf.geometry.poses import Array, nearest_rotations, similarity, transform_poses

_SAME_PLACE = 1e-9  # of the size of coordinates, positions that do not show a scale


class PoseErrors(NamedTuple):
    """How far poses are from those of other cameras, after an alignment.

    Attributes:
      angles: `[num_views]`, radians.
      distances: `[num_views]`, in the unit of the other poses.
    """

    angles: Array
    distances: Array


def similarity_between(poses: npt.ArrayLike, others: npt.ArrayLike) -> Array:
    """The similarity transform that takes poses closest to others of the same cameras.

    The rotation is that of the orientations; scale and translation then follow from
    the positions by least squares. Positions determine the rotation less well: not at all about a
    row of cameras, and in a small rig they differ little.

    Args:
      poses, others: `[num_views, 3, 4]`, see `nerf.geometry.poses`.

    Returns:
      `[4, 4]`. The scale is 1 where all positions are the same.

    Source: for points, Umeyama 1991, equations 40 to 42.

    >>> poses = np.concatenate(
    ...     [np.stack([np.eye(3)] * 2), np.eye(3)[:2, :, None]], axis=-1
    ... )
    >>> similarity_between(
    ...     poses, transform_poses(similarity(np.eye(3), 2.0, np.ones(3)), poses)
    ... )[:3, 3].round(6).tolist()
    [-2.0, -2.0, -2.0]
    """
    first, second = (np.asarray(each, np.float64) for each in (poses, others))
    chex.assert_shape([first, second], (len(first), 3, 4))
    centre, other_centre = first[..., 3].mean(axis=0), second[..., 3].mean(axis=0)
    here, there = first[..., 3] - centre, second[..., 3] - other_centre
    spread = np.sqrt(np.sum(np.square(here)) * np.sum(np.square(there)))
    has_spread = spread > (_SAME_PLACE * (1.0 + np.abs(second[..., 3]).max())) ** 2
    rotation = nearest_rotations(np.einsum("vij,vkj->ik", second[..., :3], first[..., :3]))
    scale = 1.0
    if has_spread:
        along = float(np.sum(there * (here @ rotation.T)))
        scale = max(along, 0.0) / float(np.sum(np.square(here))) or 1.0
    transform = similarity(rotation, scale, centre)
    transform[:3, 3] += other_centre
    return transform


def pose_errors(poses: npt.ArrayLike, truth: npt.ArrayLike) -> PoseErrors:
    """Angles and distances between poses, after `similarity_between`, and the true ones.

    Args:
      poses, truth: `[num_views, 3, 4]`.
    """
    true = np.asarray(truth, np.float64)
    aligned = transform_poses(similarity_between(poses, true), np.asarray(poses, np.float64))
    # Half the angle from the distance of the matrices, which is exact where the angle is small.
    apart = np.linalg.norm(aligned[..., :3] - true[..., :3], axis=(-2, -1))
    angles = 2.0 * np.arcsin(np.minimum(apart / np.sqrt(8.0), 1.0))
    return PoseErrors(angles, np.linalg.norm(aligned[..., 3] - true[..., 3], axis=-1))
