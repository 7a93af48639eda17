"""What a writer of a format is, and its arguments, see `nerf.captures.export`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.captures.capture import Array, Capture
from nerf.geometry.lenses import Lens

IMAGES = "images"  # the folder of the images


class ExportTask(NamedTuple):
    """The arguments of a writer, see `export`; `names` are the file names of the images."""

    capture: Capture
    lens: Lens
    bounds: Array | None
    sizes: npt.NDArray[np.int64]
    names: Sequence[str]
    out: Path


class Writer(NamedTuple):
    """The writer of a format.

    Attributes:
      name: the name of the format.
      check: gives notes on what is lost; raises a UserError if the format cannot express a capture.
      write: writes the files of poses. The images and masks are written already.
      keep_order: whether the names of the images must sort in the order of the views, since the
        format stores no names.
      as_png: whether all images are written as PNG, since readers of the format add this suffix to
        the names.
    """

    name: str
    check: Callable[[ExportTask], list[str]]
    write: Callable[[ExportTask], None]
    keep_order: bool = False
    as_png: bool = False


def note_on_lost_split(capture: Capture) -> list[str]:
    """A note if the capture has a split, which the format cannot express."""
    if capture.split is None:
        return []
    return [
        "the split into views for training and held-out views is not written: the format has none"
    ]
