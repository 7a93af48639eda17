"""The camera path of a window: keyframes, the saved file, the video with progress and a cancel."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import viser

from nerf.captures.capture import Array
from nerf.errors import UserError
from nerf.runtime.events import LOGGER
from nerf.scenes.record import SceneRecord
from nerf.viewer.cameras import PageCamera, PageFrame, view_angles
from nerf.viewer.frusta import show_unless_within
from nerf.viewer.keyframes import (
    MAX_SIDE,
    MIN_SIDE,
    DisplayOptions,
    PathOptions,
    default_frame_size,
    keyframe_cameras,
    render_path,
    save_path,
)
from nerf.viewer.loaded_path import load_path
from nerf.viewer.panel import set_value
from nerf.viewer.source import FieldSource

_SECONDS_BETWEEN_REPORTS = 0.25
_LINE_POINTS = 12  # a keyframe, of the line through the path
_FRAME_COLOUR, _LINE_COLOUR = (190, 60, 200), (220, 120, 230)
_FOLDER = "/path"
_SIZE = 0.1  # of a keyframe's frustum, page units


class Cancelled(Exception):
    """The user no longer wants the video."""


class PathPanel:
    """Keyframes and what is made of them.

    Args:
      client: the window.
      source: what is drawn.
      frame: of the page.
      record: the scene.
      folder: where files go.
      camera: returns the window's camera.
      display: returns what the window shows.
      fly: flies to a keyframe.
    """

    def __init__(
        self,
        client: viser.ClientHandle,
        source: FieldSource,
        frame: PageFrame,
        record: SceneRecord,
        folder: Path,
        camera: Callable[[], PageCamera],
        display: Callable[[], DisplayOptions],
        fly: Callable[[PageCamera], None],
    ):
        self._client, self._source, self._frame, self._record = client, source, frame, record
        self._folder, self._camera, self._display, self._fly = folder, camera, display, fly
        self._keyframes: list[PageCamera] = []
        self._frusta: list[viser.CameraFrustumHandle] = []  # one a keyframe
        self._job: threading.Thread | None = None
        self._cancelled, self._is_closed = threading.Event(), False
        gui, cameras = client.gui, record.cameras
        self._list = gui.add_markdown(_describe_keyframes([]))
        add = gui.add_button("Add this view as a keyframe")
        change = gui.add_button_group("", ("Remove last", "Clear"))
        self._seconds = gui.add_number("Seconds", 6.0, min=0.1, max=3600.0, step=0.1)
        self._fps = gui.add_number("Frames a second", 24, min=1, max=120, step=1)
        self._loop = gui.add_checkbox("Return to the first", False)
        width, height = default_frame_size(cameras.width, cameras.height)
        self._width = gui.add_number("Width", width, min=MIN_SIDE, max=MAX_SIDE, step=2)
        self._height = gui.add_number("Height", height, min=MIN_SIDE, max=MAX_SIDE, step=2)
        self._name = gui.add_text("Name", "path")
        self._play = gui.add_button("Play")
        save = gui.add_button("Save the path")
        opened = gui.add_upload_button("Open a path", mime_type="application/json")
        self._render = gui.add_button("Render the video")
        self._cancel = gui.add_button("Cancel", visible=False, color="red")
        self._bar = gui.add_progress_bar(0.0, visible=False)
        self._progress = gui.add_markdown("")
        self._status_text = gui.add_markdown("")
        add.on_click(lambda event: self.add())
        change.on_click(lambda event: self.remove(is_all=event.target.value == "Clear"))
        self._loop.on_update(lambda event: self._draw())
        self._play.on_click(lambda event: self._start(self._run_play))
        save.on_click(lambda event: self._run_and_report(self.save))
        opened.on_upload(lambda event: self._run_and_report(lambda: self.open(opened.value)))
        self._render.on_click(lambda event: self._start(self._run_video))
        self._cancel.on_click(lambda event: self._cancelled.set())

    def add(self) -> None:
        """Makes the window's camera the next keyframe."""
        self._keyframes.append(self._camera())
        self._draw()

    def remove(self, *, is_all: bool) -> None:
        """Removes the last keyframe, or all."""
        del self._keyframes[0 if is_all else -1 :]
        self._draw()

    def hide_around(self, position: Array) -> None:
        """Hides keyframes that the window's camera, at `position` in page units, stands in."""
        for camera, frustum in zip(self._keyframes, self._frusta, strict=False):
            show_unless_within(frustum, camera.position, position, _SIZE)

    def close(self) -> None:
        """Cancels the file or video that is being made."""
        self._is_closed = True
        self._cancelled.set()

    def join(self, seconds: float) -> bool:
        """Waits for the end of what is being made; returns whether it has ended."""
        if self._job is not None:
            self._job.join(seconds)
        return self._job is None or not self._job.is_alive()

    def options(self) -> PathOptions:
        """The options that the controls set."""
        size = (int(self._width.value), int(self._height.value))
        return PathOptions(self._seconds.value, float(self._fps.value), self._loop.value, size)

    def save(self) -> Path:
        """Writes the path.

        Raises:
          UserError: if there are fewer than two keyframes, or the name is not valid.
        """
        return save_path(
            self._folder,
            self._name.value,
            self._record,
            self._frame,
            self._keyframes,
            self.options(),
        )

    def open(self, file: viser.UploadedFile) -> None:
        """Replaces the keyframes by those of a saved path.

        Raises:
          UserError: see `load_path`.
        """
        found = load_path(file.name, file.content, self._record, self._frame, self.options())
        self._keyframes, options = found.keyframes, found.options
        values = (options.seconds, options.fps, options.is_loop, *options.size)
        controls = (self._seconds, self._fps, self._loop, self._width, self._height)
        for control, value in zip(controls, values, strict=True):
            set_value(control, value)
        set_value(self._name, Path(file.name).stem)
        self._draw()

    def _start(self, run: Callable[[], Path | None]) -> None:
        """Runs something that takes long, one at a time."""
        if self._job is not None and self._job.is_alive():
            self._status_text.content = "one at a time: cancel the other first"
            return
        self._cancelled.clear()
        self._job = threading.Thread(
            target=self._run_job, args=(run,), name="nerf-viewer-path", daemon=True
        )
        self._cancel.visible = True
        self._job.start()

    def _run_job(self, run: Callable[[], Path | None]) -> None:
        """Runs what `_start` was given, with a progress bar and a cancel button until it ends."""
        file, message = self._run_safely(run)
        if self._is_closed:
            return
        self._cancel.visible = self._bar.visible = False
        self._progress.content = ""
        self._report(file, message)

    def _run_and_report(self, run: Callable[[], Path | None]) -> None:
        """Runs something; an error becomes a sentence in the panel."""
        self._report(*self._run_safely(run))

    def _run_safely(self, run: Callable[[], Path | None]) -> tuple[Path | None, str]:
        """Runs something; returns the file that it has made, and a message, e.g. if it failed."""
        try:
            file = run()
            return file, "" if file is None else f"saved: `{file}`"
        except Cancelled:
            return None, "cancelled: nothing is written"
        except UserError as error:
            return None, str(error)
        except OSError as error:
            reason = error.strerror or str(error)
            return None, f"nothing can be written to `{self._folder}`: {reason}"
        except Exception as error:
            LOGGER.warning("the camera path failed", exc_info=True)
            return None, f"failed: {error}"

    def _report(self, file: Path | None, message: str) -> None:
        """Says something, and offers a file to the browser."""
        self._status_text.content = message
        if file is not None:
            self._client.send_file_download(file.name, file.read_bytes())

    def _run_play(self) -> None:
        """Flies along the path."""
        options = self.options()
        cameras = keyframe_cameras(self._frame, self._keyframes, options)
        start, now = time.monotonic(), self._camera()
        while (
            passed := time.monotonic() - start
        ) < options.seconds and not self._cancelled.is_set():
            camera = cameras[min(int(passed * options.fps), len(cameras) - 1)]
            wxyz, position = self._frame.to_page(camera.camtoworlds)
            _, fov = view_angles(camera)
            self._fly(now._replace(wxyz=wxyz, position=position, fov=fov))
            time.sleep(1 / 20)

    def _run_video(self) -> Path:
        options = self.options()
        cameras = keyframe_cameras(self._frame, self._keyframes, options)
        set_value(self._bar, 0.0)
        self._bar.visible = True
        start = reported = time.monotonic()

        def report(done: int, total: int) -> None:
            nonlocal reported
            if self._cancelled.is_set():
                raise Cancelled
            now = time.monotonic()
            if now - reported > _SECONDS_BETWEEN_REPORTS or done == total:
                reported = now
                set_value(self._bar, 100.0 * done / total)
                left = (now - start) * (total - done) / done
                number = min(len(cameras), 1 + done * len(cameras) // total)
                self._progress.content = f"frame {number} of {len(cameras)}, {left:.0f} s left"

        name, display = self._name.value, self._display()
        return render_path(
            *(self._folder, name, self._source, cameras, options.fps, display, report),
            should_stop=self._cancelled.is_set,
        )

    def _draw(self) -> None:
        """Shows the keyframes and the line through them."""
        self._list.content = _describe_keyframes(self._keyframes)
        scene = self._client.scene
        scene.add_frame(_FOLDER, show_axes=False).visible = bool(self._keyframes)
        self._frusta = []
        for number, camera in enumerate(self._keyframes):
            frustum = scene.add_camera_frustum(
                f"{_FOLDER}/{number}",
                fov=camera.fov,
                aspect=camera.width / camera.height,
                scale=_SIZE,
                thickness=2.0,
                thickness_units="screen",
                color=_FRAME_COLOUR,
                wxyz=camera.wxyz,
                position=camera.position,
                cast_shadow=False,
                receive_shadow=False,
            )
            frustum.on_click(self._fly_to(camera))
            self._frusta.append(frustum)
        self.hide_around(self._camera().position)
        if len(self._keyframes) > 1:
            points = self._line()
            scene.add_line_segments(
                f"{_FOLDER}/line",
                points=_segments(points),
                colors=_LINE_COLOUR,
                thickness=2.0,
                thickness_units="screen",
            )

    def _fly_to(self, camera: PageCamera) -> Callable[[object], None]:
        return lambda event: self._fly(camera)

    def _line(self) -> Array:
        """Positions along the path, page units."""
        count = _LINE_POINTS * len(self._keyframes)
        options = PathOptions(float(count), 1.0, self._loop.value, (16, 16))
        cameras = keyframe_cameras(self._frame, self._keyframes, options)
        points = [self._frame.to_page(camera.camtoworlds)[1] for camera in cameras]
        return np.stack([*points, points[0]] if self._loop.value else points)


def _segments(points: Array) -> Array:
    """`[num_points - 1, 2, 3]`, the lines from each point to the next."""
    return np.stack([points[:-1], points[1:]], axis=1)


def _describe_keyframes(keyframes: list[PageCamera]) -> str:
    if not keyframes:
        return "no keyframes yet: fly somewhere and add one"
    count = len(keyframes)
    what = "keyframe (a path needs two)" if count == 1 else "keyframes"
    return f"{count} {what}; a click on one flies there"
