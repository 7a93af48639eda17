"""The field that the windows show; while it is trained, its parameters change."""

import threading
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from nerf.field import Params
from nerf.geometry.cameras import Cameras
from nerf.jobs.trained_field import TrainedField
from nerf.render.tiles import ImageRenderer, RenderedPixels, TileProgram
from nerf.runtime import parallel
from nerf.viewer.crop import EVERYTHING, Box, cropping_program
from nerf.viewer.ladder import MAX_PIXELS, Speed

_REST_IN_TRAINING = 9.0
MAX_PIXELS_IN_TRAINING = 2**16
Tile = tuple[npt.NDArray[np.int32], RenderedPixels]


class FieldSource:
    """A field, its program and its current parameters, which all windows share.

    Attributes:
      trained: what is shown; its parameters are None until there are some.
      speed: rays that are drawn in a second, by all windows.
      rest: how many times as long as it drew a window rests before it draws new parameters.
      max_pixels: of an image.

    Args:
      trained: what is shown.
      in_training: whether its parameters will change; drawing then takes a small part of the time.
    """

    def __init__(self, trained: TrainedField, *, in_training: bool = False):
        self.trained = trained
        self.speed = Speed()
        self.rest = _REST_IN_TRAINING if in_training else 0.0
        self.max_pixels = MAX_PIXELS_IN_TRAINING if in_training else MAX_PIXELS
        self._lock = threading.Lock()  # one tile at a time, so that windows take turns
        self._program: TileProgram | None = None
        self._placed: Params | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_ready(self) -> bool:
        return self.trained.params is not None

    def update(self, params: Params, step: int) -> None:
        """Shows other parameters of the same shapes from now on."""
        with self._lock:
            self.trained = self.trained.with_params(params, step)
            self._placed = None
        for listener in tuple(self._listeners):
            listener()

    def on_update(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Calls a function after each `update`; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def renderer(self, box: Box | None) -> ImageRenderer:
        """The renderer of the current parameters, compiled when it is first used.

        Args:
          box: what lies outside is not drawn; None draws everything.
        """
        with self._lock:
            if self._program is None:
                self._program = cropping_program(self.trained)
            if self._placed is None:
                self._placed = parallel.replicate(self._program.mesh, self.trained.params)
            box = EVERYTHING if box is None else box
            return self._program.with_params((self._placed, box))

    def tiles(self, renderer: ImageRenderer, camera: Cameras) -> Iterator[Tile]:
        """The tiles of an image; while one is drawn, other windows wait."""
        with self.trained.matmul_precision():
            tiles = renderer.tiles(camera)
            while True:
                with self._lock:
                    tile = next(tiles, None)
                if tile is None:
                    return
                yield tile
