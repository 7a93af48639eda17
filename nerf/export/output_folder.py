"""The output folder: checks of its content, and the record of what was written."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nerf.errors import UserError, listed
from nerf.runtime import atomic

RECORD_FILE = "export.json"
COMPLETE, UNFINISHED = "complete", "unfinished"  # the status of a file


def check_folder(folder: Path) -> None:
    """Makes a folder and proves that it can be written, before hours are spent on rendering.

    Raises:
      UserError: if it cannot.
    """
    probe = folder / f".probe-{os.getpid()}"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, and a folder is written: name a folder")
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
    others = sorted(name for name in names if (folder / name).exists() and name not in record)
    if (folder / RECORD_FILE).exists() and not record:
        others.append(RECORD_FILE)
    if others:
        raise UserError(
            f"{folder} holds {listed(others)}, which no export has written: name another folder, "
            "or move that away"
        )


def read_record(folder: Path) -> dict[str, dict[str, Any]]:
    """The record in a folder: the entry of each file by its name; empty without a record."""
    try:
        values = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    found = values.get("files") if isinstance(values, dict) else None
    if not isinstance(found, dict) or not all(isinstance(x, dict) for x in found.values()):
        return {}
    return found


def claim(folder: Path, kind: str, names: Iterable[str]) -> None:
    """Lists in export.json the files that are about to be written, so that those of an interrupted
    export can be overwritten.

    A file of an earlier export keeps what is known of it, since it is there until it is replaced.

    Args:
      folder: where the files go.
      kind: of the files.
      names: of the files, or of their folder.
    """
    before = read_record(folder)
    now = {name: {"kind": kind, **before.get(name, {}), "status": UNFINISHED} for name in names}
    _write(folder, {**before, **now})


def write_record(folder: Path, kind: str, names: Iterable[str], facts: Mapping[str, Any]) -> None:
    """Writes the entries of written files into export.json; entries of other files stay.

    Args:
      folder, kind, names: see `claim`.
      facts: their coordinates, and what else is known of them.
    """
    now = {name: {"kind": kind, "status": COMPLETE, **facts} for name in names}
    _write(folder, {**read_record(folder), **now})


def _write(folder: Path, record: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes the record, without files that no longer exist."""
    entries = {
        name: record[name]
        for name in sorted(record)
        if record[name].get("status") == UNFINISHED or (folder / name).exists()
    }
    atomic.write_text(folder / RECORD_FILE, json.dumps({"files": entries}, indent=2) + "\n")
