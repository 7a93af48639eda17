"""Fits the exposure of held-out views before they are scored, where exposure is corrected.

Nothing is known of the exposure of a view that was not trained on. It is found on the left half of
its image, and the right half is scored: pixels used for fitting are not scored.
"""

import dataclasses
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from nerf.config.settings import TrainConfig
from nerf.corrections import exposure
from nerf.errors import UserError
from nerf.render.images import RenderedImage
from nerf.scenes.scene import Scene

CORRECTED = "exposure and white balance: gains fitted on the left half, scored on the right half"

CorrectionOption = Literal["auto", "on", "off"]
Correction = Literal["exposure", "poses"]
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def is_corrected(name: Correction, choice: CorrectionOption, config: TrainConfig) -> bool:
    """Whether held-out views are scored with a correction of their own.

    Args:
      name: of the correction, and of its setting.
      choice: `on`, `off`, or `auto`: as the training views were.
      config: of the training.

    Raises:
      UserError: if `choice` is another word.
    """
    if choice not in get_args(CorrectionOption):
        raise UserError(f"`{name}` must be auto, on or off, not {choice!r}")
    settings: dict[Correction, str] = {"exposure": config.exposure, "poses": config.poses}
    return choice == "on" or (choice == "auto" and settings[name] == "on")


@dataclasses.dataclass(frozen=True, eq=False)
class ExposureFit:
    """A rendered view with the exposure of its image.

    Attributes:
      rgb: `[height, width, 3]`, sRGB in [0, 1], clipped.
      gains: `[3]`, of red, green and blue in linear light.
      is_fitted: whether both halves have pixels that count; else nothing is corrected.
    """

    rgb: Floats
    gains: Floats
    is_fitted: bool

    def scored(self, image: Floats) -> Floats:
        """The half of an image `[height, width, ...]` that is scored: the right one."""
        return image[:, image.shape[1] // 2 :]

    def scored_mask(self, mask: Mask | None) -> Mask | None:
        """The pixels of that half that count; None for all."""
        return None if mask is None else mask[:, mask.shape[1] // 2 :]


def fit_exposure(
    scene: Scene, image: RenderedImage, truth: Floats, mask: Mask | None
) -> ExposureFit:
    """A rendered view with gains that fit the left half of its image.

    Args:
      scene: of the view.
      image: as it was rendered.
      truth: `[height, width, 3]`, its image.
      mask: `[height, width]`, the pixels that count; None for all.
    """
    acc = image.acc if scene.is_transparent else None
    background = 1.0 if scene.background == "white" else 0.0
    middle = truth.shape[1] // 2
    left = np.ones(truth.shape[:2], np.bool_) if mask is None else mask.copy()
    right = left[:, middle:].any()
    left[:, middle:] = False
    opacity = None if acc is None else acc[left]
    log_gains = exposure.fit_log_gains(image.rgb[left], truth[left], opacity, background)
    rgb = exposure.clipped(image.rgb, log_gains, acc, background)
    return ExposureFit(rgb, np.exp(log_gains), bool(left.any() and right))
