"""Pictures on disk: which there are, and what they hold, as float32 sRGB in [0, 1]."""

import contextlib
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from nerf.captures.files import IMAGE_SUFFIXES
from nerf.config.settings import Background
from nerf.errors import UserError, listed

MAX_PIXELS = 2**26  # of one picture; about 8192 x 8192
# Others are not decoded whatever a file is called: some of Pillow's start other programs.
_FORMATS = ("PNG", "JPEG", "MPO")
_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = (5, 6, 7, 8)  # its values that exchange width and height


class Header(NamedTuple):
    """What a picture's header says: `size` is that of the pixels as they are stored."""

    size: tuple[int, int]
    orientation: int
    is_transparent: bool


def image_files(folder: Path) -> list[Path]:
    """The pictures in a folder in the order of their names, hidden files left out."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not path.name.startswith(".")
    )


def read_images(
    files: Sequence[Path], *, upright: bool = False, background: Background = "white"
) -> npt.NDArray[np.float32]:
    """Reads pictures of one size.

    Args:
      files: at least one.
      upright: turns pictures as their EXIF orientation says; else they stay as they are stored.
      background: what transparent ones lie over.

    Returns:
      `[num_views, height, width, 3]` float32 in [0, 1]; grey pictures become RGB.

    Raises:
      UserError: if a picture cannot be read, is too large, or differs from the others in size.
    """
    first_of_size: dict[tuple[int, int], Path] = {}
    for file in files:
        first_of_size.setdefault(upright_size(read_header(file), upright=upright), file)
    if len(first_of_size) > 1:
        sizes = listed(f"{file.name} is {w} x {h}" for (w, h), file in first_of_size.items())
        raise UserError(f"the images in {files[0].parent} differ in size: {sizes}; resize them")
    ((width, height),) = first_of_size
    images = np.empty((len(files), height, width, 3), np.float32)
    for image, file in zip(images, files, strict=True):
        image[:] = over(read_image(file, upright=upright), background)
    return images


_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
)


def image_size(file: Path) -> tuple[int, int]:
    """Width and height as they are stored, from the header."""
    return read_header(file).size


def read_header(file: Path) -> Header:
    """The header of a picture; checks that the file is whole, but decodes no pixel.

    Raises:
      UserError: if it cannot be read, or has more than `MAX_PIXELS`.
    """
    try:
        with _quiet(), Image.open(file, formats=_FORMATS) as picture:
            size = picture.size
            exif = Image.Exif()
            exif.load(picture.info.get("exif") or b"")
            orientation = exif.get(_ORIENTATION, 1)
            is_transparent = "A" in picture.getbands() or "transparency" in picture.info
            picture.verify()  # of a PNG, every checksum up to its end
    except Image.DecompressionBombError as error:
        raise _too_large(file) from error
    except _DECODING_ERRORS as error:
        raise _unreadable(file, error) from error
    if size[0] * size[1] > MAX_PIXELS:
        raise _too_large(file)
    return Header(size, orientation if isinstance(orientation, int) else 1, is_transparent)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's warnings, of odd metadata and of sizes that are checked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def upright_size(header: Header, *, upright: bool) -> tuple[int, int]:
    """Width and height, after a turn where there is to be one."""
    width, height = header.size
    return (height, width) if upright and header.orientation in _TURNS else (width, height)


def read_image(file: Path, *, upright: bool = False) -> npt.NDArray[np.float32]:
    """One picture as `[height, width, 3]`, or `[height, width, 4]` if it is transparent, in [0, 1].

    Pictures of 8 and of 16 bits, with or without colour, alpha or a palette; colours of a
    transparent picture are not multiplied by its alpha.
    """
    try:
        with _quiet(), Image.open(file, formats=_FORMATS) as opened:
            picture = ImageOps.exif_transpose(opened) if upright else opened
            if picture.mode.startswith("I") or picture.mode == "F":  # grey with 16 bits
                scale = np.float32(65535)
                grey = np.asarray(picture).astype(np.float32) / scale
                return np.repeat(np.clip(grey, 0.0, 1.0)[..., None], 3, axis=-1)
            transparent = "A" in picture.getbands() or "transparency" in picture.info
            return to_float(np.asarray(picture.convert("RGBA" if transparent else "RGB")))
    except Image.DecompressionBombError as error:
        raise _too_large(file) from error
    except _DECODING_ERRORS as error:
        raise _unreadable(file, error) from error


def over(pixels: npt.NDArray[np.float32], background: Background) -> npt.NDArray[np.float32]:
    """`[..., 3]` of `[..., 3]` or `[..., 4]`: transparent pixels over a background."""
    if pixels.shape[-1] == 3:
        return pixels
    rgb, alpha = pixels[..., :3], pixels[..., 3:]
    behind = np.float32(1.0 if background == "white" else 0.0)
    return rgb * alpha + behind * (1 - alpha)


def shrink(pixels: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    """A smaller picture, each of whose pixels is the mean of the area that it covers.

    Args:
      pixels: `[rows, columns, channels]`; with 4 channels colours are weighed by their alpha.
      height, width: of the result, at most those of `pixels`.

    >>> row = np.array([0.0, 3.0, 6.0], np.float32).reshape(1, 3, 1)
    >>> shrink(row, 1, 2)[0, :, 0].tolist()  # a pixel and a half each
    [1.0, 5.0]
    """
    if pixels.shape[-1] == 4:
        weighed = np.concatenate([pixels[..., :3] * pixels[..., 3:], pixels[..., 3:]], axis=-1)
        small = _means(_means(weighed, height, 0), width, 1)
        alpha = small[..., 3:]
        rgb = np.where(alpha > 0, small[..., :3] / np.where(alpha > 0, alpha, 1.0), 0.0)
        return np.concatenate([rgb, alpha], axis=-1).astype(np.float32)
    return _means(_means(pixels, height, 0), width, 1).astype(np.float32)


def _means(values: npt.NDArray[np.floating], number: int, axis: int) -> npt.NDArray[np.float64]:
    """Means over `number` equal stretches of an axis, whose ends may lie within a pixel."""
    moved = np.moveaxis(np.asarray(values, np.float64), axis, 0)
    total = np.concatenate([np.zeros((1, *moved.shape[1:])), np.cumsum(moved, axis=0)])
    edges = np.linspace(0, len(moved), number + 1)
    left = np.minimum(edges.astype(np.int64), len(moved) - 1)
    within = (edges - left).reshape(-1, *(1,) * (moved.ndim - 1))
    at_edges = total[left] + within * (total[left + 1] - total[left])
    means = (at_edges[1:] - at_edges[:-1]) * (number / len(moved))
    return np.moveaxis(means, 0, axis)


def to_float(
    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """8-bit values divided by 255; others are taken to be in [0, 1] already."""
    scale = np.float32(255 if pixels.dtype == np.uint8 else 1)
    return pixels.astype(np.float32) / scale


def _unreadable(file: Path, error: Exception) -> UserError:
    reason = str(error).replace("\n", " ") or type(error).__name__
    return UserError(f"cannot read the image {file} ({reason}): copy or make it again")


def _too_large(file: Path) -> UserError:
    return UserError(
        f"the image {file} has more than {MAX_PIXELS} pixels: make a smaller copy in an images_N "
        "folder"
    )
