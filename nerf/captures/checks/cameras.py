"""Whether the cameras of a capture are possible."""

import numpy as np

from nerf.captures.capture import Capture, counted_views
from nerf.captures.format_record import LensAdvice
from nerf.geometry.poses import are_orthonormal

MAX_POSITION = 1e9  # in the files' unit


def check_cameras(capture: Capture, advice: LensAdvice) -> list[str]:
    """Checks that poses, lenses and bounds are possible.

    Args:
      capture: the cameras.
      advice: what to do about an impossible lens.

    Returns:
      The problems, one sentence each with the views concerned; empty if there are none.
    """
    rotations, lens = capture.camtoworlds[:, :, :3], capture.lens
    assert lens.distortion is not None
    with np.errstate(all="ignore"):
        is_skewed = ~are_orthonormal(rotations)
        is_mirrored = ~is_skewed & (np.linalg.det(np.nan_to_num(rotations)) < 0)
        faults = [
            (
                ~np.isfinite(capture.camtoworlds).all((1, 2)),
                "a pose with NaN or infinity",
                "make the poses again",
            ),
            (
                is_skewed & np.isfinite(capture.camtoworlds).all((1, 2)),
                "a rotation whose columns are not perpendicular unit vectors",
                "make the poses again, without a scale in the matrix",
            ),
            (is_mirrored, "a rotation that mirrors the axes", "change the sign of one axis"),
            (
                (np.abs(capture.camtoworlds[:, :, 3]) > MAX_POSITION).any(1),
                "a position beyond 1e9",
                "rescale the poses to a usual unit of length",
            ),
            (
                ~(np.isfinite(lens.focal) & (lens.focal > 0.01) & (lens.focal < 1e7)).all(1),
                "a focal length that is not between 0.01 and 1e7 pixels",
                advice.focal,
            ),
            (
                ~(np.isfinite(lens.centre) & (np.abs(lens.centre) < 1e6)).all(1),
                "a principal point that is not near the image",
                advice.principal_point,
            ),
            (
                ~(np.isfinite(lens.distortion) & (np.abs(lens.distortion) < 1e3)).all(1),
                "distortion that is not finite, or larger than any lens has",
                "calibrate the camera again",
            ),
        ]
        if capture.bounds is not None:
            near, far = capture.bounds.T
            good = np.isfinite(capture.bounds).all(1) & (near > 1e-9) & (far > near) & (far < 1e12)
            faults.append(
                (~good, "bounds that are not 0 < near < far, within 1e12", "give `near` and `far`")
            )
    return [
        f"{counted_views(np.flatnonzero(mask).tolist(), capture.names)} "
        f"{'has' if mask.sum() == 1 else 'have'} {fault}: {remedy}"
        for mask, fault, remedy in faults
        if mask.any()
    ]
