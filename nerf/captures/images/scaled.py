"""Reading the images of a scene at their sizes; scaled ones are cached."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nerf.captures.capture import InvalidCapture
from nerf.captures.images import files as image_files
from nerf.captures.images import kinds as image_kinds
from nerf.captures.images.kinds import UnreadableImage
from nerf.errors import UserError
from nerf.runtime.array_cache import Arrays, cached_arrays
from nerf.runtime.events import Callback, Progress, ignore_event

_MIN_PIXELS_OF_BAR = 2**25  # the fewest pixels to scale for which a progress bar is shown


def load_pixels(
    files: Sequence[Path],
    sizes: npt.NDArray[np.int64],
    turned: Sequence[bool],
    targets: npt.NDArray[np.int64],
    cache_dir: Path,
    callback: Callback,
    *,
    ignore_alpha: bool = False,
) -> Iterator[npt.NDArray[np.uint8]]:
    """Reads the images of a scene, each at its own size.

    Args:
      files: `[num_views]`.
      sizes: `[num_views, 2]`, width and height.
      turned: `[num_views]`, which images to turn by their EXIF orientation.
      targets: `[num_views, 2]`, width and height of the results.
      cache_dir: where scaled images are cached.
      callback: receives the progress where there is much to scale.
      ignore_alpha: whether transparent pixels count like others in smaller images.

    Yields:
      `[height, width, 3 or 4]` uint8, one for each file.

    Raises:
      InvalidCapture: with all images that cannot be read, after the others were yielded.
    """
    are_scaled = (sizes != targets).any(axis=1)
    show = int(sizes[are_scaled].prod(axis=1).sum()) > _MIN_PIXELS_OF_BAR
    receiver = callback if show else ignore_event
    faults: list[UserError] = []
    with Progress.of(receiver, "scaling images", total=len(files), unit="image") as progress:
        for file, turn, (width, height), is_scaled in zip(
            files, turned, targets.tolist(), are_scaled, strict=True
        ):
            scaled_in = cache_dir if is_scaled else None
            try:
                pixels = _pixels(file, turn, height, width, scaled_in, ignore_alpha)
            except UnreadableImage as fault:
                faults.append(fault)
            else:
                yield pixels
            progress.advance(1)
    if faults:
        raise InvalidCapture(image_kinds.messages_on_unreadable(faults))


def _pixels(
    file: Path,
    orient: bool,
    height: int,
    width: int,
    cache_dir: Path | None,
    ignore_alpha: bool,
) -> npt.NDArray[np.uint8]:
    """The pixels `[height, width, 3 or 4]` of an image; it is scaled if there is a `cache_dir`."""
    if cache_dir is not None:
        pixels = _scaled(file, orient, height, width, cache_dir, ignore_alpha)
    else:
        pixels = image_files.read_pixels(file, orient=orient)
    if pixels.shape[:2] != (height, width):
        raise UnreadableImage(
            file, "{is} not of the size that the header says", "copy or make {it} again"
        )
    return pixels


def _scaled(
    file: Path, orient: bool, height: int, width: int, cache_dir: Path, ignore_alpha: bool
) -> npt.NDArray[np.uint8]:
    """An image at a smaller size, cached by the identity of the file."""
    identity = (*file_identity(file), orient, height, width, *(["opaque"] * ignore_alpha))
    path = cache_dir / f"{cache_name(identity)}.npz"

    def shrink() -> Arrays:
        small = image_files.read_scaled(
            file, height, width, orient=orient, ignore_alpha=ignore_alpha
        )
        return {"pixels": image_files.to_bytes(small)}

    def fits(found: Arrays) -> bool:
        pixels = found["pixels"]
        return bool(pixels.dtype == np.uint8 and pixels.shape[:2] == (height, width))

    return np.asarray(cached_arrays(path, shrink, fits)["pixels"])


def file_identity(file: Path) -> tuple[str, int, int]:
    """What changes with the content of a file: its path, time and size."""
    status = file.stat()
    return str(file.resolve()), status.st_mtime_ns, status.st_size


def cache_name(identity: tuple[object, ...]) -> str:
    """A file name, without a suffix, for data that depends only on `identity`."""
    return hashlib.sha256(repr(identity).encode()).hexdigest()[:32]
