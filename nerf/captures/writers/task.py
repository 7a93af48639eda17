"""The arguments of the writers of all formats, see `nerf.captures.export`."""

from collections.abc import Sequence
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


def note_on_lost_split(capture: Capture) -> list[str]:
    """A note if the capture has a split, which the format cannot express."""
    if capture.split is None:
        return []
    return [
        "the split into views for training and held-out views is not written: the format has none"
    ]
