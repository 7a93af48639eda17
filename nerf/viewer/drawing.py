"""The drawing of one window: coarse at once, then finer while nothing changes, in a thread."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import numpy as np

from nerf.geometry.cameras import Cameras
from nerf.output.images import ByteImage, FloatImage, to_bytes
from nerf.render.images import RenderedImage
from nerf.runtime.events import LOGGER
from nerf.scenes.scene import View
from nerf.viewer import progressive
from nerf.viewer.cameras import PageCamera, PageFrame, unseen_pixels
from nerf.viewer.canvas import Canvas, resized_photograph
from nerf.viewer.crop import Box
from nerf.viewer.display import (
    depth_limits,
    display_image,
    place_side_by_side,
    resized,
    side_by_side_size,
)
from nerf.viewer.source import FieldSource, Tile
from nerf.viewer.status import Status

_SECONDS_BETWEEN_PARTS = 0.7  # of an image that takes long: what is done is shown
_SHOWING_SHARE = 0.1  # of the time, at most, is spent on showing parts
# Seconds after which a coarse image is given up for a newer one, which is then drawn coarser, and
# after which the coarsest is.
_LONGEST_COARSE, _LONGEST_COARSEST = 0.3, 3.0
_QUALITY, _MOVING_QUALITY = 95, 80  # of JPEG
_JOIN_SECONDS = 5.0


class ViewComparison(NamedTuple):
    """A view beside its photograph.

    Attributes:
      view: of the scene.
      photograph: `[height, width, 3]` in [0, 1], as it is stored.
    """

    view: View
    photograph: FloatImage


class DrawRequest(NamedTuple):
    """What a window is to show.

    Attributes:
      camera: of the window.
      output: one of `nerf.viewer.display.OUTPUTS`.
      limits: of the depth, scene units; None takes them from the first image.
      box: what lies outside is not drawn; None draws everything.
      comparison: the view that is shown beside its photograph, in place of the camera's; or None.
    """

    camera: PageCamera
    output: str = "colour"
    limits: tuple[float, float] | None = None
    box: Box | None = None
    comparison: ViewComparison | None = None


class Screen(Protocol):
    """Where images go."""

    def show(self, image: ByteImage, quality: int) -> None:
        """Shows an image, scaled to the window.

        Args:
          image: `[height, width, 3]`.
          quality: of JPEG, up to 100.
        """

    def report(self, status: Status) -> None:
        """Receives the progress of the image."""

    def fail(self, error: Exception) -> None:
        """Receives an error, after which nothing is drawn until something changes."""


class DrawLoop:
    """A thread that draws what a window asks for, and stops when that changes.

    Args:
      source: what is drawn.
      frame: of the page.
      screen: where images go.
    """

    def __init__(self, source: FieldSource, frame: PageFrame, screen: Screen):
        self._source, self._frame, self._screen = source, frame, screen
        self._changed = threading.Condition()
        self._request: DrawRequest | None = None
        self._num_requests, self._is_updated, self._is_closed = 0, False, False
        self._stop_updates = source.on_update(self._update)
        self._thread = threading.Thread(target=self._run, name="nerf-viewer", daemon=True)
        self._thread.start()

    def request(self, request: DrawRequest) -> None:
        """Draws this from now on."""
        with self._changed:
            self._request = request
            self._num_requests += 1
            self._changed.notify()

    def close(self) -> None:
        """Ends the thread after its current tile."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            self._num_requests += 1
            self._changed.notify()
        self._stop_updates()

    def join(self, seconds: float = _JOIN_SECONDS) -> bool:
        """Waits for the end of the thread; returns whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _update(self) -> None:
        with self._changed:
            self._is_updated = True
            self._changed.notify()

    def _run(self) -> None:
        num_drawn = 0
        while True:
            with self._changed:
                while not self._is_closed and not self._is_due(num_drawn):
                    self._changed.wait()
                if self._is_closed:
                    return
                is_moving = self._num_requests != num_drawn
                num_drawn, request, self._is_updated = self._num_requests, self._request, False
            assert request is not None
            self._draw(request, num_drawn, is_moving=is_moving)

    def _is_due(self, num_drawn: int) -> bool:
        """Whether there is something to draw."""
        if self._request is None or not self._source.is_ready:
            return False
        return self._num_requests != num_drawn or self._is_updated

    def _draw(self, request: DrawRequest, number: int, *, is_moving: bool) -> None:
        drawing = _ProgressiveDrawing(
            self._source,
            self._frame,
            self._screen,
            request,
            lambda: self._num_requests != number,
            is_moving=is_moving,
        )
        try:
            drawing.run()
        except Exception as error:  # which would end the thread, and the page would stay as it is
            LOGGER.debug("the viewer could not draw", exc_info=True)
            self._screen.fail(error)


def _never() -> bool:
    return False


class _ProgressiveDrawing:
    """One camera's images, from the coarse one to the sharp one.

    Args:
      source, frame, screen: see `DrawLoop`.
      request: what is drawn.
      is_outdated: whether something else is requested by now.
      is_moving: whether the request is new; else only the parameters are new.
    """

    def __init__(
        self,
        source: FieldSource,
        frame: PageFrame,
        screen: Screen,
        request: DrawRequest,
        is_outdated: Callable[[], bool],
        *,
        is_moving: bool,
    ):
        self._source, self._frame, self._screen = source, frame, screen
        self._request, self._is_outdated, self._is_moving = request, is_outdated, is_moving
        self._start = time.monotonic()
        self._limits = request.limits
        self._last: RenderedImage | None = None  # what is refined
        self._window = (request.camera.height, request.camera.width)

    def run(self) -> None:
        renderer = self._source.renderer(self._request.box)
        steps = self._sizes()
        for number, (height, width) in enumerate(steps):
            camera = self._camera(height, width)
            image = Canvas(camera, self._last)
            answers = number == 0 and self._is_moving
            tiles = self._source.tiles(
                renderer,
                camera,
                is_moving=answers,
                should_stop=_never if answers else self._is_outdated,
            )
            if not self._fill(image, camera, steps, tiles, is_coarse=number == 0):
                return
            self._last = image.image()
            self._show(self._last, camera, steps)
            if self._is_outdated():
                return

    def _fill(
        self,
        image: Canvas,
        camera: Cameras,
        steps: list[tuple[int, int]],
        tiles: Iterator[Tile],
        *,
        is_coarse: bool,
    ) -> bool:
        """Draws an image, and shows it from time to time; returns whether it was completed."""
        num_pixels, num_done = camera.height * camera.width, 0
        before = shown_at = time.monotonic()
        longest, pause = 0.0, _SECONDS_BETWEEN_PARTS
        if is_coarse:
            is_coarsest = num_pixels <= progressive.COARSEST_PIXELS
            longest = _LONGEST_COARSEST if is_coarsest else _LONGEST_COARSE
        for index, pixels in tiles:
            image.add(index, pixels.rgb, pixels.depth, pixels.acc)
            now, num_done = time.monotonic(), num_done + len(index)
            if self._is_outdated() and num_done < num_pixels and now - before > longest:
                self._source.speed.add_measurement(num_done, now - before)
                return False
            if now - shown_at > pause and num_done < num_pixels:
                self._show(image.image(), camera, steps, part=num_done / num_pixels)
                shown_at = time.monotonic()
                pause = max(_SECONDS_BETWEEN_PARTS, (shown_at - now) / _SHOWING_SHARE)
        return num_done == num_pixels

    def _sizes(self) -> list[tuple[int, int]]:
        height, width = self._window
        comparison = self._request.comparison
        if comparison is not None:
            whole, is_turned = comparison.view.camera, comparison.view.turns % 2 == 1
            upright = (whole.width, whole.height) if is_turned else (whole.height, whole.width)
            height, width = side_by_side_size(self._window, upright)
            if is_turned:
                height, width = width, height
        source = self._source
        return progressive.sizes(width, height, source.speed.rays_per_second, source.max_pixels)

    def _camera(self, height: int, width: int) -> Cameras:
        comparison = self._request.comparison
        if comparison is None:
            return self._frame.camera(self._request.camera, height, width)
        offset = self._source.trained.config.render.pixel_offset
        return comparison.view.camera.shrunk(height, width, pixel_offset=offset)

    def _show(
        self,
        image: RenderedImage,
        camera: Cameras,
        steps: list[tuple[int, int]],
        part: float = 1.0,
    ) -> None:
        self._limits = self._limits or depth_limits(image)
        unseen = None
        if self._request.comparison is None:
            unseen = unseen_pixels(self._source.trained.needed_space(), camera)
        pixels = display_image(image, self._request.output, self._limits, unseen)
        if self._request.comparison is not None:
            pixels = self._with_photograph(pixels, self._request.comparison, steps[-1])
        size = (camera.height, camera.width)
        is_sharp = size == steps[-1] and part == 1.0
        self._screen.show(pixels, _QUALITY if is_sharp else _MOVING_QUALITY)
        seconds, sees_nothing = time.monotonic() - self._start, unseen is not None
        self._screen.report(
            Status(*size, steps[-1], seconds, self._limits, part, is_sharp, sees_nothing)
        )

    def _with_photograph(
        self, pixels: ByteImage, comparison: ViewComparison, size: tuple[int, int]
    ) -> ByteImage:
        turns, photograph = comparison.view.turns, resized_photograph(comparison.photograph, *size)
        rendered = resized(pixels, *size)
        return place_side_by_side(
            self._window, np.rot90(rendered, turns), np.rot90(to_bytes(photograph), turns)
        )
