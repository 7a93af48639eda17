"""MS-SSIM, the structural similarity over five scales."""

import math

import chex
import numpy as np
import numpy.typing as npt
from scipy import ndimage

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first
_RADIUS, _SIGMA = 5, 1.5  # pixels; of the window, as for SSIM
_C1, _C2 = 0.01**2, 0.03**2

MIN_SIDE = 2 * _RADIUS * 2 ** (len(_WEIGHTS) - 1) + 1  # pixels: 161

Array = npt.NDArray[np.float64]


def ms_ssim(
    image: npt.NDArray[np.float32],
    truth: npt.NDArray[np.float32],
    mask: npt.NDArray[np.bool_] | None = None,
) -> float | None:
    """Multi-scale structural similarity, mean over channels.

        product over the scales j of mean(contrast_j * structure_j)^w_j

    At the coarsest scale, luminance is a third factor in the mean. At each scale the window and the
    constants are those of `nerf.render.image_metrics.ssim`. From one scale to the next, blocks of
    2 x 2 pixels are averaged; a last odd row or column is repeated. NumPy computes it, since to
    compile five scales for each size of image takes longer.

    Args:
      image, truth: `[height, width, 3]`, sRGB in [0, 1].
      mask: `[height, width]`, the pixels that count; None for all. Windows around them may hold
        others, which are taken for equal in both images. A pixel of a coarser scale counts by the
        share of its pixels that do.

    Returns:
      From 0 to 1; a negative mean counts as 0. None where a side is shorter than 161 pixels, which
      five scales need, or where no pixel counts.

    Source: Wang, Simoncelli and Bovik, Multiscale structural similarity for image quality
    assessment, 2003, equation 7 and the weights of section 3.2.
    """
    chex.assert_equal_shape([image, truth])
    if min(image.shape[:2]) < MIN_SIDE:
        return None
    counts = np.ones(image.shape[:2]) if mask is None else mask.astype(np.float64)
    masked = image if mask is None else np.where(mask[..., None], image, truth)
    a, b = masked.astype(np.float64), truth.astype(np.float64)
    product = np.ones(image.shape[-1])
    for scale, exponent in enumerate(_WEIGHTS):
        is_coarsest = scale == len(_WEIGHTS) - 1
        luminance, contrast_structure = _terms(a, b)
        each = luminance * contrast_structure if is_coarsest else contrast_structure
        inside = _inside(counts)
        if not inside.any():
            return None
        mean = np.einsum("hw,hwc->c", inside, each) / inside.sum()
        product *= np.maximum(mean, 0.0) ** exponent
        a, b, counts = _halved(a), _halved(b), _halved(counts)
    return float(np.mean(product))


def _terms(a: Array, b: Array) -> tuple[Array, Array]:
    """Luminance, and contrast times structure, of each window that lies wholly inside."""
    mean_a, mean_b = _blurred(a), _blurred(b)
    both = mean_a * mean_b
    squares = mean_a**2 + mean_b**2
    variances = _blurred(a**2 + b**2) - squares
    covariance = _blurred(a * b) - both
    luminance = (2.0 * both + _C1) / (squares + _C1)
    return luminance, (2.0 * covariance + _C2) / (variances + _C2)


def _blurred(image: Array) -> Array:
    """Gaussian means around the pixels whose windows lie wholly inside."""
    weights = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    for axis in (0, 1):
        image = ndimage.correlate1d(image, weights / weights.sum(), axis=axis)
    return _inside(image)


def _inside(image: Array) -> Array:
    return image[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]


def _halved(image: Array) -> Array:
    """Means of blocks of 2 x 2 pixels, `[ceil(height / 2), ceil(width / 2), ...]`."""
    height, width = image.shape[:2]
    rest = [(0, 0)] * (image.ndim - 2)
    even = np.pad(image, [(0, height % 2), (0, width % 2), *rest], mode="edge")
    blocks = even.reshape(math.ceil(height / 2), 2, math.ceil(width / 2), 2, *image.shape[2:])
    halved: Array = blocks.mean(axis=(1, 3))
    return halved
