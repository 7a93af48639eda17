"""The server of the page: its address, its windows, and how it closes."""

import contextlib
import errno
import importlib.util
import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from nerf.errors import UserError
from nerf.field import Params
from nerf.jobs.scoring.held_out_poses import scene_as_trained
from nerf.jobs.trained_field import TrainedField
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene
from nerf.viewer.origins import may_connect, request_headers
from nerf.viewer.photographs import Photographs
from nerf.viewer.source import FieldSource

if TYPE_CHECKING:
    import viser


_SERVER_LOG = logging.getLogger("websockets.server")  # of viser's server
HOST, PORT = "127.0.0.1", 8080  # by default: this machine alone
FOLDER = "viewer"  # of a run folder, for camera paths and videos
_TRIED_PORTS = 100
_ALL_ADDRESSES = ("0.0.0.0", "::", "")
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
_JOIN_SECONDS = 5.0
_SECONDS_FOR_LAST_MESSAGE = 0.2  # until viser has sent them
_AT_END = "**The page has ended** with the program that showed it."
_REFUSED = (
    "This page was opened at an address that is not the viewer's, so it shows nothing. Open it at "
    "the address that the program has printed, or forward its port to localhost."
)
_SECONDS_BETWEEN_UPDATES = 2.0  # of a field that is trained


def check_viser() -> None:
    """Raises a UserError with what to install, where viser is not."""
    if importlib.util.find_spec("viser") is None:
        raise UserError("the viewer needs the package viser: pip install 'nerf-haiku-flax[viewer]'")


def free_port(host: str, port: int) -> int:
    """The first port from `port` on that is not in use.

    Raises:
      UserError: if the host is not an address of this machine, or the port may not be used.
    """
    for number in range(port, min(port + _TRIED_PORTS, 2**16)):
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host or None, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                return number
        except socket.gaierror as error:
            raise UserError(_unusable_host(host)) from error
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise UserError(_unusable_host(host)) from error
            if error.errno in (errno.EACCES, errno.EPERM):
                raise UserError(
                    f"`port={number}` may not be used ({error.strerror}): give one from 1024 on"
                ) from error
    raise UserError(f"the ports from {port} on are in use: give another `port`")


def _unusable_host(host: str) -> str:
    return (
        f"`host={host}` is not an address of this machine: give 127.0.0.1 (this machine alone) or "
        "0.0.0.0 (its whole network)"
    )


