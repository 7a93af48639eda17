"""Event files for TensorBoard, written with the optional package tensorboardX."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nerf.errors import UserError
from nerf.output.images import to_bytes


class TensorboardWriter:
    """Writes scalars and images to an event file; a context manager that closes the file."""

    def __init__(self, writer: Any):
        self._writer = writer

    def __enter__(self) -> "TensorboardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds one point to the curve of each name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def image(self, name: str, step: int, image: npt.NDArray[np.float32]) -> None:
        """Adds an image `[height, width, 3]` in [0, 1]."""
        self._writer.add_image(name, to_bytes(image), step, dataformats="HWC")


def open_writer(folder: Path, first_step: int) -> TensorboardWriter:
    """Opens a new event file in `folder`.

    Args:
      folder: the folder that TensorBoard is started with.
      first_step: the step at which the run begins or resumes. TensorBoard then hides the points of
        earlier files from this step on: the steps after the last checkpoint, which are repeated.

    Raises:
      UserError: if tensorboardX is not installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise UserError(
            "`tensorboard=True` needs the package tensorboardX: pip install tensorboardX, or "
            "leave it out"
        ) from error
    return TensorboardWriter(SummaryWriter(str(folder), purge_step=first_step))
