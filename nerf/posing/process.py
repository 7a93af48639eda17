"""Runs the steps of COLMAP in processes of their own, and watches how far they are."""

import importlib.util
import json
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from nerf.errors import UserError
from nerf.posing import worker
from nerf.runtime.events import Callback, Progress

LOG = "colmap.log"
_SECONDS_BETWEEN_LOOKS = 0.5
_DOING = {
    "extract": ("features", "image", "finding features"),
    "match": ("matching", "pair", "comparing images"),
    "place": ("placing", "image", "placing images"),
}


def check_installed() -> None:
    """Raises a UserError if pycolmap is not installed."""
    if importlib.util.find_spec("pycolmap") is None:
        raise UserError(
            "finding poses needs the package pycolmap: pip install 'nerf-haiku-flax[colmap]'"
        )


def run_step(
    step: str, folder: Path, values: Mapping[str, Any], total: int, callback: Callback
) -> None:
    """Runs one step to its end.

    Args:
      step: a name of `nerf.posing.worker.STEPS`.
      folder: with the database; the log is written there.
      values: of the job, see the step.
      total: the number of images or pairs.
      callback: receives the progress.

    Raises:
      UserError: if the step fails.
    """
    job = folder / "job.json"
    job.write_text(json.dumps({"step": step, **values}))
    task, unit, _ = _DOING[step]
    command = [sys.executable, "-m", "nerf.posing.worker", str(job)]
    with (
        (folder / LOG).open("ab") as log,
        Progress.of(callback, task, total=total, unit=unit) as progress,
    ):
        status = _run_watched(command, log, lambda: progress.move_to(num_done(step, folder)))
    if status != 0:
        raise UserError(_failure(step, status, folder / LOG))


def _run_watched(command: list[str], log: IO[bytes], look: Any) -> int:
    """Runs a program and watches its progress; it ends with this process, however this ends."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, **_own_group()
    )
    try:
        while True:
            try:
                return process.wait(_SECONDS_BETWEEN_LOOKS)
            except subprocess.TimeoutExpired:
                look()
            finally:
                if process.poll() is not None:
                    look()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        assert process.stdin is not None
        process.stdin.close()


def _own_group() -> dict[str, Any]:
    """Keeps Ctrl-C from the program, which this process ends itself."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def num_done(step: str, folder: Path) -> int:
    """The number of images or pairs that a step has done up to now."""
    if step == "place":
        try:
            return int((folder / worker.PLACED).read_text() or 0)
        except (OSError, ValueError):
            return 0
    table = "descriptors" if step == "extract" else "matches"
    rows = query(folder, f"SELECT COUNT(*) FROM {table}")
    return int(rows[0][0]) if rows else 0


def query(folder: Path, question: str) -> list[tuple[Any, ...]]:
    """Rows of COLMAP's database; empty if it is not there yet, or is being written."""
    database = folder / worker.DATABASE
    if not database.exists():
        return []
    try:
        connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=1)
        try:
            return connection.execute(question).fetchall()
        finally:
            connection.close()
    except sqlite3.Error:
        return []


def _failure(step: str, status: int, log: Path) -> str:
    doing = _DOING[step][2]
    if status in (-9, 137):
        return (
            f"COLMAP was ended while {doing}, probably because memory was not enough: try a "
            "smaller `max_size`, or fewer images"
        )
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    messages = [line.strip() for line in lines if line.strip() and "@     0x" not in line]
    last = messages[-1][-200:] if messages else f"exit status {status}"
    return f"COLMAP failed while {doing} ({last}): its log is {log}"
