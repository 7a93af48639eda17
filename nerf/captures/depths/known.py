"""Known depths of the views of a capture: points that views show, and depth images."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.captures.safe_files.reading import check_inside

Floats = npt.NDArray[np.float64]

_MILLIMETRE = 1e-3
LIDAR_RANGE = 5.0  # metres, beyond which the depth of a phone is a guess


class PointDepths(NamedTuple):
    """Depths of points in the views that show them.

    Attributes:
      view: `[num_depths]`, the index of the view.
      column, row: `[num_depths]`, pixel coordinates in the image that the lens describes, see
        `nerf.geometry.lenses`.
      depth: `[num_depths]`, > 0, in the files' unit, along the viewing axis; of a panorama, the
        distance.
      sigma: `[num_depths]`, > 0, the standard deviation of `depth`, in the files' unit.
      weight: `[num_depths]`, > 0, how much each counts.
    """

    view: npt.NDArray[np.int64]
    column: Floats
    row: Floats
    depth: Floats
    sigma: Floats
    weight: Floats

    def subset(self, index: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "PointDepths":
        """Some of the depths, by an index of NumPy."""
        return PointDepths._make(x[index] for x in self)


class DepthFile(NamedTuple):
    """The depth image of a view: depth along the viewing axis, 0 where it is not known.

    Attributes:
      file: a .png or .tif of 16 bits or more, a .npy, or an .exr.
      unit: the value 1 of the file, in the files' unit of length.
      confidence: an image of the same shape, 0 where the depth is not to be trusted; None for none.
      farthest: greater depths are not used, in the files' unit.
      has_scale_of_poses: whether the device that measured the depth also tracked the poses.
    """

    file: Path
    unit: float
    confidence: Path | None = None
    farthest: float = np.inf
    has_scale_of_poses: bool = False


def lidar_depth(
    file: Path, confidence: Path, root: Path, *, follow_links: bool
) -> DepthFile | None:
    """The depth image of a phone, in millimetres; None without one.

    Args:
      file: where it would be.
      confidence: where its confidence would be.
      root: the folder out of which neither may lead.
      follow_links: whether symbolic links that lead out of the folder are followed.
    """
    if not file.is_file():
        return None
    for each in (file, confidence):
        check_inside(root, each, follow_links=follow_links)
    return DepthFile(
        file,
        unit=_MILLIMETRE,
        confidence=confidence if confidence.is_file() else None,
        farthest=LIDAR_RANGE,
        has_scale_of_poses=True,
    )
