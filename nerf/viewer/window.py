"""One window of the page: its camera, its controls, its drawing."""

import time
import warnings
from pathlib import Path

import numpy as np
import viser

from nerf.output.images import ByteImage
from nerf.scenes.record import SceneRecord
from nerf.viewer.cameras import (
    UP,
    PageCamera,
    PageFrame,
    home_index,
    orbit_centre,
    turning_axis,
    upright_pose,
    window_fov,
)
from nerf.viewer.crop import Box
from nerf.viewer.display import legend
from nerf.viewer.drawing import DrawLoop, DrawRequest, ViewComparison
from nerf.viewer.extent import box_edges, scene_extent
from nerf.viewer.frusta import Frusta
from nerf.viewer.keyframes import DisplayOptions
from nerf.viewer.panel import (
    BEFORE,
    HELP,
    add_camera_controls,
    add_view_controls,
    on_user_change,
    set_value,
    view_labels,
)
from nerf.viewer.path_panel import PathPanel
from nerf.viewer.photographs import Photographs
from nerf.viewer.source import FieldSource
from nerf.viewer.status import Status, describe

_SETTLE_SECONDS = 1.0  # after which a camera that moves leaves the comparison
_BOX_COLOUR = (255, 255, 255)


class Window:
    """One browser window: a camera, controls, and a thread that draws.

    Args:
      client: the window.
      source: what is drawn.
      record: the scene.
      photographs: of the scene.
      folder: where files go.
    """

    def __init__(
        self,
        client: viser.ClientHandle,
        source: FieldSource,
        record: SceneRecord,
        photographs: Photographs,
        folder: Path,
    ):
        self._client, self._source, self._record = client, source, record
        self._photographs = photographs
        self._frame = PageFrame.of(record)
        self._comparison: tuple[ViewComparison, PageCamera, float] | None = None
        self._home: PageCamera | None = None  # where it stands until it moves
        self._has_limits = False
        self._is_closed = False
        self._last: Status | None = None
        home = home_index(record)
        client.gui.add_markdown(HELP)
        self._status_text = client.gui.add_markdown("compiling the first image")
        tabs = client.gui.add_tab_group()
        with tabs.add_tab("View"):
            fov = np.degrees(client.camera.fov)
            self._view = add_view_controls(client.gui, scene_extent(record), float(fov))
        with tabs.add_tab("Cameras"):
            self._labels = view_labels(record)
            self._cameras = add_camera_controls(client.gui, self._labels, home)
        with tabs.add_tab("Path"):
            self._path = PathPanel(
                client,
                source,
                self._frame,
                record,
                folder,
                self.camera,
                self._display_options,
                self.fly,
            )
        self._frusta = Frusta(client, record, self._frame, self.fly_to_view)
        self._box_node: viser.LineSegmentsHandle | None = None
        self._loop = DrawLoop(source, self._frame, self)
        self._connect()
        self.fly_home()
        self._request_drawing()

    def close(self) -> None:
        """Ends all that this window has started."""
        self._is_closed = True
        self._path.close()
        self._loop.close()

    def end(self, sentence: str) -> None:
        """Like `close`, where the page ends before the window, which then shows a sentence."""
        self.close()
        with warnings.catch_warnings(action="ignore"):  # viser's, where the window is gone
            self._status_text.content = sentence
        self._client.flush()

    def join(self, seconds: float) -> bool:
        """Waits for the end of its threads; returns whether they have ended."""
        return self._loop.join(seconds) and self._path.join(seconds)

    def camera(self) -> PageCamera:
        """The camera of the window."""
        state = self._client.camera
        width, height = max(1, state.image_width), max(1, state.image_height)
        return PageCamera(
            np.asarray(state.wxyz, np.float64),
            np.asarray(state.position, np.float64),
            float(state.fov),
            int(width),
            int(height),
        )

    def fly(self, camera: PageCamera) -> None:
        """Moves the window's camera to a pose; it then turns around a point ahead of it."""
        pose = self._frame.to_scene(camera)
        target = self._frame.scale * orbit_centre(self._record, pose)
        state = self._client.camera
        with self._client.atomic():
            state.position = camera.position
            state.up_direction = turning_axis(pose)
            state.look_at = target
            state.fov = camera.fov
        self._show_fov(camera.fov)

    def fly_home(self) -> None:
        """Flies to the start of the page, and shows all of that view."""
        self._fly_to(home_index(self._record))
        self.level()
        self._home = self.camera()

    def level(self) -> None:
        """Turns the camera upright."""
        self._client.camera.up_direction = np.array(UP)

    def fly_to_view(self, view: int) -> None:
        """Flies to a view of the scene and chooses it."""
        set_value(self._cameras.view, self._labels[view])
        self._fly_to(view)
        self._show_photograph(view)

    def on_photographs_loaded(self) -> None:
        """Shows the photographs, which have been read now."""
        if self._is_closed or not self._photographs.are_loaded:
            return
        self._cameras.compare.disabled = False
        self._show_photograph(self._chosen_view())
        self._frusta.set_photographs(self._photographs)

    # What `nerf.viewer.drawing.Screen` asks for.

    def show(self, image: ByteImage, quality: int) -> None:
        """See `Screen`."""
        if not self._is_closed:
            self._client.scene.set_background_image(image, format="jpeg", jpeg_quality=quality)

    def report(self, status: Status) -> None:
        """See `Screen`."""
        if self._is_closed:
            return
        self._last = status
        self._status_text.content = describe(status, self._source.trained.step)
        if self._view.output.value == "depth" and not self._has_limits:
            self._set_limits(status.limits)

    def fail(self, error: Exception) -> None:
        """See `Screen`."""
        if not self._is_closed:
            first = str(error).partition("\n")[0]
            self._status_text.content = f"this view cannot be drawn: {first}"

    # What the controls do.

    def _connect(self) -> None:
        view, cameras = self._view, self._cameras
        self._client.camera.on_update(lambda camera: self._moved())
        view.output.on_update(lambda event: self._change_output())
        for number in (view.near, view.far):
            on_user_change(number, self._change_limits)
        view.fit_depth.on_click(lambda event: self._fit_depth())
        on_user_change(view.fov, self._change_fov)
        view.level.on_click(lambda event: self.level())
        view.home.on_click(lambda event: self.fly_home())
        view.crop.on_update(lambda event: self._change_box())
        for slider in view.axes:
            slider.on_update(lambda event: self._change_box())
        cameras.visible.on_update(lambda event: self._show_frusta())
        cameras.size.on_update(lambda event: self._frusta.resize(cameras.size.value))
        on_user_change(cameras.view, lambda: self.fly_to_view(self._chosen_view()))
        cameras.fly.on_click(lambda event: self.fly_to_view(self._chosen_view()))
        cameras.before_after.on_click(lambda event: self._step(event.target.value))
        cameras.compare.on_update(lambda event: self._change_comparison())

    def _request_drawing(self) -> None:
        """Draws what the camera and the controls ask for."""
        limits = self._view.limits if self._has_limits else None
        comparison = None if self._comparison is None else self._comparison[0]
        self._loop.request(
            DrawRequest(self.camera(), self._view.output.value, limits, self._view.box, comparison)
        )

    def _display_options(self) -> DisplayOptions:
        limits = self._view.limits if self._has_limits else None
        return DisplayOptions(self._view.output.value, limits, self._view.box)

    def _moved(self) -> None:
        if self._is_closed:
            return
        self._fit_home()
        if self._comparison is not None:
            _, target, since = self._comparison
            if time.monotonic() - since < _SETTLE_SECONDS or self.camera().is_near(target):
                self._comparison = (self._comparison[0], self.camera(), since)
            else:
                set_value(self._cameras.compare, False)
        self._frusta.hide_around(self.camera().position)
        self._path.hide_around(self.camera().position)
        self._request_drawing()

    def _fit_home(self) -> None:
        """Shows all of the view again if the window's size changes before its camera has moved."""
        home, now = self._home, self.camera()
        if home is None:
            return
        if not now.is_near(home):  # the field of view may be late: the page sends both often
            self._home = None
        elif (now.width, now.height) != (home.width, home.height):
            self.fly_home()

    def _change_output(self) -> None:
        self._view.depth.visible = self._view.output.value == "depth"
        self._request_drawing()

    def _change_limits(self) -> None:
        self._set_limits(self._view.limits)
        self._request_drawing()

    def _fit_depth(self) -> None:
        self._has_limits = False
        self._request_drawing()

    def _set_limits(self, limits: tuple[float, float]) -> None:
        for number, limit in zip((self._view.near, self._view.far), limits, strict=True):
            set_value(number, float(f"{limit:.3g}"))
        self._view.legend.image = legend(self._view.limits)
        self._has_limits = True

    def _change_fov(self) -> None:
        self._home = None
        self._client.camera.fov = float(np.radians(self._view.fov.value))
        self._request_drawing()

    def _show_fov(self, fov: float) -> None:
        degrees = round(2.0 * float(np.degrees(fov))) / 2.0
        set_value(self._view.fov, float(np.clip(degrees, self._view.fov.min, self._view.fov.max)))

    def _change_box(self) -> None:
        box: Box | None = self._view.box
        if self._box_node is not None:
            self._box_node.remove()
            self._box_node = None
        if box is not None:
            self._box_node = self._client.scene.add_line_segments(
                "/crop",
                points=self._frame.scale * box_edges(box),
                colors=_BOX_COLOUR,
                thickness=1.5,
                thickness_units="screen",
            )
        self._request_drawing()

    def _show_frusta(self) -> None:
        self._frusta.set_visible(self._cameras.visible.value and self._comparison is None)

    def _chosen_view(self) -> int:
        return self._labels.index(self._cameras.view.value)

    def _step(self, which: str) -> None:
        step = -1 if which == BEFORE else 1
        view = (self._chosen_view() + step) % len(self._labels)
        self.fly_to_view(view)

    def _fly_to(self, view: int) -> None:
        camera, now = self._record.cameras[view], self.camera()
        wxyz, position = self._frame.to_page(upright_pose(camera.camtoworlds))
        fov = window_fov(camera, now.width / now.height)
        target = now._replace(wxyz=wxyz, position=position, fov=fov)
        self.fly(target)
        if self._comparison is not None:
            self._compare(view)

    def _show_photograph(self, view: int) -> None:
        image = self._photographs.thumbnail(view, longer_side=320)
        if image is not None:
            turns = self._record.view(view).turns
            self._cameras.photograph.image = np.ascontiguousarray(np.rot90(image, turns))
            self._cameras.photograph.label = self._labels[view]
        self._cameras.photograph.visible = image is not None

    def _change_comparison(self) -> None:
        self._status_text.content = "drawing"
        if self._cameras.compare.value:
            self._compare(self._chosen_view())
            self._fly_to(self._chosen_view())
        else:
            self._comparison = None
        self._show_frusta()
        self._request_drawing()

    def _compare(self, view: int) -> None:
        photograph = self._photographs.image(view)
        if photograph is None:
            self._comparison = None
            return
        comparison = ViewComparison(self._record.view(view), photograph)
        self._comparison = (comparison, self.camera(), time.monotonic())
        self._request_drawing()
