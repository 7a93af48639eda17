"""What was found: which images were placed, how exactly, and the messages about it."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nerf.errors import listed

_MAX_ERROR = 2.0  # pixels; poses with more are not exact


@dataclasses.dataclass(frozen=True)
class PoseResult:
    """The poses of some images.

    Attributes:
      out: the folder, which is a scene.
      placed, not_placed: names of images.
      model_sizes: the number of images in each group that fits together; the first is used.
      num_points: points on surfaces.
      error: mean reprojection error in pixels.
      lenses: focal length, width and height of each lens, in pixels.
      notes: for the user, one sentence each.
    """

    out: Path
    placed: tuple[str, ...]
    not_placed: tuple[str, ...]
    model_sizes: tuple[int, ...]
    num_points: int
    error: float
    lenses: tuple[tuple[float, int, int], ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The result as values of JSON; see `from_json`."""
        values = dataclasses.asdict(self)
        del values["out"]
        return values

    @classmethod
    def from_json(cls, out: Path, values: Mapping[str, Any]) -> "PoseResult":
        """The inverse of `to_json`."""
        return cls(
            out=out,
            placed=tuple(values["placed"]),
            not_placed=tuple(values["not_placed"]),
            model_sizes=tuple(values["model_sizes"]),
            num_points=int(values["num_points"]),
            error=float(values["error"]),
            lenses=tuple((float(f), int(w), int(h)) for f, w, h in values["lenses"]),
            notes=tuple(values["notes"]),
        )

    @property
    def num_images(self) -> int:
        return len(self.placed) + len(self.not_placed)


def summary(result: PoseResult) -> Iterator[tuple[str, str]]:
    """Names and values of the lines that say what was found."""
    yield "placed", f"{len(result.placed)} of {result.num_images} images"
    if result.not_placed:
        yield "not placed", listed(result.not_placed)
    yield "points", f"{result.num_points:,}"
    yield "error", f"{result.error:.2f} pixels, the mean distance of a point from where it is seen"
    yield "lens", listed(sorted({_lens(*lens) for lens in result.lenses}))
    yield "folder", str(result.out)


def _lens(focal: float, width: int, height: int) -> str:
    angle = math.degrees(2 * math.atan(0.5 * width / focal))
    return f"focal length {focal:.1f} pixels of {width}x{height} ({angle:.0f} degrees wide)"


def advice(result: PoseResult, reason: str) -> Iterator[str]:
    """Notes on what could be better.

    Args:
      result: what was found.
      reason: why images were not placed, see `nerf.posing.diagnosis`.
    """
    if len(result.model_sizes) > 1:
        sizes = listed(result.model_sizes)
        yield (
            f"COLMAP made {len(result.model_sizes)} models, of {sizes} images, that it could not "
            "join: the largest is used; to use all, take images between the groups"
        )
    if 2 * len(result.placed) < result.num_images:
        yield f"most images were not placed: {reason}"
    if result.error > _MAX_ERROR:
        yield (
            f"the poses are not exact, {result.error:.1f} pixels on average: fix focus and zoom, "
            "and let nothing in the scene move"
        )
