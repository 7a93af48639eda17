"""Image files: headers, pixels as 8-bit or float32 sRGB, scaling."""

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

from nerf.captures.files import DYNAMIC_MASK, IMAGE_SUFFIXES
from nerf.config.settings import Background
from nerf.errors import UserError, listed

MAX_PIXELS = 2**26  # of one image; about 8192 x 8192
# Nothing else is decoded, whatever its name: some of Pillow's decoders start other programs.
_FORMATS = ("PNG", "JPEG", "MPO")
_ORIENTATION = 0x0112  # the EXIF tag
_TURNED = (5, 6, 7, 8)  # its values that exchange width and height


class Header(NamedTuple):
    """The header of an image file.

    Attributes:
      size: width and height of the pixels as they are stored.
      orientation: the value of the EXIF tag, 1 to 8; 1 if there is none.
      is_transparent: whether the file has an alpha channel.
    """

    size: tuple[int, int]
    orientation: int
    is_transparent: bool


def image_files(folder: Path) -> list[Path]:
    """The image files in a folder, sorted by name, without hidden files and masks."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not path.name.startswith((".", DYNAMIC_MASK))
    )


def read_images(
    files: Sequence[Path], *, orient: bool = False, background: Background = "white"
) -> npt.NDArray[np.float32]:
    """Reads images of one size.

    Args:
      files: at least one.
      orient: whether to turn images as their EXIF orientation says; else they stay as stored.
      background: the colour behind transparent images.

    Returns:
      `[num_images, height, width, 3]` float32 in [0, 1]; grey images become RGB.

    Raises:
      UserError: if an image cannot be read, is too large, or differs from the others in size.
    """
    first_of_size: dict[tuple[int, int], Path] = {}
    for file in files:
        first_of_size.setdefault(oriented_size(read_header(file), orient=orient), file)
    if len(first_of_size) > 1:
        sizes = listed(f"{file.name} is {w} x {h}" for (w, h), file in first_of_size.items())
        raise UserError(f"the images in {files[0].parent} differ in size: {sizes}; resize them")
    ((width, height),) = first_of_size
    images = np.empty((len(files), height, width, 3), np.float32)
    for image, file in zip(images, files, strict=True):
        image[:] = over(read_image(file, orient=orient), background)
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
    """Width and height of an image as stored, from its header. Raises as `read_header` does."""
    return read_header(file).size


def exif_orientation(file: Path) -> int:
    """The EXIF orientation of an image, 1 to 8; 1 if it has none, or cannot be read."""
    try:
        with _without_warnings(), Image.open(file, formats=_FORMATS) as image:
            exif = Image.Exif()
            exif.load(image.info.get("exif") or b"")
            orientation = exif.get(_ORIENTATION, 1)
    except (Image.DecompressionBombError, *_DECODING_ERRORS):
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def read_header(file: Path) -> Header:
    """Reads the header of an image and checks that the file is complete; decodes no pixels.

    Raises:
      UserError: if the file cannot be read, or the image has more than `MAX_PIXELS`.
    """
    try:
        with _without_warnings(), Image.open(file, formats=_FORMATS) as image:
            size = image.size
            exif = Image.Exif()
            exif.load(image.info.get("exif") or b"")
            orientation = exif.get(_ORIENTATION, 1)
            is_transparent = _is_transparent(image)
            image.verify()  # of a PNG, every checksum up to its end
    except Image.DecompressionBombError as error:
        raise _too_large(file) from error
    except _DECODING_ERRORS as error:
        raise _unreadable(file, error) from error
    if size[0] * size[1] > MAX_PIXELS:
        raise _too_large(file)
    return Header(size, orientation if isinstance(orientation, int) else 1, is_transparent)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Hides Pillow's warnings about unusual metadata, and about sizes, which are checked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def oriented_size(header: Header, *, orient: bool) -> tuple[int, int]:
    """Width and height of an image, turned by its EXIF orientation if `orient`."""
    width, height = header.size
    return (height, width) if orient and header.orientation in _TURNED else (width, height)


def read_image(file: Path, *, orient: bool = False) -> npt.NDArray[np.float32]:
    """Reads an image as float32 in [0, 1]; see `read_pixels`, but grey levels keep 16 bits."""
    return to_float(_decode(file, orient))


def read_pixels(file: Path, *, orient: bool = False) -> npt.NDArray[np.uint8]:
    """Reads an image.

    Args:
      file: a PNG or JPEG file, of 8 or 16 bits, grey, colour or with a palette. Images of 16 bits
        are read with 8 bits.
      orient: whether to turn the image as its EXIF orientation says.

    Returns:
      `[height, width, 3]` uint8; `[height, width, 4]` with alpha if the file is transparent, with
      colours that are not multiplied by alpha.

    Raises:
      UserError: if the file cannot be read, or is too large.
    """
    return to_bytes(_decode(file, orient))


def _decode(file: Path, orient: bool) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
    """The pixels: uint8, or float32 in [0, 1] of a grey image with 16 bits."""
    try:
        with _without_warnings(), Image.open(file, formats=_FORMATS) as opened:
            image = ImageOps.exif_transpose(opened) if orient else opened
            if image.mode.startswith("I") or image.mode == "F":  # grey with 16 bits
                scale = np.float32(65535)
                grey = np.asarray(image).astype(np.float32) / scale
                return np.repeat(np.clip(grey, 0.0, 1.0)[..., None], 3, axis=-1)
            return np.asarray(image.convert("RGBA" if _is_transparent(image) else "RGB"))
    except Image.DecompressionBombError as error:
        raise _too_large(file) from error
    except _DECODING_ERRORS as error:
        raise _unreadable(file, error) from error


def _is_transparent(image: Image.Image) -> bool:
    return "A" in image.getbands() or "transparency" in image.info


def over(pixels: npt.NDArray[np.float32], background: Background | None) -> npt.NDArray[np.float32]:
    """Composites pixels `[..., 4]` over a background, if there is one; pixels `[..., 3]` stay as
    they are.
    """
    if pixels.shape[-1] == 3 or background is None:
        return pixels[..., :3]
    rgb, alpha = pixels[..., :3], pixels[..., 3:]
    behind = np.float32(1.0 if background == "white" else 0.0)
    return rgb * alpha + behind * (1 - alpha)


def shrink(pixels: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    """Scales an image down by area: each new pixel is the mean of the area that it covers.

    Args:
      pixels: `[rows, columns, channels]`; with 4 channels, colours are weighted by alpha.
      height, width: of the result, in pixels, at most those of `pixels`.

    >>> row = np.array([0.0, 3.0, 6.0], np.float32).reshape(1, 3, 1)
    >>> shrink(row, 1, 2)[0, :, 0].tolist()  # of a pixel and a half each
    [1.0, 5.0]
    """
    if pixels.shape[-1] == 4:
        weighted = np.concatenate([pixels[..., :3] * pixels[..., 3:], pixels[..., 3:]], axis=-1)
        small = _means(_means(weighted, height, 0), width, 1)
        alpha = small[..., 3:]
        rgb = np.where(alpha > 0, small[..., :3] / np.where(alpha > 0, alpha, 1.0), 0.0)
        return np.concatenate([rgb, alpha], axis=-1).astype(np.float32)
    return _means(_means(pixels, height, 0), width, 1).astype(np.float32)


def _means(values: npt.NDArray[np.floating], number: int, axis: int) -> npt.NDArray[np.float64]:
    """Means over `number` equal intervals of an axis; an interval may end within a pixel."""
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
    """Converts 8-bit values to float32 in [0, 1]; float values are in [0, 1] already."""
    scale = np.float32(255 if pixels.dtype == np.uint8 else 1)
    return pixels.astype(np.float32) / scale


def to_bytes(
    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.float32],
) -> npt.NDArray[np.uint8]:
    """Rounds values in [0, 1] to 8 bits; 8-bit values stay as they are."""
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    levels = np.round(np.clip(np.asarray(pixels, np.float32), 0.0, 1.0) * np.float32(255))
    return np.asarray(levels, np.uint8)


def _unreadable(file: Path, error: Exception) -> UserError:
    reason = str(error).replace("\n", " ") or type(error).__name__
    return UserError(f"cannot read the image {file} ({reason}): copy or make it again")


def _too_large(file: Path) -> UserError:
    return UserError(
        f"the image {file} has more than {MAX_PIXELS} pixels: make a smaller copy in an images_N "
        "folder"
    )
