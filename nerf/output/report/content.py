"""What the pages show, as plain values; the jobs read them from run folders."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nerf.output.report.encoding import Source


def finite(value: Any) -> float | None:
    """A finite number as it is; None for anything else.

    >>> finite(3), finite(float("nan")), finite(True), finite("3"), finite(10**400)
    (3.0, None, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer of hundreds of digits
        return None


class Score(NamedTuple):
    """A measure of images that `eval.json` may hold.

    Attributes:
      key: its name there.
      label: for people.
      digits: after the point.
      unit: after the number.
      is_better_high: whether a larger one is better.
      factor: by which it is multiplied to be shown.
    """

    key: str
    label: str
    digits: int
    unit: str = ""
    is_better_high: bool = True
    factor: float = 1.0

    def text(self, value: float | None) -> str:
        """A value for people; a dash where it is not known."""
        if value is None:
            return "-"
        space = "" if self.unit in ("", "%") else " "
        return f"{self.factor * value:.{self.digits}f}{space}{self.unit}"


SCORES = (
    Score("psnr", "PSNR", 2, "dB"),
    Score("ssim", "SSIM", 4),
    Score("ms_ssim", "MS-SSIM", 4),
    Score("flip", "FLIP", 4, is_better_high=False),
    Score("depth_error", "depth error", 1, "%", is_better_high=False, factor=100.0),
)


@dataclasses.dataclass(frozen=True)
class ViewContent:
    """One held-out view.

    Attributes:
      index, name: which one.
      scores: by the keys of `SCORES`; those that are not known are left out.
      masked: the fraction of the pixels that a mask leaves out; None without a mask.
      size: width and height in pixels, as shown.
      rendered, truth, error, depth: its images; None where the folder does not have them.
      depth_range: nearest and farthest depth of the colours, in scene units; None if not known.
    """

    index: int
    name: str
    scores: Mapping[str, float]
    masked: float | None = None
    size: tuple[int, int] | None = None
    rendered: Source | None = None
    truth: Source | None = None
    error: Source | None = None
    depth: Source | None = None
    depth_range: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class VideoContent:
    """A video of the run folder.

    Attributes:
      name: of its file or, with a / at the end, of the folder of its frames, beside the page.
      uri: its content as a data URI; None where it is only named.
      is_image: whether it is shown as an image that moves (GIF).
      note: a remark on it; None for nothing.
    """

    name: str
    uri: str | None = None
    is_image: bool = False
    note: str | None = None


@dataclasses.dataclass(frozen=True)
class RunContent:
    """What the page of a run shows.

    Attributes:
      name: of the scene.
      subtitle: which field it is and how it was made, in a line.
      facts: under the heading: what, and its value.
      scores: the means, by the keys of `SCORES`.
      scored: which views the means are of, in words.
      truth_name: the word for the scene's own images.
      views: the held-out views.
      lines: of `metrics.jsonl`.
      videos: all of the folder, its own first.
      notes: what the check of the capture said; None where it was not kept.
      changed: settings that differ from the preset: name, value, value of the preset; None if there
        is no such preset.
      settings: all settings, in groups by their part.
      machine: what computed, and with which versions.
      version: of this program.
    """

    name: str
    subtitle: str
    facts: Sequence[tuple[str, str]]
    scores: Mapping[str, float]
    scored: str
    truth_name: str
    views: Sequence[ViewContent]
    lines: Sequence[Mapping[str, Any]]
    videos: Sequence[VideoContent]
    notes: Sequence[str] | None
    changed: Sequence[tuple[str, str, str]] | None
    settings: Mapping[str, Sequence[tuple[str, str]]]
    machine: Sequence[tuple[str, str]]
    version: str
