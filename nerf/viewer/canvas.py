"""An image that is filled tile by tile, over a coarser one."""

import numpy as np
import numpy.typing as npt

from nerf.captures.images.files import shrink
from nerf.geometry.cameras import Cameras
from nerf.output.images import FloatImage, to_bytes
from nerf.render.images import RenderedImage
from nerf.viewer.display import resized


class Canvas:
    """An image that is filled tile by tile, and shows a coarser one where it is not yet filled."""

    def __init__(self, camera: Cameras, coarser: RenderedImage | None = None):
        shape = (camera.height, camera.width)
        if coarser is None:
            self._rgb, self._depth, self._acc = (
                np.zeros((*shape, 3), np.float32),
                np.ones(shape, np.float32),
                np.zeros(shape, np.float32),
            )
            return
        rows = np.arange(shape[0]) * coarser.acc.shape[0] // shape[0]
        columns = np.arange(shape[1]) * coarser.acc.shape[1] // shape[1]
        self._rgb, self._depth, self._acc = (x[rows[:, None], columns[None]] for x in coarser)

    def add(self, index: npt.NDArray[np.int32], *values: npt.ArrayLike) -> None:
        """Sets pixels by their indices, row by row."""
        for array, value in zip((self._rgb, self._depth, self._acc), values, strict=True):
            flat = array.reshape(-1, *array.shape[2:])
            flat[index] = value

    def image(self) -> RenderedImage:
        return RenderedImage(self._rgb, self._depth, self._acc)


def resized_photograph(image: FloatImage, height: int, width: int) -> FloatImage:
    """A photograph scaled to a size; smaller sizes are averages over areas."""
    if image.shape[0] >= height and image.shape[1] >= width:
        return shrink(image, height, width)
    return resized(to_bytes(image), height, width).astype(np.float32) / 255.0
