"""Downloads the published photographs and parameters into the user's cache folder.

`manifest.tsv` lists every file with its size and SHA-256. The files come from one fixed commit of a
public repository. It states no licence, so this project downloads its files and never ships them.
A file gets its final name only if its hash is right; a later call downloads the missing files.
"""

import hashlib
import queue
import re
import threading
import urllib.parse
from collections.abc import Sequence
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pooch
import requests

from nerf.errors import UserError
from nerf.runtime.events import Callback, Progress, ProgressReporter, log_event

COMMIT = "4aeb7815583710b279f1b2befe29eeff603023d1"
BASE_URL = f"https://raw.githubusercontent.com/jsk245/NeRF_JAX_Reproduction/{COMMIT}/"
_IDENTITY = {"Accept-Encoding": "identity"}  # no compression: sizes and hashes are of the files


class NetworkUnreachable(UserError):
    """No server answered in time, so it is not known whether the files are there."""


class ManifestRow(NamedTuple):
    """One file: its path below the base address, its size in bytes, and its SHA-256 in hex.

    The path is `<root>/<scene>/<file ...>`.
    """

    path: str
    num_bytes: int
    sha256: str

    @property
    def scene(self) -> str:
        """The name of the scene that the file belongs to."""
        return PurePosixPath(self.path).parts[1]

    @property
    def local(self) -> str:
        """The path below the cache's folder `llff`: `<scene>/<file ...>`."""
        return "/".join(PurePosixPath(self.path).parts[1:])


class Timeouts(NamedTuple):
    """Time limits in seconds.

    Attributes:
      probe: for the whole first request, with name resolution.
      connect: for each connection.
      read: for each read of an answer.
    """

    probe: float = 4.0
    connect: float = 3.0
    read: float = 20.0


DEFAULT_TIMEOUTS = Timeouts()


def read_manifest(text: str | None = None) -> tuple[ManifestRow, ...]:
    """Reads a manifest: a header, then lines of path, bytes and SHA-256, separated by tabs.

    Args:
      text: the manifest; None means the one in this package.

    Raises:
      UserError: if a row is malformed or its path could leave the cache.
    """
    if text is None:
        text = resources.files("nerf.scenes").joinpath("manifest.tsv").read_text("utf-8")
    lines = [line for line in text.splitlines()[1:] if line.strip()]
    return tuple(_parse_row(line) for line in lines)


def scene_names(rows: Sequence[ManifestRow]) -> tuple[str, ...]:
    """The scenes of a manifest, sorted."""
    return tuple(sorted({row.scene for row in rows}))


def cached_folder(name: str, cache_dir: Path) -> Path:
    """The folder of the scene `name` in the cache; it need not exist yet."""
    return cache_dir / "llff" / name


def missing_files(
    name: str, cache_dir: Path, rows: Sequence[ManifestRow]
) -> tuple[ManifestRow, ...]:
    """The files of a scene that are not in the cache with the right hash."""
    of_scene = [row for row in rows if row.scene == name]
    return tuple(row for row in of_scene if not _is_intact(cache_dir / "llff" / row.local, row))


def download_scene(
    name: str,
    *,
    cache_dir: Path,
    rows: Sequence[ManifestRow],
    base_url: str = BASE_URL,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    callback: Callback = log_event,
) -> Path:
    """Downloads the files of a scene that are not in the cache.

    Args:
      name: one of `scene_names(rows)`.
      cache_dir: files go to `<cache_dir>/llff/<name>/`.
      rows: the manifest.
      base_url: the address that the manifest's paths are relative to.
      timeouts: time limits.
      callback: receives the progress, in bytes over all files.

    Returns:
      The folder of the scene in the cache.

    Raises:
      NetworkUnreachable: if no server answers within `timeouts.probe` seconds.
      UserError: if a file is not on the server, its download breaks off, its hash is wrong, or the
        cache cannot be written. Complete files stay, and the next call downloads the rest.
    """
    missing = missing_files(name, cache_dir, rows)
    if not missing:
        return cached_folder(name, cache_dir)
    base_url = base_url.rstrip("/") + "/"
    _probe(base_url + urllib.parse.quote(missing[0].path), timeouts)
    try:
        for row in missing:  # a damaged file must not stay if its download fails
            (cache_dir / "llff" / row.local).unlink(missing_ok=True)
        _fetch_all(name, missing, cache_dir / "llff", base_url, timeouts, callback)
    except OSError as error:
        raise UserError(
            f"cannot write the download cache {cache_dir} ({error}): "
            "free some space, or set NERF_CACHE_DIR to another folder"
        ) from error
    return cached_folder(name, cache_dir)


