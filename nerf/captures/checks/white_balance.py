"""White balance that changes between images, as with automatic white balance.

Views differ in colour because they show different things. White balance is told apart from that as
exposure is in `nerf.captures.checks.brightness`: it scales the ratio of two channels in all pixels,
so that all quantiles of its logarithm move together.
"""

import numpy as np
import numpy.typing as npt

from nerf.captures.capture import Array
from nerf.captures.checks.brightness import (
    ADVICE,
    DARKEST,
    GAMMA,
    MIN_VIEWS,
    common_gain,
    neighbours,
    sample,
)

_QUANTILES = (0.25, 0.5, 0.75)
_MAX_STEP = 0.1  # mean difference of the logarithm of a ratio between views that are neighbours


def ratios_of(pixels: npt.NDArray[np.uint8]) -> Array:
    """Quantiles `[3, 2]` of log(red / green) and log(blue / green); NaN for too few pixels.

    Args:
      pixels: `[height, width, 3 or 4]`, sRGB, with alpha.
    """
    found = sample(pixels)
    if found is None:
        return np.full((len(_QUANTILES), 2), np.nan)
    light = np.log((found / 255.0) ** GAMMA + DARKEST)
    return np.asarray(np.quantile(light[:, ::2] - light[:, 1:2], _QUANTILES, axis=0), np.float64)


def notes_on_white_balance(ratios: Array, camtoworlds: Array) -> list[str]:
    """A note if the white balance of the images changes between neighbours.

    Args:
      ratios: `[num_views, 3, 2]`, see `ratios_of`.
      camtoworlds: `[num_views, 3, 4]`.
    """
    is_known = np.isfinite(ratios).all(axis=(1, 2))
    ratios, poses = ratios[is_known], camtoworlds[is_known]
    if len(ratios) < MIN_VIEWS:
        return []
    steps = ratios - ratios[neighbours(poses)]
    means = [float(np.abs(common_gain(steps[..., channel])).mean()) for channel in range(2)]
    if max(means) <= _MAX_STEP:
        return []
    return [
        f"the white balance of the images changes, by {100 * np.expm1(max(means)):.0f} % from one "
        f"view to the nearest: {ADVICE}"
    ]
