"""Files of results: where they go, what they hold, and how earlier ones are read."""

import datetime
import json
from pathlib import Path
from typing import Any

from benchmarks import machine
from nerf.errors import UserError
from nerf.runs import run_folder

FOLDER = Path(__file__).parent / "results"
_NEW_NAMES = {"picture_seconds": "image_seconds", "rays_per_piece": "rays_per_microbatch"}


def new(benchmark: str, cases: str, settings: dict[str, Any]) -> dict[str, Any]:
    """A result without cases: what is measured, when, and on which machine.

    Args:
      benchmark: the benchmark's name.
      cases: the name of the list of cases.
      settings: what the flags say.
    """
    return {
        "benchmark": benchmark,
        "date": now(),
        **machine.describe(),
        "settings": settings,
        cases: [],
    }


def now() -> str:
    """The date and time of day, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def default_path(prefix: str, result: dict[str, Any]) -> Path:
    """`benchmarks/results/<prefix><device>-<date>.json`."""
    return FOLDER / (prefix + machine.file_name(result["device"], result["date"][:10]))


def write(path: Path, result: dict[str, Any]) -> None:
    """Writes a result as JSON, atomically."""
    run_folder.write_json(path, result)


def read(path: Path, benchmark: str) -> dict[str, Any]:
    """Reads a result of any version; names that have changed since are replaced.

    Raises:
      UserError: if it is not a result of this benchmark.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a result that can be read: {error}") from error
    if not isinstance(result, dict) or _benchmark_of(result) != benchmark:
        raise UserError(f"{path} is not a result of benchmarks.{benchmark}: name a file it wrote")
    renamed: dict[str, Any] = _with_new_names(result)
    return renamed


def check_writable(path: Path, flag: str) -> None:
    """Makes the file's folder and checks, before a long measurement, that it can be written to.

    Raises:
      UserError: if not.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = path.with_name(f".{path.name}.probe")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): name another file with --{flag}"
        ) from error
    if path.is_dir():
        raise UserError(f"{path} is a folder: --{flag} names a file")


def _benchmark_of(result: dict[str, Any]) -> Any:
    """Version 0.1.0 wrote no name into results of `collapse`, whose cases are rows."""
    return result.get("benchmark", "collapse" if "rows" in result else None)


def _with_new_names(node: Any) -> Any:
    if isinstance(node, dict):
        return {_NEW_NAMES.get(key, key): _with_new_names(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_with_new_names(value) for value in node]
    return node
