"""Reading the images of a capture into one array, all of them or some."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nerf.captures.images import scaled as scaled_images
from nerf.captures.images.sizes import MatchedImages
from nerf.errors import UserError
from nerf.runtime import devices
from nerf.runtime.events import Callback, ignore_event
from nerf.scenes.image_store import Bytes, read_into_array, with_channels


@dataclasses.dataclass(frozen=True, eq=False)
class ImageReader:
    """The images of a capture, which are read when they are asked for.

    Attributes:
      matched: the capture, with what is known of its image files.
      targets: `[num_views, 2]`, width and height of the images.
      channels: 3, or 4 with alpha.
      ignore_alpha: whether transparent pixels count like others in smaller images.
      cache_dir: where scaled and mapped images are cached.
      image_memory: the largest share of the machine's memory for them; more are written to the
        cache and mapped into memory.
      callback: receives the progress of scaling.
    """

    matched: MatchedImages
    targets: npt.NDArray[np.int64]
    channels: int
    ignore_alpha: bool
    cache_dir: Path
    image_memory: float
    callback: Callback

    @property
    def num_bytes(self) -> int:
        """The bytes of all images."""
        return int(self.targets.prod(axis=1).sum()) * self.channels

    def read_all(self) -> Bytes:
        """The pixels of all images, `[num_pixels, channels]`, one image after the other."""
        return self.read(range(len(self.targets)), self.callback)

    def read(self, indices: Sequence[int], callback: Callback = ignore_event) -> Bytes:
        """The pixels of some images, `[num_pixels, channels]`, one image after the other.

        Args:
          indices: of the views.
          callback: receives the progress of scaling.

        Raises:
          UserError: if one cannot be read, or they do not fit into memory.
        """
        which = np.asarray(indices, np.int64)
        capture, sizes, turned, _ = self.matched
        files = [capture.files[index] for index in which]
        turns = [turned[index] for index in which]
        sizes, targets = sizes[which], self.targets[which]
        num_pixels = int(targets.prod(axis=1).sum())
        file = None
        if num_pixels * self.channels > self.image_memory * devices.host_memory():
            ignored = ["alpha is ignored"] * self.ignore_alpha
            identities = tuple(scaled_images.file_identity(file) for file in files)
            what = (identities, tuple(turns), targets.tolist(), self.channels, *ignored)
            file = self.cache_dir / "images" / f"{scaled_images.cache_name(what)}.npy"

        def read() -> Iterator[Bytes]:
            for image in scaled_images.load_pixels(
                files,
                sizes,
                turns,
                targets,
                self.cache_dir / "scaled",
                callback,
                ignore_alpha=self.ignore_alpha,
            ):
                yield with_channels(image, self.channels)

        try:
            return read_into_array(read, num_pixels, self.channels, file)
        except MemoryError as error:
            width, height = targets[0].tolist()
            raise UserError(
                f"{len(files)} images of {width} x {height} do not fit into the memory: give a "
                "smaller `max_size`, or a larger `factor`"
            ) from error
