"""Reading depth images: depth along the viewing axis in the files' unit of length."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from nerf.captures.capture import MAX_DEPTH
from nerf.captures.depths.known import DepthFile
from nerf.captures.images import kinds as image_kinds
from nerf.captures.images.decoding import DECODING_ERRORS
from nerf.captures.images.exr import read_channel
from nerf.captures.safe_files.array_files import read_array
from nerf.captures.safe_files.reading import read_bytes
from nerf.errors import UserError

DEPTH_SUFFIXES = (".png", ".tif", ".tiff", ".npy", ".exr")
_MAX_BYTES = 2**28
_MAX_PIXELS = 2**26
_NOTHING = 1e9  # of a float, from which on it means that nothing was seen, as 1e10 does for Blender
_NOTHING_IN_16_BITS = 2**16 - 1
_CHANNELS = ("Z", "depth", "R", "Y")
_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")


def read_depth(depth: DepthFile, *, follow_links: bool = False) -> npt.NDArray[np.float64]:
    """The depth image of a view.

    Args:
      depth: the file, its unit, and its confidence if there is one.
      follow_links: whether a link that leads out of its folder is followed.

    Returns:
      `[height, width]`, in the files' unit; 0 where it is not known, not finite, not to be trusted,
      beyond `depth.farthest`, or a value that programs write where they see nothing: 65535 in 16
      bits, and what is at least 1e9.

    Raises:
      UserError: if a file cannot be read, is not a depth image, or the confidence does not fit it.
    """
    with np.errstate(all="ignore"):
        numbers = _values(depth.file, follow_links)
        values = numbers * depth.unit
        is_known = np.isfinite(values) & (values > 0) & (values < MAX_DEPTH)
        is_known &= (values <= depth.farthest) & (numbers < _NOTHING)
    if depth.confidence is not None:
        confidence = _grey(depth.confidence, follow_links)
        if confidence.shape != values.shape:
            raise UserError(
                f"{depth.confidence} is {_size(confidence)}, and its depth image {_size(values)}: "
                "export both again, or remove the confidence"
            )
        is_known &= confidence > 0
    return np.where(is_known, values, 0.0)


def _values(file: Path, follow_links: bool) -> npt.NDArray[np.float64]:
    """The numbers of a file, `[height, width]`."""
    suffix = file.suffix.lower()
    if suffix == ".exr":
        return read_channel(file, _CHANNELS, follow_links=follow_links).astype(np.float64)
    if suffix == ".npy":
        array = read_array(file, _MAX_BYTES, follow_links=follow_links)
        array = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
        if array.ndim != 2 or array.size == 0:
            raise UserError(
                f"{file} has the shape {list(array.shape)}, and a depth image has height and "
                "width: make it again"
            )
        return array
    return _grey(file, follow_links, _MODES)


def _grey(
    file: Path, follow_links: bool, modes: tuple[str, ...] | None = None
) -> npt.NDArray[np.float64]:
    """The numbers of an image with one channel; `modes` are Pillow's names of what is accepted."""
    content = read_bytes(file, _MAX_BYTES, follow_links=follow_links)
    kind = image_kinds.kind_of(content[: image_kinds.HEAD_BYTES])
    if kind.decoders and kind.name not in ("PNG", "TIFF"):
        raise UserError(
            f"{file} is {kind.name}, and a depth image is a PNG or TIFF with 16 bits or more, .npy "
            "or OpenEXR: give the depth itself"
        )
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(content), formats=("PNG", "TIFF")) as image,
        ):
            mode, (width, height) = image.mode, image.size
            if width * height > _MAX_PIXELS:
                raise UserError(f"{file} is {width} x {height}, too large for a depth image")
            if (modes is not None and mode not in modes) or len(image.getbands()) > 1:
                raise UserError(
                    f"{file} has no depth in 16 bits or more ({mode}), but colours or 8 bits: give "
                    "the depth itself, as a PNG with 16 bits, e.g. in millimetres"
                )
            pixels: npt.NDArray[Any] = np.asarray(image)
    except UserError:
        raise
    except (*DECODING_ERRORS, Image.DecompressionBombError, MemoryError) as error:
        raise UserError(
            f"{file} cannot be read as a depth image ({error or type(error).__name__}): copy or "
            "export it again"
        ) from error
    numbers = pixels.astype(np.float64)
    if kind.name == "PNG" or pixels.dtype.itemsize == 2:
        numbers[numbers == _NOTHING_IN_16_BITS] = 0.0
    return numbers


def _size(array: npt.NDArray[np.float64]) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
