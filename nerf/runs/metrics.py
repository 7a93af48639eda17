"""`metrics.jsonl`: one JSON object a line, metrics of a training step or held-out scores."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from nerf.errors import UserError
from nerf.runtime import atomic

METRICS_FILE = "metrics.jsonl"


class ScalarWriter(Protocol):
    """A second receiver of every line, such as TensorBoard."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None: ...


class MetricsLog:
    """Appends lines, each of them on disk when `write` returns; a context manager.

    Args:
      run_dir: the folder of `metrics.jsonl`.
      also: a second receiver, or None.
    """

    def __init__(self, run_dir: Path, also: ScalarWriter | None = None):
        self._path = run_dir / METRICS_FILE
        self._also = also
        self._file: IO[bytes] | None = None

    def __enter__(self) -> "MetricsLog":
        self._file = self._path.open("ab", buffering=0)  # so that closing has nothing to write
        return self

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        self._file.close()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes one line; a value that JSON cannot hold becomes null.

        Raises:
          UserError: if the disk is full.
        """
        assert self._file is not None
        known = {k: v if math.isfinite(v) else None for k, v in values.items()}
        try:
            self._file.write((json.dumps({"step": step, **known}) + "\n").encode())
        except OSError as error:
            raise UserError(
                f"{self._path} cannot be written ({error.strerror}): make room, then the same "
                "command resumes from the last state saved"
            ) from error
        if self._also is not None:
            self._also.scalars(step, {k: v for k, v in values.items() if k != "seconds"})


def read(run_dir: Path) -> list[dict[str, Any]]:
    """The lines of a run folder's metrics; half lines, which a killed run leaves, are left out."""
    path = run_dir / METRICS_FILE
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [json.loads(line) for line in lines if math.isfinite(_step(line))]


def truncate(run_dir: Path, last_step: int) -> None:
    """Drops half lines and those of steps after `last_step`, which a stopped run did not save."""
    path = run_dir / METRICS_FILE
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    lines_to_keep = "".join(f"{line}\n" for line in text.splitlines() if _step(line) <= last_step)
    if lines_to_keep != text:
        atomic.write_text(path, lines_to_keep)


def _step(line: str) -> float:
    """The step of a line; infinity without one."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return math.inf
