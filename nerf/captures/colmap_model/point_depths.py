"""The depths of COLMAP's points in the images that show them, and how far they can be wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nerf.captures.capture import MAX_DEPTH, Array
from nerf.captures.colmap_model.files import Camera, Image, Point
from nerf.captures.depths.known import PointDepths
from nerf.captures.lenses.models import HALF_PIXEL

_LEAST_ERROR, _MOST_ERROR = 0.25, 1e6  # pixels, of a keypoint
_MOST_NUMBER = 2**63
_LEAST_SIGMA, _MOST_SIGMA = 0.003, 0.15  # of the depth


def point_depths(
    camtoworlds: Array,
    is_panorama: Sequence[bool],
    images: Sequence[Image],
    cameras: Sequence[Camera],
    focals: npt.NDArray[np.float64],
    points: Mapping[int, Point],
) -> PointDepths | None:
    """Depths of points at the keypoints that they were found from.

    The reprojection error e of a point, in pixels, is an angle e / f, and so its depth z is known
    to about

        sigma = z e / (f a sqrt(n)),    a the angle by which the directions of its n images differ

    A point counts as 2 / (1 + (e / mean e)^2). Points that are known to less than 15 % are left
    out: they are far away, or seen from one place.

    Args:
      camtoworlds: `[num_views, 3, 4]`.
      is_panorama: `[num_views]`, whose depths are distances.
      images, cameras: `[num_views]`, with keypoints; the sizes of the images.
      focals: `[num_views]`, in pixels.
      points: by their numbers.

    Returns:
      The depths; None without any.
    """
    ids = np.array(sorted(number for number in points if number < _MOST_NUMBER), np.int64)
    if len(ids) == 0:
        return None
    positions = np.array([points[number].position for number in ids.tolist()])
    errors = _errors([points[number].error for number in ids.tolist()])
    view, column, row, which = _keypoints(images, ids)
    with np.errstate(all="ignore"):
        offset = positions[which] - camtoworlds[view, :, 3]
        distance = np.linalg.norm(offset, axis=-1)
        ahead = -np.sum(offset * camtoworlds[view, :, 2], axis=-1)
        depth = np.where(np.asarray(is_panorama, bool)[view], distance, ahead)
        spread = _spread(offset / distance[:, None], which, len(ids))
        relative = np.maximum(errors[which] / (focals[view] * spread[which]), _LEAST_SIGMA)
        weight = 2.0 / (1.0 + np.square(errors[which] / errors.mean()))
    sizes = np.array([[camera.width, camera.height] for camera in cameras])[view]
    is_valid = (column > -0.5) & (row > -0.5) & (column < sizes[:, 0]) & (row < sizes[:, 1])
    is_valid &= (depth > 0) & (depth < MAX_DEPTH) & (relative < _MOST_SIGMA) & (weight > 0)
    if not is_valid.any():
        return None
    found = PointDepths(view, column, row, depth, np.zeros_like(depth), weight).subset(is_valid)
    return found._replace(sigma=relative[is_valid] * found.depth)


def _errors(given: Sequence[float]) -> npt.NDArray[np.float64]:
    """Reprojection errors; unknown or impossible ones become the median of the others."""
    errors = np.array(given)
    is_known = np.isfinite(errors) & (errors > 0) & (errors < _MOST_ERROR)
    usual = float(np.median(errors[is_known])) if is_known.any() else 1.0
    return np.maximum(np.where(is_known, errors, usual), _LEAST_ERROR)


def _keypoints(
    images: Sequence[Image], ids: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], Array, Array, npt.NDArray[np.int64]]:
    """View, column, row and index in `ids` of each keypoint `[num_keypoints]` of a point."""
    found: list[tuple[npt.NDArray[Any], ...]] = []
    for view, image in enumerate(images):
        where = np.minimum(np.searchsorted(ids, image.point_ids), len(ids) - 1)
        is_known = ids[where] == image.point_ids
        pixels = image.keypoints[is_known] - HALF_PIXEL
        found.append((np.full(len(pixels), view), pixels[:, 0], pixels[:, 1], where[is_known]))
    views, column, row, known = (np.concatenate(each) for each in zip(*found, strict=True))
    return views, column, row, known


def _spread(
    directions: Array, which: npt.NDArray[np.int64], num_points: int
) -> npt.NDArray[np.float64]:
    """The spread of the directions to each point, times the square root of their number.

    Args:
      directions: `[num_keypoints, 3]`, unit.
      which: `[num_keypoints]`, the point of each.
      num_points: of all points.

    Returns:
      `[num_points]`, radians: the root of the sum of the squared angles to their mean.
    """
    count = np.bincount(which, minlength=num_points)
    sums = [np.bincount(which, directions[:, axis], num_points) for axis in range(3)]
    # The sum of |u - mean|^2 over n unit vectors is n - |sum|^2 / n.
    squared = count - np.sum(np.square(sums), axis=0) / np.maximum(count, 1)
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)))
