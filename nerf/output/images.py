"""Images to look at: PNG files, comparisons, coloured depth."""

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import chex
import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from nerf.runtime import atomic

FloatImage = npt.NDArray[np.float32]
ByteImage = npt.NDArray[np.uint8]

# Twelve stops of the colour map "magma" (Smith and van der Walt, 2015), dark to bright.
_MAGMA = np.array(
    [
        (0, 0, 4), (18, 13, 49), (51, 16, 104), (90, 22, 126), (125, 36, 130), (163, 48, 126),
        (200, 62, 115), (233, 85, 98), (249, 124, 93), (254, 168, 115), (254, 211, 149),
        (252, 253, 191),
    ],
    np.float32,
)  # fmt: skip
MAX_ERROR = 0.25  # of the colours of `colorize_error`
_MIN_SHOWN_WIDTH = 480  # pixels; smaller images are enlarged
_GAP = 8  # pixels between panels
_CAPTION = 30  # pixels, the height of a caption
_MAX_COLUMNS = 4


def to_bytes(image: FloatImage) -> ByteImage:
    """Rounds an image `[..., 3]` in [0, 1] to 8 bits."""
    return np.round(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)


def write_png(path: Path, image: FloatImage) -> None:
    """Writes an image `[height, width, 3]` in [0, 1] as a PNG file, pixel for pixel."""
    write_sheet(path, to_bytes(image))


def write_sheet(path: Path, sheet: ByteImage) -> None:
    """Writes an image `[height, width, 3]` of 8 bits, e.g. from `side_by_side`, as a PNG file."""
    with atomic.replacing(path) as partial:
        iio.imwrite(partial, sheet, extension=".png")


def turned(image: FloatImage, turns: int) -> FloatImage:
    """An image `[height, width, ...]` turned to the left by some quarter turns."""
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def hatch_masked(image: FloatImage, mask: npt.NDArray[np.bool_] | None) -> FloatImage:
    """An image whose pixels that are left out are dimmed and hatched.

    Args:
      image: `[height, width, 3]` in [0, 1].
      mask: `[height, width]`, the pixels that are used; None for all.
    """
    if mask is None:
        return image
    rows, columns = np.indices(mask.shape)
    stripe = np.where((rows + columns) % 8 < 2, 0.9, 0.35)[..., None]
    masked = np.where(mask[..., None], image, 0.4 * image + 0.6 * stripe)
    return masked.astype(np.float32)


def disparity_range(depth: FloatImage, acc: FloatImage | None = None) -> tuple[float, float]:
    """The 1st and the 99th percentile of 1/depth, see `colorize_depth`; 0, 0 of background."""
    is_opaque = np.full(depth.shape, True) if acc is None else acc >= 0.5
    disparity = 1.0 / np.maximum(depth[is_opaque], 1e-9) if is_opaque.any() else np.zeros(1)
    low, high = np.percentile(disparity, [1.0, 99.0])
    return float(low), float(high)


def colorize_depth(
    depth: FloatImage,
    acc: FloatImage | None = None,
    limits: tuple[float, float] | None = None,
) -> FloatImage:
    """Colours a depth map: near is bright, far is dark, background is black.

    Colours are linear in 1/depth, between the 1st and the 99th percentile of the image, or between
    two given depths.

    Args:
      depth: `[height, width]`, > 0, any unit.
      acc: `[height, width]`, opacity in [0, 1]; a pixel below 0.5 is background. None for an image
        without background.
      limits: other bounds of 1/depth, e.g. those of all frames of a video.

    Returns:
      `[height, width, 3]` in [0, 1].
    """
    disparity = 1.0 / np.maximum(depth, 1e-9)
    is_opaque = np.full(depth.shape, True) if acc is None else acc >= 0.5
    low, high = limits or disparity_range(depth, acc)
    colours = magma((disparity - low) / max(high - low, 1e-9))
    return np.where(is_opaque[..., None], colours, np.float32(0.0))


def colorize_error(
    image: FloatImage, truth: FloatImage, mask: npt.NDArray[np.bool_] | None = None
) -> FloatImage:
    """Colours the error of an image: dark is small, bright is large.

    The error of a pixel is the mean of |image - truth| over its colours. The scale is the same for
    all images, from 0 to `MAX_ERROR`, in the root of the error so that small ones show as well.

    Args:
      image, truth: `[height, width, 3]` in [0, 1].
      mask: `[height, width]`, the pixels that count; None for all. Others are hatched.

    Returns:
      `[height, width, 3]` in [0, 1].
    """
    error = np.abs(np.clip(image, 0.0, 1.0) - np.clip(truth, 0.0, 1.0)).mean(axis=-1)
    return hatch_masked(magma(np.sqrt(error / MAX_ERROR)), mask)


