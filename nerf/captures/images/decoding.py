"""Decoding image files strip by strip, each by the decoder of its kind; nothing else is decoded."""

import contextlib
import logging
import shlex
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from nerf.captures.images.kinds import (
    HEAD_BYTES,
    RAW,
    TIFF,
    Kind,
    TooLargeImage,
    UnreadableImage,
    decoders_of,
    kind_of,
    not_read,
)
from nerf.errors import UserError

MAX_PIXELS = 2**27  # that are decoded of one image, at 4 bytes each; about 11,500 x 11,500
LARGE = 2**26  # pixels of one image, from which on a smaller copy is preferred
TURNED = (5, 6, 7, 8)  # its values that exchange width and height
# Where row r and column c of an image turned by its EXIF orientation come from: whether rows and
# columns are exchanged, and then which of them are reversed.
_TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
_STRIP_PIXELS = 2**18  # that are converted and scaled at a time
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
# TIFF tags that only raw files have (DNGVersion, CFAPattern), and their photometric values.
_RAW_TAGS = (50706, 33422)
_PHOTOMETRIC, _RAW_PHOTOMETRIC = 262, (32803, 34892)
_GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N")


DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zlib.error,
)


@contextlib.contextmanager
def opened(file: Path) -> Iterator[Image.Image]:
    """Opens an image with the decoder of its kind; errors within become an `UnreadableImage`."""
    kind = kind_of(head_of(file))
    decoders = decoders_of(kind)
    if not decoders:
        raise not_read(file, kind)
    try:
        with _quiet(), Image.open(file, formats=decoders) as image:
            _check_mode(file, kind, image)
            yield image
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(file, f"{2 * (Image.MAX_IMAGE_PIXELS or 0):,}") from error
    except MemoryError as error:
        raise out_of_memory(file) from error
    except DECODING_ERRORS as error:
        raise _damaged(file, kind, error) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides what Pillow says about unusual metadata and about sizes."""
    log = logging.getLogger("PIL.TiffImagePlugin")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, log.disabled = log.disabled, True
        try:
            yield
        finally:
            log.disabled = before


def head_of(file: Path) -> bytes:
    """The first bytes of a file, which tell its kind."""
    try:
        with file.open("rb") as opened:
            return opened.read(HEAD_BYTES)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnreadableImage(
            file, f"cannot be opened ({reason})", "check that {it} {is} there, and may be read"
        ) from error


def _check_mode(file: Path, kind: Kind, image: Image.Image) -> None:
    """Refuses what has no plain colours or grey levels: raw files, floats, colour spaces."""
    tags = getattr(image, "tag_v2", {})
    if any(tag in tags for tag in _RAW_TAGS) or tags.get(_PHOTOMETRIC) in _RAW_PHOTOMETRIC:
        raise not_read(file, RAW)
    is_png = kind is not TIFF and image.mode == "I"  # what older Pillow makes of 16 bits
    if image.mode not in (*_MODES, *_GREY_16) and not is_png:
        raise UnreadableImage(
            file,
            f"{{is}} {kind.name} with values that are not 8-bit or 16-bit colours ({image.mode})",
            "convert {it} to 8 bits, e.g. `mogrify -depth 8 -define "
            f"quantum:format=unsigned {shlex.quote(str(file.parent))}/*{file.suffix}`",
        )


class Strips:
    """The pixels of a decoded image, strip by strip from the top.

    Each strip is `[rows, width, 3 or 4]`, uint8, or float32 in [0, 1] of a grey image with 16 bits.
    """

    def __init__(self, image: Image.Image, orientation: int):
        self._image = image
        self._turn = _TURNS[orientation]
        is_exchanged = self._turn[0]
        self.num_rows, self._num_columns = image.size if is_exchanged else image.size[::-1]

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        step = max(1, _STRIP_PIXELS // self._num_columns)
        for top in range(0, self.num_rows, step):
            yield self._strip(top, min(top + step, self.num_rows))

    def _strip(self, top: int, bottom: int) -> npt.NDArray[Any]:
        is_exchanged, reverse_rows, reverse_columns = self._turn
        if reverse_rows:
            top, bottom = self.num_rows - bottom, self.num_rows - top
        rows = (0, top, self._num_columns, bottom)
        pixels = _values(self._image.crop((top, 0, bottom, rows[2]) if is_exchanged else rows))
        if is_exchanged:
            pixels = pixels.swapaxes(0, 1)
        step = (-1 if reverse_rows else 1, -1 if reverse_columns else 1)
        return pixels[:: step[0], :: step[1]]


def _values(image: Image.Image) -> npt.NDArray[Any]:
    """The pixels of a part of an image, see `Strips`."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.float32) / np.float32(65535)
        return np.repeat(np.clip(grey, 0.0, 1.0)[..., None], 3, axis=-1)
    return np.asarray(image.convert("RGBA" if has_alpha(image) else "RGB"))


