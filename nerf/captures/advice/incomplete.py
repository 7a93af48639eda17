"""Folders that lack one file of a format or have a copy of it, and the messages about them.

Only the names of files are looked at.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from nerf.captures.formats import FORMATS
from nerf.captures.safe_files.reading import files_with

_COPY = re.compile(r"(?P<name>.+?)(?: ?\([0-9]+\)| - copy(?: \([0-9]+\))?| copy(?: [0-9]+)?)", re.I)


def what_is_missing(folder: Path) -> str | None:
    """What a folder has of a format and what it lacks, in one sentence; None if it has nothing.

    A sentence says what to do: to copy what is missing, or to rename a copy.
    """
    return next(_sentences(folder), None)


def _sentences(folder: Path) -> Iterator[str]:
    for each in FORMATS.values():
        if each.missing is not None:
            yield from each.missing(folder)
    yield from _on_copies(folder)
    for each in FORMATS.values():
        if each.guesses is not None:
            yield from each.guesses(folder)


def _on_copies(folder: Path) -> Iterator[str]:
    """Sentences on files that have the name of a copy of a file of poses."""
    known = {name for each in FORMATS.values() for name in each.names.files}
    # A format that is also found under other names reads a copy as it is.
    renamed = {n for each in FORMATS.values() if each.may_be_in is None for n in each.names.files}
    for path in files_with(folder, ".txt", *{Path(name).suffix for name in known}):
        if path.stem.lower() in known:  # NAME.txt.txt of Windows
            yield f"{path} has the name of a copy: rename it to {path.stem}"
        found = _COPY.fullmatch(path.stem)
        if found and f"{found['name']}{path.suffix}".lower() in renamed:
            yield f"{path} has the name of a copy: rename it to {found['name']}{path.suffix}"
