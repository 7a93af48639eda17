"""How close a rendered image is to the truth: PSNR, SSIM, error of the depth."""

import functools

import chex
import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt


def psnr(
    image: npt.NDArray[np.float32],
    truth: npt.NDArray[np.float32],
    mask: npt.NDArray[np.bool_] | None = None,
) -> float:
    """Peak signal-to-noise ratio, -10 log10 of the mean squared error, for values in [0, 1].

    Args:
      image, truth: `[height, width, 3]`, sRGB in [0, 1].
      mask: `[height, width]`, the pixels that count; None for all.

    Returns:
      dB; infinite where both are equal, NaN if no pixel counts.

    >>> import numpy as np
    >>> round(
    ...     psnr(np.zeros((2, 2, 3), np.float32), np.full((2, 2, 3), 0.1, np.float32)),
    ...     3,
    ... )
    20.0
    """
    chex.assert_equal_shape([image, truth])
    squares = np.square(image.astype(np.float64) - truth.astype(np.float64))
    counted = squares if mask is None else squares[mask]
    if counted.size == 0:
        return float("nan")
    error = float(np.mean(counted))
    return float("inf") if error == 0.0 else float(-10.0 * np.log10(error))


def ssim(
    image: npt.NDArray[np.float32],
    truth: npt.NDArray[np.float32],
    mask: npt.NDArray[np.bool_] | None = None,
) -> float:
    """Structural similarity, mean over pixels and channels, by dm-pix.

    An 11 x 11 Gaussian window of standard deviation 1.5, K1 = 0.01, K2 = 0.03, values in [0, 1]:
    the settings of Wang et al. 2004 and of JaxNeRF's evaluation.

    Args:
      image, truth: `[height, width, 3]`, sRGB in [0, 1]; sides of at least 11 pixels.
      mask: `[height, width]`, the pixels that count; None for all. Windows around them may hold
        others, which are taken for equal in both images.

    Returns:
      At most 1; NaN where a side is shorter than the window, or no pixel counts.
    """
    chex.assert_equal_shape([image, truth])
    if min(image.shape[:2]) < 11:
        return float("nan")
    with jax.numpy_dtype_promotion("standard"):  # dm-pix mixes integers and floats
        if mask is None:
            return float(_jitted_ssim(jnp.asarray(image), jnp.asarray(truth)))
        masked = np.where(mask[..., None], image, truth)
        each = np.asarray(_ssim_map(jnp.asarray(masked), jnp.asarray(truth)))
    rows, columns = ((n - m) // 2 for n, m in zip(mask.shape, each.shape[:2], strict=True))
    centres = mask[rows : rows + each.shape[0], columns : columns + each.shape[1]]
    return float(np.mean(each[centres])) if centres.any() else float("nan")


_jitted_ssim = jax.jit(dm_pix.ssim)
_ssim_map = jax.jit(functools.partial(dm_pix.ssim, return_map=True))


def depth_error(depth: npt.NDArray[np.float32], truth: npt.NDArray[np.float32]) -> float:
    """The mean of |depth / truth - 1| over pixels where there is something.

    Args:
      depth: `[height, width]`, along the viewing axis, in any unit.
      truth: of the same shape and in the same unit, > 0, inf where there is nothing.

    Returns:
      >= 0; NaN where there is nothing anywhere.

    >>> import numpy as np
    >>> depth_error(np.array([[1.5, 3.0, 7.0]]), np.array([[2.0, 4.0, np.inf]]))
    0.25
    """
    chex.assert_equal_shape([depth, truth])
    found, known = (x[np.isfinite(truth)].astype(np.float64) for x in (depth, truth))
    return float(np.mean(np.abs(found / known - 1.0))) if known.size else float("nan")
