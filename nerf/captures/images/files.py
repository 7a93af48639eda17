"""Image files: headers, pixels as 8-bit or float32 sRGB, scaling."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from nerf.captures.images.area_scaling import shrink as shrink
from nerf.captures.images.area_scaling import shrink_strips
from nerf.captures.images.decoding import (
    DECODING_ERRORS,
    TURNED,
    decoded,
    has_alpha,
    head_of,
    opened,
    upright_tiff_size,
)
from nerf.captures.images.decoding import LARGE as LARGE
from nerf.captures.images.kinds import conversion, kind_of
from nerf.captures.safe_files.reading import DYNAMIC_MASK, has_image_suffix
from nerf.config.settings import Background
from nerf.errors import UserError, listed

_ORIENTATION = 0x0112  # the EXIF tag
_MAX_OTHERS = 20  # files that are looked at where no image was found


class ImageHeader(NamedTuple):
    """The header of an image file.

    Attributes:
      size: width and height of the pixels as they are stored.
      orientation: the value of the EXIF tag, 1 to 8; 1 without the tag.
      is_transparent: whether the file has an alpha channel.
      has_more_pages: whether images follow the first, which is the one that is read.
    """

    size: tuple[int, int]
    orientation: int
    is_transparent: bool
    has_more_pages: bool = False

    @property
    def is_large(self) -> bool:
        """Whether a smaller copy is preferred to the image."""
        return self.size[0] * self.size[1] > LARGE


def image_files(folder: Path) -> list[Path]:
    """The image files in a folder, sorted by name, without hidden files and masks."""
    return sorted(
        path
        for path in folder.iterdir()
        if has_image_suffix(path.name)
        and path.is_file()
        and not path.name.startswith((".", DYNAMIC_MASK))
    )


def advice_on_other_files(folder: Path) -> str:
    """Advice where no image was found but files of a kind that is not read; else empty."""
    others = sorted(
        path
        for path in folder.iterdir()
        if path.suffix and path.is_file() and not path.is_symlink()
    )
    for file in others[:_MAX_OTHERS]:
        kind = kind_of(head_of(file))
        if kind.convertible:
            return (
                f"; {file.name} there is {kind.name}, which is not read: convert such files to "
                f"{conversion(file)}"
            )
    return ""


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


def image_size(file: Path) -> tuple[int, int]:
    """Width and height of an image as stored, from its header. Raises as `read_header` does."""
    return read_header(file).size


def exif_orientation(file: Path) -> int:
    """The EXIF orientation of an image, 1 to 8; 1 if it has none, or cannot be read."""
    try:
        with opened(file) as image:
            return _orientation_of(image)
    except UserError:
        return 1


def read_header(file: Path) -> ImageHeader:
    """Reads the header of an image and checks a PNG's checksums; decodes no pixels.

    Raises:
      UnreadableImage: if the file cannot be read, or Pillow refuses its number of pixels.
    """
    with opened(file) as image:
        size = image.size
        if image.format == "TIFF":
            size = upright_tiff_size(image)
        orientation = _orientation_of(image)
        is_transparent = has_alpha(image)
        has_more_pages = image.format not in ("PNG", "JPEG", "MPO") and _has_second(image)
        image.verify()  # of a PNG, every checksum up to its end
    return ImageHeader(size, orientation, is_transparent, has_more_pages)


def _orientation_of(image: Image.Image) -> int:
    """The EXIF orientation; 1 of a TIFF, which Pillow turns itself when its pixels are loaded."""
    if image.format == "TIFF":
        return 1
    exif = Image.Exif()
    exif.load(image.info.get("exif") or b"")
    orientation = exif.get(_ORIENTATION, 1)
    return int(orientation) if orientation in range(1, 9) else 1


def _has_second(image: Image.Image) -> bool:
    """Whether a file has more than one image; the file must not be decoded after this call."""
    try:
        image.seek(1)
    except DECODING_ERRORS:
        return False
    return True


def oriented_size(header: ImageHeader, *, orient: bool) -> tuple[int, int]:
    """Width and height of an image, turned by its EXIF orientation if `orient`."""
    width, height = header.size
    return (height, width) if orient and header.orientation in TURNED else (width, height)


def _turn(file: Path, orient: bool) -> int:
    """The orientation by which an image is turned, see `decoded`."""
    return read_header(file).orientation if orient else 1


def read_image(file: Path, *, orient: bool = False) -> npt.NDArray[np.float32]:
    """Reads an image as float32 in [0, 1]; see `read_pixels`, but grey levels keep 16 bits."""
    with decoded(file, _turn(file, orient)) as strips:
        return np.concatenate([to_float(strip) for strip in strips])


def read_pixels(file: Path, *, orient: bool = False) -> npt.NDArray[np.uint8]:
    """Reads an image.

    Args:
      file: a PNG, JPEG, WebP, TIFF, BMP, AVIF or HEIC file, of 8 or 16 bits, grey, colour or with a
        palette. Images of 16 bits are read with 8 bits.
      orient: whether to turn the image as its EXIF orientation says.

    Returns:
      `[height, width, 3]` uint8; `[height, width, 4]` with alpha if the file is transparent, with
      colours that are not multiplied by alpha.

    Raises:
      UnreadableImage: if the file cannot be read, or is too large.
    """
    with decoded(file, _turn(file, orient)) as strips:
        return np.concatenate([to_bytes(strip) for strip in strips])


def read_scaled(
    file: Path, height: int, width: int, *, orient: bool = False, ignore_alpha: bool = False
) -> npt.NDArray[np.float32]:
    """Reads an image at a smaller size, scaled by area strip by strip; see `shrink`.

    Only the decoded image is in memory as a whole, at up to 4 bytes a pixel. A JPEG of more than
    `LARGE` pixels is decoded at 1/2, 1/4 or 1/8 of its size, as far as that is no smaller than the
    result; its decoder then leaves out fine detail, which is not quite scaling by area.

    Args:
      file: the image.
      height, width: of the result, in pixels, at most those of the image.
      orient: whether to turn the image as its EXIF orientation says.
      ignore_alpha: whether colours count alike, however transparent they are; alpha is left out.

    Returns:
      `[height, width, 3 or 4]` in [0, 1].

    Raises:
      UnreadableImage: if the file cannot be read, or is too large.
    """
    with decoded(file, _turn(file, orient), (height, width)) as strips:
        used = (strip[..., :3] if ignore_alpha else strip for strip in map(to_float, strips))
        return shrink_strips(used, strips.num_rows, height, width)


def over(pixels: npt.NDArray[np.float32], background: Background | None) -> npt.NDArray[np.float32]:
    """Composites pixels `[..., 4]` over a background, if there is one; pixels `[..., 3]` stay as
    they are.
    """
    if pixels.shape[-1] == 3 or background is None:
        return pixels[..., :3]
    rgb, alpha = pixels[..., :3], pixels[..., 3:]
    level = np.float32(1.0 if background == "white" else 0.0)
    return rgb * alpha + level * (1 - alpha)


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
