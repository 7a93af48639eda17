"""Brightness that changes between images, as with automatic exposure.

Views differ in brightness because they show different things. Exposure is told apart from that by
quantiles: it scales all of them together, while another content moves some and not others.
"""

import numpy as np
import numpy.typing as npt

from nerf.captures.capture import Array

_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_INNER = slice(1, 4)
_MEDIAN = 2
_LUMA = np.array([0.299, 0.587, 0.114])
GAMMA = 2.2
DARKEST = 0.003  # light that is added, so that dark pixels do not count too much
_SAMPLES = 128  # pixels along the longer side that are looked at
_MIN_PIXELS = 200  # that are not transparent, the fewest that say how bright an image is
MIN_VIEWS = 5
_MAX_SPREAD = 0.6  # of the log of the gain over the views, from its 10th percentile to its 90th
_MAX_STEP = 0.1  # mean difference of the logarithm of the gain between views that are neighbours

ADVICE = (
    'training learns exposure and white balance of each view, which `exposure="off"` turns off; '
    "lock the exposure and the white balance when you take images, or develop all with the same "
    "settings"
)


def quantiles_of(pixels: npt.NDArray[np.uint8]) -> Array:
    """Quantiles `[5]` of the brightness of an image, in [0, 1]; NaN if it has too few pixels.

    Args:
      pixels: `[height, width, 3 or 4]`, sRGB, with alpha.
    """
    found = sample(pixels)
    if found is None:
        return np.full(len(_QUANTILES), np.nan)
    return np.asarray(np.quantile(found @ _LUMA / 255.0, _QUANTILES), np.float64)


def sample(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8] | None:
    """Colours `[num_pixels, 3]` of an image, of pixels that are not transparent; None for too few.

    Args:
      pixels: `[height, width, 3 or 4]`, sRGB, with alpha.
    """
    step = max(1, max(pixels.shape[:2]) // _SAMPLES)
    found = pixels[::step, ::step].reshape(-1, pixels.shape[-1])
    if pixels.shape[-1] == 4:
        found = found[found[:, 3] >= 128]
    return None if len(found) < _MIN_PIXELS else found[:, :3]


def notes_on_brightness(
    quantiles: Array, camtoworlds: Array, *, is_object: bool = False
) -> list[str]:
    """A note if the exposure of the images changes.

    Args:
      quantiles: `[num_views, 5]`, see `quantiles_of`.
      camtoworlds: `[num_views, 3, 4]`.
      is_object: whether the images show an object alone, whose sides may differ as much.
    """
    is_known = np.isfinite(quantiles).all(axis=1)
    quantiles, poses = quantiles[is_known], camtoworlds[is_known]
    if len(quantiles) < MIN_VIEWS:
        return []
    light = np.log(quantiles**GAMMA + DARKEST)
    gains = common_gain((light - np.median(light, axis=0))[:, _INNER])
    low, high = np.percentile(gains, [10, 90])
    steps = np.abs(common_gain(light - light[neighbours(poses)]))
    if (is_object or high - low <= _MAX_SPREAD) and steps.mean() <= _MAX_STEP:
        return []
    medians = quantiles[:, _MEDIAN]
    return [
        f"the brightness of the images changes, their medians are between {medians.min():.2f} and "
        f"{medians.max():.2f}: {ADVICE}"
    ]


def common_gain(differences: Array) -> Array:
    """`[num_views]`: the least of `[num_views, n]` differences, 0 where their signs differ."""
    is_common = (differences > 0).all(axis=1) | (differences < 0).all(axis=1)
    least = np.abs(differences).min(axis=1) * np.sign(differences[:, 0])
    return np.where(is_common, least, 0.0)


def neighbours(poses: Array) -> npt.NDArray[np.int64]:
    """`[num_views]`: for each view, the one that is nearest in position and direction."""
    positions, back = poses[:, :, 3], poses[:, :, 2]
    extent = max(
        float(np.median(np.linalg.norm(positions - positions.mean(axis=0), axis=1))), 1e-12
    )
    nearest = np.zeros(len(poses), np.int64)
    for index, (position, axis) in enumerate(zip(positions, back, strict=True)):
        distance = np.linalg.norm(positions - position, axis=1) / extent
        difference = distance + np.arccos(np.clip(back @ axis, -1.0, 1.0))
        difference[index] = np.inf
        nearest[index] = int(np.argmin(difference))
    return nearest
