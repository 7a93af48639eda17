"""The corrections of a run as people and other programs read them: `corrections.json`."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nerf.corrections.corrections import Corrections
from nerf.corrections.exposure import centred
from nerf.corrections.poses import corrected_cameras
from nerf.errors import UserError
from nerf.geometry.cameras import Cameras
from nerf.geometry.poses import are_rotations

_ABOUT_GAINS = (
    "of red, green and blue in linear light: an image is the mean camera's times these, clipped"
)
_ABOUT_POSES = "camera to world, right, up, back | position, in scene units: corrected"


@dataclasses.dataclass(frozen=True, eq=False)
class CorrectionRecord:
    """What a run has learnt of its training views.

    Attributes:
      view_names: `[num_views]`, the training views.
      gains: `[num_views, 3]`, of each channel in linear light; None where they are not corrected.
      camtoworlds: `[num_views, 3, 4]`, corrected poses in scene units; None where they are not
        corrected.
    """

    view_names: tuple[str, ...]
    gains: npt.NDArray[np.float32] | None = None
    camtoworlds: npt.NDArray[np.float32] | None = None

    @classmethod
    def of(
        cls, corrections: Corrections, view_names: Sequence[str], cameras: Cameras
    ) -> "CorrectionRecord":
        """The record of corrections of views with these names and cameras."""
        log_gains, tangents = corrections
        gains = None if log_gains is None else np.exp(np.asarray(centred(log_gains)))
        poses = None
        if tangents is not None:
            poses = np.asarray(corrected_cameras(cameras, tangents).camtoworlds)
        return cls(tuple(view_names), gains, poses)

    def to_json(self) -> dict[str, Any]:
        """The record as values of JSON; see `from_json`."""
        values: dict[str, Any] = {"views": list(self.view_names)}
        if self.gains is not None:
            gains = self.gains.astype(float).round(6).tolist()
            values["exposure"] = {"gains": gains, "of": _ABOUT_GAINS}
        if self.camtoworlds is not None:
            poses = self.camtoworlds.astype(float).tolist()
            values["poses"] = {"camtoworlds": poses, "of": _ABOUT_POSES}
        return values

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
            return cls(names, gains, _poses_of(values.get("poses"), len(names)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"the record of corrections cannot be read ({error!r})") from error


def _poses_of(values: Any, num_views: int) -> npt.NDArray[np.float32] | None:
    """The corrected poses of a record; None where there are none."""
    if values is None:
        return None
    poses = np.array(values["camtoworlds"], np.float32)
    if poses.shape != (num_views, 3, 4) or not np.isfinite(poses).all():
        raise ValueError(f"{num_views} views need a pose of 3 rows of 4 numbers each")
    if not are_rotations(poses[..., :3].astype(np.float64)).all():
        raise ValueError("a pose has no rotation matrix")
    return poses
