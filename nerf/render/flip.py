"""FLIP, the difference that a person sees between two images shown in turns."""

import importlib.util

import numpy as np
import numpy.typing as npt

PIXELS_PER_DEGREE = 67.0  # FLIP's default: 0.7 m from a screen of 3840 pixels, 0.7 m wide


def has_flip() -> bool:
    """Whether the optional package flip-evaluator, which computes FLIP, is installed."""
    return importlib.util.find_spec("flip_evaluator") is not None


def flip(
    image: npt.NDArray[np.float32],
    truth: npt.NDArray[np.float32],
    mask: npt.NDArray[np.bool_] | None = None,
) -> float | None:
    """The mean of FLIP over pixels, as flip-evaluator computes it.

    Args:
      image, truth: `[height, width, 3]`, sRGB in [0, 1]; seen at 67 pixels per degree.
      mask: `[height, width]`, the pixels that count; None for all. Others are taken for equal in
        both images.

    Returns:
      From 0, equal, to 1. None where no pixel counts, or the package is not installed.

    Source: Andersson et al., FLIP: a difference evaluator for alternating images, 2020.
    """
    if not has_flip() or (mask is not None and not mask.any()):
        return None
    import flip_evaluator

    masked = image if mask is None else np.where(mask[..., None], image, truth)
    each, _, _ = flip_evaluator.evaluate(
        np.ascontiguousarray(np.clip(truth, 0.0, 1.0), np.float32),
        np.ascontiguousarray(np.clip(masked, 0.0, 1.0), np.float32),
        "LDR",
        applyMagma=False,
        computeMeanError=False,
        parameters={"ppd": PIXELS_PER_DEGREE},
    )
    counted = each[..., 0] if mask is None else each[..., 0][mask]
    return float(np.mean(counted, dtype=np.float64))
