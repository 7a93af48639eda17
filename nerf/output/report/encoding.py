"""Images and videos as text within a page: data URIs of a limited size."""

import base64
import dataclasses
import io
import math
from collections.abc import Callable, Sequence

from PIL import Image

from nerf.output.images import ByteImage

QUALITY = 88  # of JPEG
MAX_BYTES = 11_000_000  # of all images and the video of a page; base64 makes 14.7 MB of them
MAX_VIDEO_BYTES = 3_000_000  # of these
_LOSSLESS_PIXELS = 40_000  # images of at most as many are written exactly, as PNG
_BYTES_PER_PIXEL = 0.3  # of a photograph as JPEG, about
_MAX_TRIES = 6


@dataclasses.dataclass(frozen=True)
class Source:
    """An image that is read when it is encoded.

    Attributes:
      read: returns the image, `[height, width, 3]`.
      height, width: of it, in pixels.
      max_pixels: it is scaled down to at most as many.
    """

    read: Callable[[], ByteImage]
    height: int
    width: int
    max_pixels: float = math.inf

    def size(self, share: float) -> tuple[int, int]:
        """Width and height where it may have `share` of its pixels."""
        pixels = min(self.max_pixels, share * self.height * self.width)
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


def encode_images(sources: Sequence[Source], max_bytes: int = MAX_BYTES) -> list[Encoded]:
    """Encodes images so that all of them together have a limited size.

    Where they are too large, all are scaled down by the same factor.

    Args:
      sources: the images.
      max_bytes: of all of them, before base64 makes a third more.
    """
    pixels = sum(math.prod(source.size(1.0)) for source in sources)
    share = min(1.0, max_bytes / max(1.0, _BYTES_PER_PIXEL * pixels))
    for _ in range(_MAX_TRIES):
        contents = [_compressed(source, share) for source in sources]
        total = sum(len(content) for _, content, _ in contents)
        if total <= max_bytes:
            break
        share *= 0.9 * max_bytes / total
    return [Encoded(data_uri(kind, content), *size) for kind, content, size in contents]


def data_uri(kind: str, content: bytes) -> str:
    """Bytes as an address of their own, e.g. for kind `image/png`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _compressed(source: Source, share: float) -> tuple[str, bytes, tuple[int, int]]:
    """The kind, the bytes, and width and height of an image with a share of its pixels."""
    size = source.size(share)
    image = Image.fromarray(source.read())
    if image.size != size:
        image = image.resize(size, Image.Resampling.BOX)
    buffer = io.BytesIO()
    if math.prod(size) <= _LOSSLESS_PIXELS:
        image.save(buffer, "PNG")
        return "image/png", buffer.getvalue(), size
    image.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return "image/jpeg", buffer.getvalue(), size
