"""Scores of rendered views against their photographs."""

import dataclasses
from typing import Any

import chex
import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nerf.scenes.scene import Split


@dataclasses.dataclass(frozen=True)
class ViewScore:
    """One view: its index in the scene, PSNR in dB, SSIM."""

    index: int
    psnr: float
    ssim: float


def psnr(image: npt.NDArray[np.float32], truth: npt.NDArray[np.float32]) -> float:
    """Peak signal-to-noise ratio, -10 log10 of the mean squared error, for values in [0, 1].

    Args:
      image, truth: `[height, width, 3]`, sRGB in [0, 1].

    Returns:
      dB; infinite where both are equal.

    >>> import numpy as np
    >>> round(
    ...     psnr(np.zeros((2, 2, 3), np.float32), np.full((2, 2, 3), 0.1, np.float32)),
    ...     3,
    ... )
    20.0
    """
    chex.assert_equal_shape([image, truth])
    error = float(np.mean(np.square(image.astype(np.float64) - truth.astype(np.float64))))
    return float("inf") if error == 0.0 else float(-10.0 * np.log10(error))


def ssim(image: npt.NDArray[np.float32], truth: npt.NDArray[np.float32]) -> float:
    """Structural similarity, mean over pixels and channels, by dm-pix.

    An 11 x 11 Gaussian window of standard deviation 1.5, K1 = 0.01, K2 = 0.03, values in [0, 1]:
    the settings of Wang et al. 2004 and of JaxNeRF's evaluation.

    Args:
      image, truth: `[height, width, 3]`, sRGB in [0, 1]; sides of at least 11 pixels.

    Returns:
      At most 1; NaN where a side is shorter than the window.
    """
    chex.assert_equal_shape([image, truth])
    if min(image.shape[:2]) < 11:
        return float("nan")
    with jax.numpy_dtype_promotion("standard"):  # dm-pix mixes integers and floats
        return float(_jitted_ssim(jnp.asarray(image), jnp.asarray(truth)))


_jitted_ssim = jax.jit(dm_pix.ssim)


def score(index: int, image: npt.NDArray[np.float32], truth: npt.NDArray[np.float32]) -> ViewScore:
    """Both scores of one view."""
    return ViewScore(index, psnr(image, truth), ssim(image, truth))


def summary(
    scores: list[ViewScore], split: Split, resolution: tuple[int, int], **labels: Any
) -> dict[str, Any]:
    """What `eval.json` holds.

    Args:
      scores: one for each held-out view.
      split: indices of the training views and of those held out.
      resolution: height and width in pixels.
      **labels: scene, source, backend, field, preset, step, render.
    """
    return {
        "psnr": float(np.mean([s.psnr for s in scores])),
        "ssim": float(np.mean([s.ssim for s in scores])),
        "views": [dataclasses.asdict(s) for s in scores],
        "split": {"train": list(split.train), "test": list(split.test)},
        "resolution": list(resolution),
        **labels,
    }
