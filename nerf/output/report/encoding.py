"""Images and videos as text within a page: data URIs of a limited size."""

import base64
import dataclasses
import io
import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from nerf.output.images import ByteImage

QUALITY, SMALLER_QUALITY = 88, 80  # of JPEG: of whole images, and of those that are scaled down
MAX_VIDEO_BYTES = 3_000_000
_MIN_BYTES, _MAX_BYTES = 11_000_000, 22_000_000  # of the images and the video of a page
_BYTES_PER_VIEW = 110_000
_LOSSLESS_PIXELS = 40_000  # images with no more are written exactly, as PNG
_BYTES_PER_PIXEL = 0.25  # of a photograph as JPEG, about
_MAX_TRIES = 6
_NUM_SAMPLED = 32  # images whose size is measured before all of them are encoded


@dataclasses.dataclass(frozen=True)
class Source:
    """An image that is read when it is encoded.

    Attributes:
      read: returns the image, `[height, width, 3]`.
      height, width: of it, in pixels.
      max_pixels: it is scaled down to at most this number.
    """

    read: Callable[[], ByteImage]
    height: int
    width: int
    max_pixels: float = math.inf

    @property
    def num_pixels(self) -> float:
        """The most pixels that it is encoded with."""
        return min(self.max_pixels, self.height * self.width)

    def size(self, share: float) -> tuple[int, int]:
        """Width and height where it may have `share` of its pixels."""
        pixels = share * self.num_pixels
        scale = min(1.0, math.sqrt(pixels / (self.height * self.width)))
        return max(1, round(self.width * scale)), max(1, round(self.height * scale))


@dataclasses.dataclass(frozen=True)
class Encoded:
    """An image as a data URI.

    Attributes:
      uri: it.
      width, height: in pixels, as it is encoded.
    """

    uri: str
    width: int
    height: int


def max_bytes(num_views: int) -> int:
    """The most bytes of the images and the video of a page, before base64 adds a third.

    A page of many views may be larger, so that its images do not become too small.

    >>> max_bytes(3), max_bytes(150), max_bytes(1000)
    (11000000, 16500000, 22000000)
    """
    return min(_MAX_BYTES, max(_MIN_BYTES, num_views * _BYTES_PER_VIEW))


def encode_images(sources: Sequence[Source], max_bytes: int) -> list[Encoded]:
    """Encodes images so that all of them together have a limited size.

    Where they are too large, all are scaled down by the same factor.

    Args:
      sources: the images.
      max_bytes: of all of them, before base64 makes a third more.
    """
    share = _fitting_share(sources, max_bytes)
    for _ in range(_MAX_TRIES):
        contents = [_compressed(source, share) for source in sources]
        total = sum(len(content) for _, content, _ in contents)
        if total <= max_bytes:
            break
        share *= 0.9 * max_bytes / total
    return [Encoded(data_uri(kind, content), *size) for kind, content, size in contents]


def _fitting_share(sources: Sequence[Source], max_bytes: int) -> float:
    """The share of their pixels with which images will fit, estimated from some of them."""
    pixels = sum(source.num_pixels for source in sources)
    share = min(1.0, max_bytes / max(1.0, _BYTES_PER_PIXEL * pixels))
    if len(sources) <= _NUM_SAMPLED:
        return share
    chosen = np.random.default_rng(0).choice(len(sources), _NUM_SAMPLED, replace=False)
    some = [sources[number] for number in chosen]
    allowed = max_bytes * sum(source.num_pixels for source in some) / pixels
    for _ in range(_MAX_TRIES):
        total = sum(len(_compressed(source, share)[1]) for source in some)
        if total <= allowed:
            break
        share *= 0.9 * allowed / total
    return share


def data_uri(kind: str, content: bytes) -> str:
    """Bytes as an address of their own, e.g. for kind `image/png`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _compressed(source: Source, share: float) -> tuple[str, bytes, tuple[int, int]]:
    """The kind, the bytes, and width and height of an image with a share of its pixels."""
    size = source.size(share)
    image = Image.fromarray(source.read())
    if image.size != size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    is_whole = share == 1.0
    if is_whole and math.prod(size) <= _LOSSLESS_PIXELS:
        image.save(buffer, "PNG")
        return "image/png", buffer.getvalue(), size
    quality = QUALITY if is_whole else SMALLER_QUALITY
    image.save(buffer, "JPEG", quality=quality, subsampling=0 if is_whole else "4:2:0")
    return "image/jpeg", buffer.getvalue(), size
