"""The cameras of the scene in the page: frusta with their photographs; a click flies there."""

from collections.abc import Callable

import numpy as np
import viser

from nerf.captures.capture import Array
from nerf.scenes.record import SceneRecord
from nerf.viewer.cameras import PageFrame, view_angles
from nerf.viewer.photographs import Photographs

TRAINING_COLOUR, HELD_OUT_COLOUR = (30, 144, 255), (255, 140, 0)
MAX_SHOWN = 300  # an even choice of more cameras
_LINE = 1.5  # pixels
_SIZES = (0.03, 0.5)  # page units
_CLEAR = 1.5  # times the size of a frustum: a camera nearer than this stands in it
_FOLDER = "/cameras"


class Frusta:
    """The frusta of one window.

    Args:
      client: the window.
      record: the scene.
      frame: of the page.
      on_click: receives the index of a view.
    """

    def __init__(
        self,
        client: viser.ClientHandle,
        record: SceneRecord,
        frame: PageFrame,
        on_click: Callable[[int], None],
    ):
        self._record = record
        self._positions = frame.scale * np.asarray(record.cameras.camtoworlds, np.float64)[..., 3]
        self._base = client.scene.add_frame(_FOLDER, show_axes=False)
        self._size = frustum_size(record, frame)
        self._factor = 1.0
        self._handles = {
            view: self._add(client, frame, view, on_click) for view in shown_views(record)
        }

    def _add(
        self,
        client: viser.ClientHandle,
        frame: PageFrame,
        view: int,
        on_click: Callable[[int], None],
    ) -> viser.CameraFrustumHandle:
        camera = self._record.cameras[view]
        wxyz, position = frame.to_page(camera.camtoworlds)
        is_held_out = view in self._record.split.test
        handle = client.scene.add_camera_frustum(
            f"{_FOLDER}/{view}",
            fov=view_angles(camera)[1],
            aspect=camera.width / camera.height,
            scale=self._size,
            thickness=_LINE,
            thickness_units="screen",
            color=HELD_OUT_COLOUR if is_held_out else TRAINING_COLOUR,
            wxyz=wxyz,
            position=position,
            cast_shadow=False,
            receive_shadow=False,
        )
        handle.on_click(lambda event: on_click(view))
        return handle

    def set_photographs(self, photographs: Photographs) -> None:
        """Shows the photographs on the frusta."""
        for view, handle in self._handles.items():
            image = photographs.thumbnail(view)
            if image is not None:
                handle.image = image

    def hide_around(self, position: Array) -> None:
        """Hides frusta that contain the window's camera, at `position` in page units."""
        for view, handle in self._handles.items():
            size = self._size * self._factor
            show_unless_within(handle, self._positions[view], position, size)

    def set_visible(self, is_visible: bool) -> None:
        self._base.visible = is_visible

    def resize(self, factor: float) -> None:
        """Scales the frusta relative to their usual size."""
        self._factor = factor
        for handle in self._handles.values():
            handle.scale = factor * self._size


def show_unless_within(
    handle: viser.CameraFrustumHandle, position: Array, camera: Array, size: float
) -> None:
    """Hides a frustum of a size at a position while the window's camera stands in it."""
    is_seen = float(np.linalg.norm(position - camera)) > _CLEAR * size
    if handle.visible != is_seen:
        handle.visible = is_seen


def shown_views(record: SceneRecord) -> list[int]:
    """The views whose cameras are shown: all, or an even choice of `MAX_SHOWN`."""
    count = min(record.num_views, MAX_SHOWN)
    return [int(i) for i in np.linspace(0, record.num_views - 1, count).round()]


def frustum_size(record: SceneRecord, frame: PageFrame) -> float:
    """The size of the frusta, page units: smaller than the distance to the next camera."""
    positions = np.asarray(record.cameras.camtoworlds, np.float64)[shown_views(record), :, 3]
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    nearest = apart.min(axis=1)
    known = nearest[np.isfinite(nearest)]
    usual = 0.2 * float(np.median(known)) * frame.scale if len(known) else _SIZES[1]
    return float(np.clip(usual, *_SIZES))
