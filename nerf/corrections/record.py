"""The corrections of a run as people and other programs read them: `corrections.json`."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nerf.corrections.corrections import Corrections
from nerf.corrections.exposure import centred
from nerf.errors import UserError

_ABOUT_GAINS = (
    "of red, green and blue in linear light: an image is the mean camera's times these, clipped"
)


@dataclasses.dataclass(frozen=True, eq=False)
class CorrectionRecord:
    """What a run has learnt of its training views.

    Attributes:
      view_names: `[num_views]`, the training views.
      gains: `[num_views, 3]`, of each channel in linear light; None where they are not corrected.
    """

    view_names: tuple[str, ...]
    gains: npt.NDArray[np.float32] | None = None

    @classmethod
    def of(cls, corrections: Corrections, view_names: Sequence[str]) -> "CorrectionRecord":
        """The record of corrections of views with these names."""
        log_gains = corrections.log_gains
        gains = None if log_gains is None else np.exp(np.asarray(centred(log_gains)))
        return cls(tuple(view_names), gains)

    def to_json(self) -> dict[str, Any]:
        """The record as values of JSON; see `from_json`."""
        if self.gains is None:
            return {"views": list(self.view_names)}
        return {
            "views": list(self.view_names),
            "exposure": {"gains": self.gains.astype(float).round(6).tolist(), "of": _ABOUT_GAINS},
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "CorrectionRecord":
        """The inverse of `to_json`.

        Raises:
          UserError: if values are missing or wrong.
        """
        try:
            names = tuple(map(str, values["views"]))
            gains = values.get("exposure", {}).get("gains")
            if gains is not None:
                gains = np.array(gains, np.float32)
                if gains.shape != (len(names), 3) or not (np.isfinite(gains) & (gains > 0)).all():
                    raise ValueError(f"{len(names)} views need 3 gains each, more than 0")
            return cls(names, gains)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"the record of corrections cannot be read ({error!r})") from error
