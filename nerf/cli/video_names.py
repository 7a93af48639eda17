"""The names of videos along camera paths that are not the run's own, one name for each path.

`videos.json` in the run folder says which path each of them shows: two files of the same name, in
different folders or changed in between, are two paths.
"""

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path

from nerf.errors import UserError
from nerf.jobs.video import CONTENTS
from nerf.runs import run_folder

RECORD_FILE = "videos.json"
Identity = Mapping[str, str]


def path_identity(path: str, files: Iterable[Path]) -> Identity:
    """What distinguishes a camera path from others.

    Args:
      path: its name, without a folder.
      files: what it is read from; none for a path that has a name alone.

    Raises:
      UserError: if a file cannot be read.
    """
    digest, names = hashlib.sha256(), list(files)
    for file in names:
        try:
            content = file.expanduser().read_bytes()
        except OSError as error:
            raise UserError(f"{file} cannot be read ({error.strerror})") from error
        digest.update(len(content).to_bytes(8, "little") + content)
    return {"path": path, **({"sha256": digest.hexdigest()} if names else {})}


def free_stem(folder: Path, stem: str, path: Identity) -> str:
    """The name of a path's video without its ending: STEM, or STEM-2 where STEM shows another path.

    A path that has drawn its video before keeps the name.

    Args:
      folder: the run folder.
      stem: the usual name.
      path: see `identity`.
    """
    record = _read(folder)
    for number in itertools.count(1):
        name = stem if number == 1 else f"{stem}-{number}"
        if name in record:
            is_own = record[name] == path
        else:  # of an older version, which did not say what the videos of files show
            is_own = "sha256" not in path or not _is_taken(folder, name)
        if is_own:
            return name
    raise AssertionError("the numbers never end")


def record_path(folder: Path, stem: str, path: Identity) -> None:
    """Notes which path a video shows.

    Args:
      folder: the run folder, which is there.
      stem: from `free_stem`.
      path: see `identity`.
    """
    run_folder.write_json(folder / RECORD_FILE, {**_read(folder), stem: dict(path)})


def _read(folder: Path) -> dict[str, object]:
    try:
        return run_folder.read_json(folder / RECORD_FILE)
    except UserError:
        return {}


def _is_taken(folder: Path, stem: str) -> bool:
    """Whether there is a video, or a folder of frames, of this name."""
    stems = {stem, *(f"{stem}_{content}" for content in CONTENTS)}
    return folder.is_dir() and any(path.stem in stems for path in folder.iterdir())