@contextlib.contextmanager
def decoded(
    file: Path, orientation: int = 1, size: tuple[int, int] | None = None
) -> Iterator[Strips]:
    """Decodes an image.

    Args:
      file: the image.
      orientation: the EXIF orientation by which it is turned; 1 leaves it as it is stored.
      size: the height and width at which it is needed after turning; None for its own.

    Raises:
      UnreadableImage: if the file cannot be read, or is too large.
    """
    with opened(file) as image:
        if size is not None and image.size[0] * image.size[1] > LARGE:
            needed = size if orientation in TURNED else size[::-1]
            _decode_smaller(image, needed)
        if image.size[0] * image.size[1] > MAX_PIXELS:
            raise _too_large(file, f"{MAX_PIXELS:,}")
        image.load()
        yield Strips(image, orientation)


def _decode_smaller(image: Image.Image, needed: tuple[int, int]) -> None:
    """Makes the decoder of a JPEG scale, no more than is needed for `LARGE` pixels."""
    width, height = image.size
    for scale in (2, 4, 8):
        smaller = width // scale, height // scale
        if smaller[0] < needed[0] or smaller[1] < needed[1]:
            return
        if smaller[0] * smaller[1] <= LARGE:
            image.draft(None, smaller)
            return


def upright_tiff_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of a TIFF image when it is loaded, turned as its orientation says."""
    tags = getattr(image, "tag_v2", {})
    width, height = int(tags[256]), int(tags[257])
    return (height, width) if tags.get(274) in TURNED else (width, height)


def has_alpha(image: Image.Image) -> bool:
    return not {"A", "a"}.isdisjoint(image.getbands()) or "transparency" in image.info


def out_of_memory(file: Path) -> TooLargeImage:
    """The error if memory runs out while an image is decoded."""
    return TooLargeImage(
        file,
        "{is} too large for the memory of this machine",
        "give a smaller `max_size`, or a `factor` of smaller copies in an images_N folder",
    )


def _damaged(file: Path, kind: Kind, error: Exception) -> UnreadableImage:
    reason = str(error).replace("\n", " ")
    if isinstance(error, UnidentifiedImageError):
        reason = "its header cannot be read"
    elif isinstance(error, KeyError) or not reason:
        reason = "its content is not as the format has it"
    fault = f"{{is}} {kind.name}, damaged or incomplete ({reason})"
    return UnreadableImage(file, fault, "copy or make {it} again", kind=f"damaged {kind.name}")


def _too_large(file: Path, limit: str) -> TooLargeImage:
    copies = f"`mkdir images_4; mogrify -path images_4 -resize 25% images/*{file.suffix}`"
    return TooLargeImage(
        file,
        f"{{is}} larger than {limit} pixels",
        f"give a smaller `max_size` or a larger `factor`, or make smaller copies in an "
        f"images_N folder, e.g. {copies}",
    )
