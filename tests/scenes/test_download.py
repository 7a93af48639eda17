"""The download, against a server on this machine that serves well, badly, or not at all."""

import hashlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pooch
import pytest

from nerf.errors import UserError
from nerf.runtime.cache_dir import default_cache_dir
from nerf.runtime.events import Event, Progress, ignore_event
from nerf.scenes import download
from nerf.scenes.download import (
    ManifestRow,
    NetworkUnreachable,
    Timeouts,
    download_scene,
    read_manifest,
)

FILES = {
    "data/meadow/images_32/a.png": b"picture a" * 50,
    "data/meadow/images_32/b c.png": b"picture b" * 20_000,
    "data/meadow/poses_bounds.npy": b"poses",
    "data/other/poses_bounds.npy": b"other",
}
FIRST, SECOND, POSES, _ = FILES
QUICK = Timeouts(probe=0.5, connect=0.5, read=0.5)


def rows_of(files: dict[str, bytes]) -> tuple[ManifestRow, ...]:
    return tuple(
        ManifestRow(path, len(data), hashlib.sha256(data).hexdigest())
        for path, data in files.items()
    )


ROWS = rows_of(FILES)


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; `faults` maps a path to "short", "hang" or a status; counts GETs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = dict(FILES)
        self.faults: dict[str, str | int] = {}
        self.requested: list[str] = []
        self.closing = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: clients that hang up are a part of these tests."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/mirror"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.server.requested.append(self.local)
        self.answer(with_body=True)

    @property
    def local(self) -> str:
        return self.path.removeprefix("/mirror/").replace("%20", " ")

    def answer(self, with_body: bool) -> None:
        fault = self.server.faults.get(self.local, self.server.faults.get("*"))
        data = self.server.files.get(self.local)
        if fault == "hang":
            self.server.closing.wait(10)
            return
        if data is None or isinstance(fault, int):
            self.send_error(fault if isinstance(fault, int) else 404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if with_body:
            self.wfile.write(data[: len(data) // 2] if fault == "short" else data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.closing.set()
        running.shutdown()
        thread.join()


def fetch(server: Server, cache: Path, rows: tuple[ManifestRow, ...] = ROWS) -> Path:
    return download_scene(
        "meadow",
        cache_dir=cache,
        rows=rows,
        base_url=server.url,
        timeouts=QUICK,
        callback=ignore_event,
    )


def files_in_cache(cache: Path) -> set[str]:
    """The paths of the files in the cache, temporary ones included."""
    folder = cache / "llff"
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def local(*paths: str) -> set[str]:
    return {path.removeprefix("data/") for path in paths}


def test_a_scene_arrives_whole_and_nothing_else_does(server: Server, tmp_path: Path) -> None:
    folder = fetch(server, tmp_path)
    assert folder == tmp_path / "llff" / "meadow"
    assert files_in_cache(tmp_path) == local(FIRST, SECOND, POSES)
    for path in (FIRST, SECOND, POSES):
        assert (tmp_path / "llff" / path.removeprefix("data/")).read_bytes() == FILES[path]
    assert download.missing_files("meadow", tmp_path, ROWS) == ()


def test_a_complete_scene_asks_nothing(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path)
    server.requested.clear()
    server.faults["*"] = 500
    fetch(server, tmp_path)
    assert server.requested == []


def test_only_what_is_missing_or_damaged_is_fetched_again(server: Server, tmp_path: Path) -> None:
    folder = fetch(server, tmp_path)
    (folder / "poses_bounds.npy").write_bytes(b"Poses")  # the same size
    (folder / "images_32/a.png").unlink()
    server.requested.clear()
    fetch(server, tmp_path)
    assert sorted(server.requested) == [FIRST, POSES]
    assert download.missing_files("meadow", tmp_path, ROWS) == ()


def test_a_wrong_hash_names_the_file_and_keeps_nothing_of_it(
    server: Server, tmp_path: Path
) -> None:
    server.files[SECOND] = b"something else"
    with pytest.raises(UserError) as caught:
        fetch(server, tmp_path)
    expected = hashlib.sha256(FILES[SECOND]).hexdigest()
    got = hashlib.sha256(b"something else").hexdigest()
    for fact in ("b%20c.png", expected, got):
        assert fact in str(caught.value)
    assert not isinstance(caught.value, NetworkUnreachable)
    assert files_in_cache(tmp_path) == local(FIRST)


def test_a_damaged_file_does_not_survive_a_failed_replacement(
    server: Server, tmp_path: Path
) -> None:
    folder = fetch(server, tmp_path)
    (folder / "poses_bounds.npy").write_bytes(b"Poses")
    server.files[POSES] = b"something else"
    with pytest.raises(UserError):
        fetch(server, tmp_path)
    assert files_in_cache(tmp_path) == local(FIRST, SECOND)


def test_an_endless_file_is_cut_off(server: Server, tmp_path: Path) -> None:
    server.files[FIRST] = bytes(1 << 24)
    with pytest.raises(UserError, match="not the expected file") as caught:
        fetch(server, tmp_path)
    received = int(str(caught.value).split("(")[1].split(" ")[0])
    assert received <= 1 << 17


@pytest.mark.parametrize("status", [404, 500])
def test_a_file_that_is_not_there_names_its_address(
    server: Server, tmp_path: Path, status: int
) -> None:
    server.faults[FIRST] = status
    with pytest.raises(UserError, match=str(status)) as caught:
        fetch(server, tmp_path)
    assert f"{server.url}/{FIRST}" in str(caught.value)
    assert not isinstance(caught.value, NetworkUnreachable)
    assert files_in_cache(tmp_path) == set()


@pytest.mark.parametrize("fault", ["short", "hang"])
def test_a_broken_connection_keeps_what_was_complete_and_the_next_call_continues(
    server: Server, tmp_path: Path, fault: str
) -> None:
    server.faults[SECOND] = fault
    with pytest.raises(UserError, match="broke off") as caught:
        fetch(server, tmp_path)
    assert not isinstance(caught.value, NetworkUnreachable)
    assert files_in_cache(tmp_path) == local(FIRST)
    server.faults.clear()
    server.requested.clear()
    fetch(server, tmp_path)
    assert server.requested == [SECOND, POSES]


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def test_a_closed_port_is_unreachable_at_once(tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(NetworkUnreachable, match="cannot be reached"):
        download_scene(
            "meadow", cache_dir=tmp_path, rows=ROWS, base_url=f"http://127.0.0.1:{closed_port()}"
        )
    assert time.monotonic() - begin < 2
    assert files_in_cache(tmp_path) == set()


def test_a_server_that_never_answers_is_unreachable_in_time(server: Server, tmp_path: Path) -> None:
    server.faults["*"] = "hang"
    begin = time.monotonic()
    with pytest.raises(NetworkUnreachable):
        fetch(server, tmp_path)
    assert time.monotonic() - begin < 2 * QUICK.probe


def test_a_resolver_that_never_answers_is_unreachable_in_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(10))
    begin = time.monotonic()
    with pytest.raises(NetworkUnreachable, match="no answer"):
        download_scene(
            "meadow", cache_dir=tmp_path, rows=ROWS, base_url="http://x.test", timeouts=QUICK
        )
    assert time.monotonic() - begin < 2 * QUICK.probe
    release.set()


def test_the_default_attempt_ends_within_five_seconds() -> None:
    assert Timeouts().probe < 5


@pytest.mark.parametrize("base_url", ["ftp://127.0.0.1/", "nonsense", "http://[/"])
def test_a_base_address_that_is_none_is_refused(tmp_path: Path, base_url: str) -> None:
    with pytest.raises(UserError, match="base address") as caught:
        download_scene("meadow", cache_dir=tmp_path, rows=ROWS, base_url=base_url, timeouts=QUICK)
    assert not isinstance(caught.value, NetworkUnreachable)


def test_a_cache_that_cannot_be_written_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "llff").write_text("a file where a folder must be")
    with pytest.raises(UserError, match="NERF_CACHE_DIR"):
        fetch(server, tmp_path)


def test_progress_counts_the_bytes_of_all_files(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pooch.get_logger().addHandler(caplog.handler)
    events: list[Event] = []
    download_scene(
        "meadow", cache_dir=tmp_path, rows=ROWS, base_url=server.url, callback=events.append
    )
    pooch.get_logger().removeHandler(caplog.handler)
    num_bytes = sum(row.num_bytes for row in ROWS if row.scene == "meadow")
    progress = [event for event in events if isinstance(event, Progress)]
    assert progress == events
    assert {(event.task, event.total, event.unit) for event in progress} == {
        ("downloading meadow", num_bytes, "B")
    }
    done = [event.done for event in progress]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, num_bytes)
    assert [event.is_last for event in progress] == [False] * (len(done) - 1) + [True]
    assert caplog.records == []


# The manifest.


def test_the_package_manifest_lists_two_whole_scenes() -> None:
    rows = read_manifest()
    assert len(rows) == 81
    assert download.scene_names(rows) == ("flower", "room")
    for scene, num_images in (("flower", 34), ("room", 41)):
        local_paths = [row.local for row in rows if row.scene == scene]
        assert sum(path.startswith(f"{scene}/images_32/") for path in local_paths) == num_images
        for path in ("poses_bounds.npy", "params/arrays.npy", "params/tree.pkl"):
            assert f"{scene}/{path}" in local_paths


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "a/../b/c", "a/b/../c", "../a/b", "a/b", "a//b", "a/./b", "a\\b/c/d", "C:/a/b"],
)
def test_paths_that_could_leave_the_cache_are_refused(path: str) -> None:
    with pytest.raises(UserError, match="manifest"):
        read_manifest(f"path\tbytes\tsha256\n{path}\t1\t{'0' * 64}\n")


@pytest.mark.parametrize(
    "row", ["a/b/c", "a/b/c\tx\t" + "0" * 64, "a/b/c\t1\tabc", "a/b/c\t-1\t" + "0" * 64]
)
def test_malformed_rows_are_refused(row: str) -> None:
    with pytest.raises(UserError, match="manifest"):
        read_manifest(f"path\tbytes\tsha256\n{row}\n")


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NERF_CACHE_DIR", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.delenv("NERF_CACHE_DIR")
    assert default_cache_dir().name == "nerf-haiku-flax"