def _parse_row(line: str) -> ManifestRow:
    fields = line.split("\t")
    if len(fields) != 3 or not fields[1].isdecimal() or not re.fullmatch("[0-9a-f]{64}", fields[2]):
        raise UserError(f"manifest: expected path, bytes and SHA-256 between tabs, found {line!r}")
    path = fields[0]
    parts = path.split("/")
    if len(parts) < 3 or any(p in ("", ".", "..") for p in parts) or re.search(r"[\\:\0]", path):
        raise UserError(f"manifest: {path!r} is not a plain relative path <root>/<scene>/<file>")
    return ManifestRow(path, int(fields[1]), fields[2])


def _is_intact(path: Path, row: ManifestRow) -> bool:
    """Whether a file has the size and the hash of its row."""
    if not path.is_file() or path.stat().st_size != row.num_bytes:
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == row.sha256


def _probe(url: str, timeouts: Timeouts) -> None:
    """Checks that the server answers, with success or an error, within `timeouts.probe`.

    The request runs in a thread, since name resolution and trying the addresses of a host have no
    time limit that can be set.

    Raises:
      NetworkUnreachable: if there is no answer.
      UserError: if the address is invalid.
    """
    outcome: queue.Queue[Exception | None] = queue.Queue()

    def request() -> None:
        try:
            requests.head(url, headers=_IDENTITY, timeout=timeouts.probe).close()
            outcome.put(None)
        except Exception as error:  # raised below, in the calling thread
            outcome.put(error)

    threading.Thread(target=request, daemon=True, name="nerf-download-probe").start()
    host = url.partition("://")[2].partition("/")[0] or url
    try:
        error = outcome.get(timeout=timeouts.probe)
    except queue.Empty:
        raise NetworkUnreachable(f"{host} gave no answer in {timeouts.probe:g} s") from None
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        raise NetworkUnreachable(f"{host} cannot be reached ({_innermost(error)})") from error
    if isinstance(error, requests.TooManyRedirects):
        return
    if error is not None:
        raise UserError(f"cannot request {url} ({error}): correct the base address") from error


def _fetch_all(
    name: str,
    missing: Sequence[ManifestRow],
    folder: Path,
    base_url: str,
    timeouts: Timeouts,
    callback: Callback,
) -> None:
    """Downloads files into `folder`, with one progress bar for all."""
    rows = {row.local: row for row in missing}
    urls = {local: base_url + urllib.parse.quote(row.path) for local, row in rows.items()}
    hashes = {local: f"sha256:{row.sha256}" for local, row in rows.items()}
    cache = pooch.create(folder, base_url, registry=hashes, urls=urls, retry_if_failed=0)
    num_bytes = sum(row.num_bytes for row in missing)
    logger = pooch.get_logger()
    level = logger.level
    with (
        requests.Session() as session,
        Progress.of(callback, f"downloading {name}", total=num_bytes, unit="B") as progress,
    ):
        logger.setLevel("WARNING")  # the progress bar is enough; pooch logs a line for each file
        try:
            for local, row in rows.items():
                cache.fetch(local, downloader=_Downloader(row, session, timeouts, progress))
        finally:
            logger.setLevel(level)


class _Downloader(NamedTuple):
    """Downloads one file to the temporary path that pooch gives; pooch then renames it.

    Raises:
      UserError: if the file is not on the server, its download breaks off, or its hash is wrong.
    """

    row: ManifestRow
    session: requests.Session
    timeouts: Timeouts
    progress: ProgressReporter

    def __call__(self, url: str, output: str, _: Any) -> None:
        limits = (self.timeouts.connect, self.timeouts.read)
        try:
            with self.session.get(url, headers=_IDENTITY, timeout=limits, stream=True) as answer:
                if answer.status_code != requests.codes.ok:
                    raise UserError(
                        f"{url} answers {answer.status_code} {answer.reason}: the file is not "
                        "there; check the base address"
                    )
                found, received = self._save(answer, output)
        except requests.RequestException as error:
            raise UserError(
                f"the download of {url} broke off ({_innermost(error)}): run again; "
                "complete files are kept"
            ) from error
        if found != self.row.sha256:
            raise UserError(
                f"{url} is not the expected file: SHA-256 {found} ({received} bytes) instead of "
                f"{self.row.sha256} ({self.row.num_bytes} bytes); it was deleted"
            )

    def _save(self, answer: requests.Response, output: str) -> tuple[str, int]:
        """Writes the answer until it is larger than expected; returns its hash and its size."""
        digest, received = hashlib.sha256(), 0
        with Path(output).open("wb") as file:
            for chunk in answer.iter_content(1 << 16):
                file.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                self.progress.advance(len(chunk))
                if received > self.row.num_bytes:
                    break
        return digest.hexdigest(), received


def _innermost(error: BaseException) -> str:
    """The message of the first error in a chain of network errors, in one line."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return " ".join(str(error).split()) or type(error).__name__
