"""The field that the windows show, whose parameters change while it is trained."""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from nerf.field import Params
from nerf.geometry.cameras import Cameras
from nerf.jobs.trained_field import TrainedField
from nerf.render.image_renderer import ImageRenderer, TileProgram
from nerf.render.tiles import RenderedPixels
from nerf.runtime import parallel
from nerf.viewer.budget import DrawingBudget
from nerf.viewer.crop import INFINITE_BOX, Box, cropping_program
from nerf.viewer.progressive import Speed

MOVING_SHARE, STILL_SHARE = 0.5, 0.1  # of the time, while the field is trained
MAX_PIXELS_IN_TRAINING = 2**16
Tile = tuple[npt.NDArray[np.int32], RenderedPixels]


class FieldSource:
    """A field, its program and its current parameters, which all windows share.

    Attributes:
      trained: what is shown; its parameters are None until there are some.
      speed: rays that are drawn in a second, by all windows.
      max_pixels: of an image; None for no limit.

    Args:
      trained: what is shown.
      in_training: whether its parameters will change; drawing then takes a part of the time alone:
        `MOVING_SHARE` while a camera moves, else `STILL_SHARE`, of all windows and videos together.
      budget: the share of the time in place of that; None takes it from `in_training`.
    """

    def __init__(
        self,
        trained: TrainedField,
        *,
        in_training: bool = False,
        budget: DrawingBudget | None = None,
    ):
        self.trained = trained
        self.speed = Speed()
        self.max_pixels = MAX_PIXELS_IN_TRAINING if in_training else None
        if budget is None:
            budget = DrawingBudget(MOVING_SHARE, STILL_SHARE) if in_training else DrawingBudget()
        self._budget = budget  # one tile at a time, so that windows take turns
        self._lock = threading.Lock()
        self._program: TileProgram | None = None
        self._device_params: Params | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_ready(self) -> bool:
        return self.trained.params is not None

    def update(self, params: Params, step: int) -> None:
        """Shows other parameters of the same shapes from now on."""
        with self._lock:
            self.trained = self.trained.with_params(params, step)
            self._device_params = None
        for listener in tuple(self._listeners):
            listener()

    def on_update(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Calls a function after each `update`; returns a function that ends this."""
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
            if self._device_params is None:
                self._device_params = parallel.replicate(self._program.mesh, self.trained.params)
            box = INFINITE_BOX if box is None else box
            return self._program.with_params((self._device_params, box))

    def tiles(
        self,
        renderer: ImageRenderer,
        camera: Cameras,
        *,
        is_moving: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Tile]:
        """The tiles of an image; other windows wait while one is drawn.

        Args:
          renderer: from `renderer`.
          camera: whose image is drawn.
          is_moving: whether the image answers a movement, see `DrawingBudget`.
          should_stop: whether nobody needs the image any more; it may then end early.
        """
        with self.trained.matmul_precision():
            # A tile that the devices draw ahead would use the time of a rest.
            tiles = renderer.tiles(camera, is_ahead=not self._budget.is_limited)
            num_rays, seconds = 0, 0.0
            while True:
                requested = time.monotonic()
                with self._budget.turn(is_moving=is_moving, should_stop=should_stop) as may_draw:
                    began = time.monotonic() if self._budget.is_limited else requested
                    tile = next(tiles, None) if may_draw else None
                seconds += time.monotonic() - began
                if tile is None:
                    break
                num_rays += len(tile[0])
                yield tile
            if num_rays:
                self.speed.add_measurement(num_rays, seconds)
