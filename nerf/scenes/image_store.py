"""The images of a scene: one array of 8-bit pixels, in memory once.

The pixels of all views follow each other in `ImageStore.pixels`, each view row by row, so views may
differ in size. Images in floating point are made on demand, one view at a time: all of them would
take four times the memory.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nerf.captures.images.files import over, to_bytes, to_float
from nerf.config.settings import Background
from nerf.runtime import atomic
from nerf.scenes.pixel_mask import PixelMask

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_ALIGNMENT = 64  # bytes; JAX uses such an array of a CPU where it is, without a copy
_OPAQUE = 255


@dataclasses.dataclass(frozen=True, eq=False)
class ImageStore:
    """The images of all views: a sequence of `[height, width, 3]` float32 images, sRGB in [0, 1].

    Attributes:
      pixels: `[num_pixels, 3]` uint8, sRGB; `[num_pixels, 4]` with alpha, colours not multiplied by
        it.
      heights, widths: `[num_views]`, in pixels.
      background: the colour behind transparent pixels; None if alpha is not opacity, and colours
        are used as they are.
      is_transparent: whether alpha is known to be the opacity of the scene; else transparent
        pixels just show the background.
      mask: the pixels that are trained on and scored; None for all.
      read: reads the pixels of some views, `[num_pixels, 3 or 4]`, by their indices, where
        `pixels` holds none, since each process of a job reads its own; else None.

    >>> two = ImageStore.of(np.full((2, 3, 4, 3), 255, np.uint8))
    >>> len(two), two[1].shape, float(two[1].min()), two.offsets.tolist()
    (2, (3, 4, 3), 1.0, [0, 12])
    """

    pixels: Bytes
    heights: npt.NDArray[np.int64]
    widths: npt.NDArray[np.int64]
    background: Background | None = "black"
    is_transparent: bool = False
    mask: PixelMask | None = None
    read: Callable[[Sequence[int]], Bytes] | None = None

    @classmethod
    def of(
        cls, images: Bytes | Floats, background: Background = "white", *, transparent: bool = False
    ) -> "ImageStore":
        """A store of images of one size.

        Args:
          images: `[num_views, height, width, 3 or 4]`, uint8, or float in [0, 1], which is rounded.
          background: the colour behind transparent pixels.
          transparent: whether alpha is the opacity of the scene.
        """
        num_views, height, width, channels = images.shape
        pixels = empty_pixels(num_views * height * width, channels)
        for index, image in enumerate(images):
            start = index * height * width
            pixels[start : start + height * width] = to_bytes(image).reshape(-1, channels)
        heights, widths = (np.full(num_views, side, np.int64) for side in (height, width))
        return cls(read_only(pixels), heights, widths, background, transparent)

    def __len__(self) -> int:
        return len(self.heights)

    def __iter__(self) -> Iterator[Floats]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Floats:
        """The image of a view, `[height, width, 3]`, over the background."""
        return over(to_float(self.bytes_of(index)), self.background)

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """`[num_views]`: where the pixels of each view begin."""
        counts = self.heights * self.widths
        return np.asarray(np.cumsum(counts) - counts, np.int64)

    def bytes_of(self, index: int) -> Bytes:
        """The pixels of a view as they are stored, `[height, width, 3 or 4]`."""
        start, height, width = (int(x[index]) for x in (self.offsets, self.heights, self.widths))
        if self.read is not None:
            return self.read([index]).reshape(height, width, -1)
        return self.pixels[start : start + height * width].reshape(height, width, -1)

    def mask_of(self, index: int) -> npt.NDArray[np.bool_] | None:
        """The pixels of a view that are trained on and scored, `[height, width]`; None for all."""
        if self.mask is None:
            return None
        start, height, width = (int(x[index]) for x in (self.offsets, self.heights, self.widths))
        return self.mask.to_array(start, start + height * width).reshape(height, width)

    def alpha_of(self, index: int) -> Floats | None:
        """The opacity of a view, `[height, width]` in [0, 1]; None where it is not known."""
        return to_float(self.bytes_of(index)[..., 3]) if self.is_transparent else None

    def colours(self, indices: npt.NDArray[np.int64]) -> Floats:
        """Colours `[..., 3]` over the background of some pixels, by their indices in `pixels`."""
        return over(to_float(self.pixels[indices]), self.background)

    def stack(self) -> Floats:
        """All images, `[num_views, height, width, 3]`: of small scenes with one size of views."""
        return np.stack(list(self))


def with_channels(image: Bytes, channels: int) -> Bytes:
    """The image `[height, width, 3 or 4]` with 3 or 4 channels; alpha that is added is opaque."""
    if image.shape[-1] == channels or channels == 3:
        return image[..., :channels]
    opaque = np.full((*image.shape[:-1], 1), _OPAQUE, np.uint8)
    return np.concatenate([image, opaque], axis=-1)


def empty_pixels(num_pixels: int, channels: int) -> Bytes:
    """An array `[num_pixels, channels]` that JAX can use on a CPU without a copy."""
    num_bytes = num_pixels * channels
    memory = np.empty(num_bytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + num_bytes].reshape(num_pixels, channels)


def read_only(pixels: Bytes) -> Bytes:
    """The same array, which cannot be written to any more: the devices may be using it."""
    pixels.flags.writeable = False
    return pixels


def read_into_array(
    read: Callable[[], Iterable[Bytes]], num_pixels: int, channels: int, file: Path | None
) -> Bytes:
    """Reads images into one array, one at a time.

    Args:
      read: reads the images, each `[height, width, channels]`; it may be called twice.
      num_pixels: of all images together.
      channels: 3 or 4.
      file: an .npy file whose memory map is the result. It is written if it does not exist. None
        for an array in memory, which also takes its place if it cannot be written.

    Returns:
      `[num_pixels, channels]`, which cannot be written to.
    """
    if file is not None:
        with contextlib.suppress(OSError, ValueError):
            return _mapped(file, num_pixels, channels)
        with contextlib.suppress(OSError, ValueError):
            _write(file, read, num_pixels, channels)
            return _mapped(file, num_pixels, channels)
    pixels, start = np.empty((0, channels), np.uint8), 0
    for image in read():
        if start == 0:  # only after an image was decoded: a header may claim any size
            pixels = empty_pixels(num_pixels, channels)
        rows = image.reshape(-1, channels)
        pixels[start : start + len(rows)] = rows
        start += len(rows)
    return read_only(pixels)


def _mapped(file: Path, num_pixels: int, channels: int) -> Bytes:
    found = np.load(file, mmap_mode="r", allow_pickle=False)
    if found.dtype != np.uint8 or found.shape != (num_pixels, channels):
        raise ValueError(f"{file} is not what it should be")
    pixels: Bytes = found
    return pixels


def _write(file: Path, read: Callable[[], Iterable[Bytes]], num_pixels: int, channels: int) -> None:
    """Writes an .npy file image by image. A full disk raises an OSError, which a map does not."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (num_pixels, channels)}
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(file, shared=True) as partial, partial.open("wb") as out:
        np.lib.format.write_array_header_1_0(out, header)
        for image in read():
            out.write(np.ascontiguousarray(image).data)
