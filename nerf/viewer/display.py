"""What a window shows of a rendered image: its colours, its depth, or its opacity."""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from nerf.output.images import ByteImage, FloatImage, colorize_depth, to_bytes
from nerf.render.images import RenderedImage

Output = Literal["colour", "depth", "opacity"]
OUTPUTS: tuple[str, ...] = get_args(Output)

_UNSEEN = 96  # grey level
_LEGEND = (14, 256)  # height and width in pixels
_GAP = 6  # pixels between two images side by side
_CANVAS_GREY = 24  # grey level around them


def display_image(
    image: RenderedImage,
    output: str,
    limits: tuple[float, float],
    unseen: npt.NDArray[np.bool_] | None = None,
) -> ByteImage:
    """The image `[height, width, 3]` that a window shows.

    Args:
      image: as it was rendered.
      output: one of `OUTPUTS`.
      limits: the nearest and the farthest depth that colours show, scene units.
      unseen: `[height, width]`, pixels that the field cannot show; they get grey.
    """
    if output == "depth":
        colours: FloatImage = colorize_depth(image.depth, image.acc, _disparity_limits(limits))
    elif output == "opacity":
        colours = np.repeat(image.acc[..., None], 3, axis=-1)
    else:
        colours = image.rgb
    pixels = to_bytes(np.nan_to_num(colours))
    if unseen is not None:
        pixels[unseen] = _UNSEEN
    return pixels


def _disparity_limits(limits: tuple[float, float]) -> tuple[float, float]:
    """The limits of 1/depth of those of depth."""
    near, far = (max(limit, 1e-9) for limit in limits)
    return 1.0 / far, 1.0 / near


def depth_limits(image: RenderedImage) -> tuple[float, float]:
    """The 1st and the 99th percentile of the depth where an image is opaque, scene units."""
    is_opaque = (image.acc >= 0.5) & np.isfinite(image.depth) & (image.depth > 0)
    if not is_opaque.any():
        return 1.0, 2.0
    near, far = np.percentile(image.depth[is_opaque], [1.0, 99.0])
    return float(near), float(max(far, 1.001 * near))


def legend(limits: tuple[float, float]) -> ByteImage:
    """A bar of the colours of the depth, from the nearest to the farthest."""
    height, width = _LEGEND
    depth = np.linspace(*limits, width, dtype=np.float32)
    return to_bytes(colorize_depth(np.tile(depth, (height, 1)), None, _disparity_limits(limits)))


def resized(image: ByteImage, height: int, width: int) -> ByteImage:
    """An image `[*, *, 3]` scaled to another size, smoothly."""
    if image.shape[:2] == (height, width):
        return image
    scaled = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(scaled)


def side_by_side_size(window: tuple[int, int], image: tuple[int, int]) -> tuple[int, int]:
    """The largest height and width of two images side by side in a window.

    Args:
      window: height and width.
      image: height and width of each image, whose ratio is kept.

    >>> side_by_side_size((600, 1206), (300, 400))
    (450, 600)
    """
    height, width = window
    scale = min(height / image[0], 0.5 * (width - _GAP) / image[1])
    return max(1, int(image[0] * scale)), max(1, int(image[1] * scale))


def place_side_by_side(window: tuple[int, int], left: ByteImage, right: ByteImage) -> ByteImage:
    """Two images of one size side by side, in the middle of a window of that height and width."""
    height, width = window
    rows, columns = left.shape[:2]
    canvas = np.full((height, width, 3), _CANVAS_GREY, np.uint8)
    top = max(0, (height - rows) // 2)
    start = max(0, (width - 2 * columns - _GAP) // 2)
    for image, begin in ((left, start), (right, start + columns + _GAP)):
        part = canvas[top : top + rows, begin : begin + columns]
        part[:] = image[: part.shape[0], : part.shape[1]]
    return canvas