def magma(level: npt.NDArray[np.floating]) -> FloatImage:
    """The colours `[..., 3]` in [0, 1] of levels `[...]` from 0, dark, to 1, bright."""
    stops = np.linspace(0.0, 1.0, len(_MAGMA))
    clipped = np.clip(level, 0.0, 1.0)
    channels = [np.interp(clipped, stops, _MAGMA[:, c]) for c in range(3)]
    return (np.stack(channels, axis=-1) / 255.0).astype(np.float32)


def enlarge(image: ByteImage, min_width: int = _MIN_SHOWN_WIDTH) -> ByteImage:
    """Enlarges an image by the least whole factor to a width of `min_width` pixels or more."""
    height, width, _ = image.shape
    factor = max(1, -(-min_width // width))
    if factor == 1:
        return image
    size = (width * factor, height * factor)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def side_by_side(panels: Sequence[tuple[str, FloatImage]]) -> ByteImage:
    """Arranges images of one size in a row, each under its caption; small ones are enlarged.

    Args:
      panels: caption and image `[height, width, 3]` in [0, 1].

    Returns:
      `[height', width', 3]`, 8 bits.
    """
    return grid(panels, num_columns=len(panels))


def contact_sheet(panels: Sequence[tuple[str, FloatImage]]) -> ByteImage:
    """Arranges images of one size in rows of up to four; see `side_by_side`."""
    num_rows = -(-len(panels) // _MAX_COLUMNS)
    return grid(panels, num_columns=-(-len(panels) // num_rows))


def grid(panels: Sequence[tuple[str, FloatImage]], num_columns: int) -> ByteImage:
    """Arranges images of one size in rows of `num_columns`; see `side_by_side`."""
    images = [enlarge(to_bytes(image)) for _, image in panels]
    chex.assert_equal_shape(images)
    height, width, _ = images[0].shape
    num_rows = -(-len(panels) // num_columns)
    size = ((width + _GAP) * num_columns + _GAP, (height + _CAPTION + _GAP) * num_rows)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=16)
    for number, ((caption, _), image) in enumerate(zip(panels, images, strict=True)):
        row, column = divmod(number, num_columns)
        left, top = _GAP + column * (width + _GAP), row * (height + _CAPTION + _GAP)
        shown = _fitted(caption, lambda text: font.getlength(text) <= width)
        draw.text((left + 2, top + _CAPTION // 2), shown, fill="black", font=font, anchor="lm")
        sheet.paste(Image.fromarray(image), (left, top + _CAPTION))
    return np.asarray(sheet)


def panels(sheet: ByteImage, num_panels: int) -> list[ByteImage]:
    """The images of a sheet of `side_by_side`, enlarged where it has enlarged them.

    Args:
      sheet: `[height, width, 3]`.
      num_panels: how many there are.

    Raises:
      ValueError: if the sheet has no such arrangement.
    """
    height, width = sheet.shape[0] - _CAPTION - _GAP, (sheet.shape[1] - _GAP) // num_panels - _GAP
    if height < 1 or width < 1 or (width + _GAP) * num_panels + _GAP != sheet.shape[1]:
        raise ValueError(f"a sheet of {num_panels} panels has another size")
    lefts = [_GAP + number * (width + _GAP) for number in range(num_panels)]
    return [sheet[_CAPTION : _CAPTION + height, left : left + width] for left in lefts]


def _fitted(caption: str, fits: Callable[[str], bool]) -> str:
    """A caption in one line that fits; characters that cannot be drawn become question marks.

    Letters with accents are joined to one character, since the font has no accents of their own.

    >>> _fitted("view 3 (a very long name)", lambda text: len(text) <= 12)
    'view 3 (a...'
    """
    plain = unicodedata.normalize("NFC", caption).encode("utf-8", "replace").decode("utf-8")
    line = "".join(character if character.isprintable() else "?" for character in plain)
    if fits(line):
        return line
    while line and not fits(f"{line}..."):
        line = line[:-1]
    return f"{line}..."
