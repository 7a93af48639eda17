"""The folder that is written to: what is in it already, and the record of what was written."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nerf.errors import UserError, listed
from nerf.runtime import atomic

RECORD_FILE = "export.json"


def check_folder(folder: Path) -> None:
    """Makes a folder and proves that it can be written, before hours are spent on rendering.

    Raises:
      UserError: if it cannot.
    """
    probe = folder / f".probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"the folder {folder} cannot be written ({reason}): name another"
        ) from error


def check_file(path: Path) -> None:
    """Proves that a file can be written, see `check_folder`.

    Raises:
      UserError: if its folder cannot be written, or it is itself a folder.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file")
    check_folder(path.parent)


def check_own(folder: Path, names: Iterable[str]) -> None:
    """Refuses to overwrite what no export has written, by the record that exports leave.

    Args:
      folder: where to.
      names: of files and folders in it that will be written.

    Raises:
      UserError: with what is there.
    """
    record = read_record(folder)
    own = {name for entry in record.values() for name in entry.get("files", ())}
    others = sorted(name for name in names if (folder / name).exists() and name not in own)
    if (folder / RECORD_FILE).exists() and not record:
        others.append(RECORD_FILE)
    if others:
        raise UserError(
            f"{folder} holds {listed(others)}, which no export has written: name another folder, "
            "or move that away"
        )


def read_record(folder: Path) -> dict[str, dict[str, Any]]:
    """The record in a folder: for each kind of files what it says; empty where there is none."""
    try:
        values = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    kinds = values.get("exports") if isinstance(values, dict) else None
    if not isinstance(kinds, dict) or not all(isinstance(x, dict) for x in kinds.values()):
        return {}
    return kinds


def write_record(folder: Path, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes export.json; what earlier exports wrote of other kinds stays in it.

    Args:
      folder: where the files are.
      facts: for each kind that was written, its `files`, their coordinates, and what else is known.
    """
    before = read_record(folder)
    exports = {**before, **{kind: dict(values) for kind, values in facts.items()}}
    for kind, values in facts.items():  # a mesh in another format stays that of an export
        earlier = [
            name for name in before.get(kind, {}).get("files", ()) if (folder / name).exists()
        ]
        exports[kind]["files"] = sorted({*earlier, *values["files"]})
    atomic.write_text(folder / RECORD_FILE, json.dumps({"exports": exports}, indent=2) + "\n")
