"""The progress of an image, and its description on the page."""

from typing import NamedTuple


class Status(NamedTuple):
    """The progress of an image.

    Attributes:
      height, width: of the image that is shown, in pixels.
      full_size: height and width of the last, sharpest image.
      seconds: since the camera last moved.
      limits: of the depth that is shown, scene units.
      part: of the image that is new, in [0, 1]; the rest is the coarser one before.
      is_sharp: whether the last image is complete.
      sees_nothing: whether a part of the window is beyond what the field can show.
    """

    height: int
    width: int
    full_size: tuple[int, int]
    seconds: float
    limits: tuple[float, float]
    part: float
    is_sharp: bool
    sees_nothing: bool


def describe(status: Status, step: int | None) -> str:
    """The progress of the image, in one line of Markdown.

    Args:
      status: of the image.
      step: of the parameters; None where it is not known.
    """
    size = f"**{status.width} x {status.height}**"
    if status.part < 1.0:
        size += f", {100 * status.part:.0f} % drawn,"
    after = (
        f"{status.seconds:.1f} s" if status.seconds >= 0.1 else f"{1000 * status.seconds:.0f} ms"
    )
    text = f"{size} after {after}"
    if (status.height, status.width) != status.full_size:
        text += f", sharp will be {status.full_size[1]} x {status.full_size[0]}"
    if step is not None:
        text += f" · step {step}"
    if status.sees_nothing:
        text += " · grey: behind what this field can show, turn back"
    return text