class Viewer:
    """The page, from its start to `close`.

    Attributes:
      source: the field that is shown.
      address: of the page.
      notes: for the user, one sentence each.

    Args:
      trained: what is shown, with the cameras of its scene.
      load_photographs: returns the scene with its images, see `Photographs`; None for none.
      host, port: where the page is; the next free port where that one is in use.
      folder: where camera paths and videos go.
      in_training: whether the field is trained, see `FieldSource`.
      at_end: what open windows say, in Markdown, when the page has ended.
      say: receives sentences for the user, while the page is shown.

    Raises:
      UserError: if viser is not installed, or there is no such address or port.
    """

    def __init__(
        self,
        trained: TrainedField,
        load_photographs: Callable[[], Scene] | None = None,
        *,
        host: str = HOST,
        port: int = PORT,
        folder: Path,
        in_training: bool = False,
        at_end: str = _AT_END,
        say: Callable[[str], None] = lambda text: None,
    ):
        check_viser()
        from nerf.viewer.window import Window

        self._make_window = Window
        self._record: SceneRecord = scene_as_trained(trained)
        self.source = FieldSource(trained, in_training=in_training)
        self._folder, self._is_local = folder, host in _THIS_MACHINE
        self._windows: dict[int, Window] = {}
        self._ending: list[Window] = []  # closed, each with a thread that ends after its tile
        self._lock = threading.Lock()
        self._is_closed = self._has_refused = False
        self._say, self._at_end = say, at_end
        self._watched = -math.inf
        self._photographs = Photographs(trained.needed_scene(), load_photographs, say)
        found = free_port(host, port)
        self._server = _start(host, found, trained)
        self._is_news = lambda record: record.levelno >= logging.CRITICAL
        # viser's server reports requests that are not a browser's, and answers them itself.
        _SERVER_LOG.addFilter(self._is_news)
        found = self._server.get_port()
        shown_host = "127.0.0.1" if host in _ALL_ADDRESSES else host
        self.address = f"http://{f'[{shown_host}]' if ':' in shown_host else shown_host}:{found}"
        self.notes = _notes(host, port, found)
        self._server.on_client_connect(self._connected)
        self._server.on_client_disconnect(self._disconnected)
        threading.Thread(target=self._show_photographs, daemon=True).start()

    @property
    def num_windows(self) -> int:
        return len(self._windows)

    def watch(self, params: Params, step: int) -> None:
        """Shows the parameters of a field that is trained, from time to time, if anyone looks.

        Args:
          params: which are copied.
          step: the number of steps done.
        """
        now = time.monotonic()
        if self._windows and now - self._watched > _SECONDS_BETWEEN_UPDATES:
            self._watched = now
            self.source.update(jax.tree.map(jnp.copy, params), step)

    def close(self, seconds: float = _JOIN_SECONDS) -> bool:
        """Ends all drawing and the page.

        Args:
          seconds: to wait at most for threads that compile, which nothing stops. One that still
            runs when Python ends aborts the process.

        Returns:
          Whether every thread has ended.
        """
        if self._is_closed:
            return True
        self._is_closed = True
        with self._lock:
            shown, ending = list(self._windows.values()), list(self._ending)
        for window in shown:
            window.end(self._at_end)
        windows = [*shown, *ending]
        until = time.monotonic() + seconds
        ended = [window.join(max(0.0, until - time.monotonic())) for window in windows]
        if shown:
            time.sleep(_SECONDS_FOR_LAST_MESSAGE)
        with _quiet():
            self._server.stop()
        _SERVER_LOG.removeFilter(self._is_news)
        return all(ended)

    def _connected(self, client: "viser.ClientHandle") -> None:
        headers = request_headers(self._server, client.client_id)
        if not may_connect(headers, is_local=self._is_local):
            client.gui.add_markdown(_REFUSED)  # it gets neither images nor controls
            if not self._has_refused:
                self._has_refused = True
                self._say(
                    "a page of another address than the viewer's is shown nothing: open "
                    f"{self.address}, or forward its port to localhost"
                )
            return
        window = self._make_window(
            client, self.source, self._record, self._photographs, self._folder
        )
        with self._lock:
            self._windows[client.client_id] = window
            is_late = self._is_closed or client.client_id not in self._server.get_clients()
        if is_late:  # it was closed while its controls were made
            self._disconnected(client)
        elif self._photographs.wait(0.0):
            window.on_photographs_loaded()

    def _disconnected(self, client: "viser.ClientHandle") -> None:
        with self._lock:
            window = self._windows.pop(client.client_id, None)
            self._ending = [ending for ending in self._ending if not ending.join(0.0)]
            if window is not None:
                self._ending.append(window)
        if window is not None:
            window.close()

    def _show_photographs(self) -> None:
        self._photographs.wait()
        with self._lock:
            windows = list(self._windows.values())
        for window in windows:
            window.on_photographs_loaded()


def _start(host: str, port: int, trained: TrainedField) -> "viser.ViserServer":
    import viser

    class Server(viser.ViserServer):
        """A page that is never given to the public: viser's tunnel stays shut for every client."""

        def request_share_url(self, verbose: bool = True) -> str | None:
            return None

    with _quiet():
        server = Server(host=host, port=port, verbose=False)
    server.gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False)
    server.gui.main_panel.dock_right()  # beside the image, not over it
    server.gui.set_panel_label(f"{trained.scene_name}, {trained.field_name}")
    server.scene.set_up_direction("+y")
    _set_initial_camera(server, scene_as_trained(trained))
    return server


def _set_initial_camera(server: "viser.ViserServer", record: SceneRecord) -> None:
    """Where a window stands before it has its own camera."""
    from nerf.viewer.cameras import PageFrame, home_index, orbit_centre, upright_pose, window_fov

    frame, home = PageFrame.of(record), record.cameras[home_index(record)]
    pose = upright_pose(home.camtoworlds)
    server.initial_camera.position = frame.scale * np.asarray(pose[:, 3], np.float64)
    server.initial_camera.look_at = frame.scale * orbit_centre(record, pose)
    server.initial_camera.up = (0.0, 1.0, 0.0)
    server.initial_camera.fov = window_fov(home, 1.5)


def _notes(host: str, requested_port: int, used_port: int) -> list[str]:
    notes = []
    if used_port != requested_port:
        notes.append(f"port {requested_port} is in use: the page is at port {used_port}")
    if host not in _THIS_MACHINE:
        notes.append(
            f"`host={host}`: everyone who reaches this machine can see the page and write files "
            "into its folder"
        )
    return notes


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps viser, which prints by rich, from printing about its start and its end."""
    import rich

    console = rich.get_console()
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before
