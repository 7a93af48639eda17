"""Pictures on disk: which there are, and what they hold, as float32 sRGB in [0, 1]."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from nerf.errors import UserError, listed

SUFFIXES = (".jpg", ".jpeg", ".png")
MAX_PIXELS = 2**26  # of one picture; about 8192 x 8192


def image_files(folder: Path) -> list[Path]:
    """The pictures in a folder in the order of their names, hidden files left out."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )


def read_images(files: Sequence[Path]) -> npt.NDArray[np.float32]:
    """Reads pictures of one size.

    Returns:
      `[num_views, height, width, 3]` float32 in [0, 1]; grey pictures become RGB, transparent
      ones lie over white.

    Raises:
      UserError: if a picture cannot be read, is too large, or differs from the others in size.
    """
    first_of_size: dict[tuple[int, int], Path] = {}
    for file in files:
        first_of_size.setdefault(_size(file), file)
    if len(first_of_size) > 1:
        sizes = listed(f"{file.name} is {w} x {h}" for (w, h), file in first_of_size.items())
        raise UserError(f"the images in {files[0].parent} differ in size: {sizes}; resize them")
    ((width, height),) = first_of_size
    images = np.empty((len(files), height, width, 3), np.float32)
    for image, file in zip(images, files, strict=True):
        image[:] = _read(file)
    return images


_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
)
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def _size(file: Path) -> tuple[int, int]:
    """Width and height, from the header; checks that the file is whole but decodes no pixel."""
    try:
        with Image.open(file) as picture:
            size = picture.size
            picture.verify()  # of a PNG, every checksum up to its end
    except _BOMBS as error:
        raise _too_large(file) from error
    except _DECODING_ERRORS as error:
        raise _unreadable(file, error) from error
    if size[0] * size[1] > MAX_PIXELS:
        raise _too_large(file)
    return size


def _read(file: Path) -> npt.NDArray[np.float32]:
    """One picture as `[height, width, 3]` float32 in [0, 1]."""
    try:
        with Image.open(file) as picture:
            if picture.mode.startswith("I"):  # grey with 16 bits
                grey = np.asarray(picture).astype(np.float32) / np.float32(65535)
                return np.repeat(grey[..., None], 3, axis=-1)
            transparent = "A" in picture.getbands() or "transparency" in picture.info
            pixels = to_float(np.asarray(picture.convert("RGBA" if transparent else "RGB")))
    except _DECODING_ERRORS as error:
        raise _unreadable(file, error) from error
    if not transparent:
        return pixels
    rgb, alpha = pixels[..., :3], pixels[..., 3:]
    return rgb * alpha + (1 - alpha)


def to_float(
    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """8-bit values divided by 255; others are taken to be in [0, 1] already."""
    scale = np.float32(255 if pixels.dtype == np.uint8 else 1)
    return pixels.astype(np.float32) / scale


def _unreadable(file: Path, error: Exception) -> UserError:
    return UserError(f"cannot read the image {file} ({error}): copy or make it again")


def _too_large(file: Path) -> UserError:
    return UserError(
        f"the image {file} has more than {MAX_PIXELS} pixels: make a smaller copy in an images_N "
        "folder"
    )
