"""Depth images clamped at a greatest value, which then stands for everything farther away."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from nerf.captures.capture import Capture

Floats = npt.NDArray[np.float64]

_MIN_SHARE = 0.01  # of the known pixels of an image, which are exactly at the limit
_MIN_IMAGES = 0.05  # of the images, which share the limit
_SAME_PLANE = 0.01  # of the limit, between planes that may be one wall
_SAME_COSINE = np.cos(np.radians(1.0))


def without_clamped(
    read: Mapping[int, Floats], capture: Capture
) -> tuple[dict[int, Floats], list[str]]:
    """Depth images without the pixels at the value at which they are clamped.

    Many pixels of many images then have exactly the greatest depth of all. A wall that faces the
    cameras has that too, but it is one plane; here the pixels of different views would lie on
    different ones.

    Args:
      read: depth images by their views, 0 where they are not known.
      capture: with the poses.

    Returns:
      The images, and a note if some were clamped.
    """
    unchanged = dict(read)
    greatest = max((float(depth.max()) for depth in read.values()), default=0.0)
    if greatest == 0.0:
        return unchanged, []
    shares = {
        view: float((depth == greatest).sum()) / max(int((depth > 0).sum()), 1)
        for view, depth in read.items()
    }
    at_limit = [view for view, share in shares.items() if share >= _MIN_SHARE]
    if len(at_limit) < max(2, _MIN_IMAGES * len(read)) or _is_wall(capture, at_limit, greatest):
        return unchanged, []
    share = float(np.mean(list(shares.values())))
    note = (
        f"{share:.0%} of the known pixels of the depth images have exactly the greatest depth, "
        f"{greatest:.5g}, as where a program clamps what is farther away: they are not used"
    )
    return {view: np.where(depth == greatest, 0.0, depth) for view, depth in read.items()}, [note]


def _is_wall(capture: Capture, views: list[int], depth: float) -> bool:
    """Whether the pixels of some views at one depth may be on one plane."""
    backs, positions = capture.camtoworlds[views, :, 2], capture.camtoworlds[views, :, 3]
    offsets = np.sum((positions - positions[0]) * backs[0], axis=-1)
    is_parallel = backs @ backs[0] > _SAME_COSINE
    return bool((is_parallel & (np.abs(offsets) < _SAME_PLANE * depth)).all())
