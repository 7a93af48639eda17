"""Files of a capture, which may be anything: bounded in size, and never outside their folder."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from nerf.errors import UserError

MAX_BYTES = 2**26  # of a text or JSON file
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a file.

    Raises:
      UserError: if it is no file, leaves its folder by a link, cannot be read or is too large.
    """
    check_inside(path.parent, path)
    try:
        if not path.is_file():
            raise UserError(f"no file {path}: put it there, or give another folder")
        size = path.stat().st_size
        if size > max_bytes:
            raise UserError(
                f"{path} has {size:,} bytes, more than the {max_bytes:,} that are read: is it "
                "the right file?"
            )
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror or error}): copy it again") from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
      UserError: if it cannot be read, or holds something else.
    """
    try:
        found = json.loads(read_bytes(path).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"{path} is not valid JSON ({reason}): copy or make it again") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} must hold an object, not {type(found).__name__}: make it again")
    return found


def is_inside(folder: Path, name: str) -> Path:
    """A file's path by its name within a folder.

    Raises:
      UserError: if the name, or a symbolic link on the way, leads out of the folder.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.parts:
        raise UserError(f"{name!r} names no picture: name one, relative to {folder}")
    leads_out = path.is_absolute() or ".." in path.parts or ":" in name[:3]
    if leads_out or "\0" in name or len(name) > 1024:
        shown = name if len(name) < 200 else f"{name[:200]}..."
        raise UserError(
            f"{shown!r} leads out of {folder}: copy the pictures into the folder, and name them "
            "relative to it"
        )
    found = folder / path
    check_inside(folder, found)
    return found


def check_inside(folder: Path, path: Path) -> None:
    """Raises UserError if a symbolic link on the way to a file leads out of the folder."""
    try:
        is_within = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links; a name that no system has
        is_within = False
    if not is_within:
        raise UserError(
            f"{path} is a symbolic link that leads out of {folder}: copy what it points to"
        )


def find_image(folder: Path, name: str, factor: int | None) -> Path | None:
    """The picture of a name; None where there is none.

    Args:
      folder: of the capture.
      name: relative to it, with or without an ending; where it lies in `images`, that of the same
        name in `images_N` is taken for a factor of N, and in default of the picture itself.
      factor: how many times smaller the picture is to be; None or 1 for itself.

    Raises:
      UserError: if the name leads out of the folder.
    """
    for candidate in _candidates(folder, name, factor):
        for path in (candidate, *(Path(f"{candidate}{suffix}") for suffix in _endings(candidate))):
            if _is_file(path):
                check_inside(folder, path)
                return path
    return None


def _candidates(folder: Path, name: str, factor: int | None) -> Iterator[Path]:
    whole = is_inside(folder, name)
    relative = whole.relative_to(folder)
    parts = relative.parts
    if "images" in parts[:-1]:
        index = parts.index("images")
        home = folder.joinpath(*parts[:index])
        if factor not in (None, 1):
            yield home.joinpath(f"images_{factor}", *parts[index + 1 :])
        yield whole
        for smaller in smaller_folders(home):
            yield smaller.joinpath(*parts[index + 1 :])
    else:
        yield whole


def images_without_pose(files: Iterable[Path]) -> list[str]:
    """Names of the pictures that lie beside those that have a pose."""
    used = set(files)
    there = [
        path
        for folder in sorted({file.parent for file in used})
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]
    return [path.name for path in there if path not in used]


def smaller_folders(folder: Path) -> list[Path]:
    """`images_2`, `images_4` ..., the largest pictures first."""
    factors = {path: copies_factor(path.name) for path in folder.glob("images_*") if path.is_dir()}
    return sorted((path for path, n in factors.items() if n), key=lambda path: factors[path] or 0)


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts names as people do.

    >>> sorted(["b10", "b9", "a"], key=natural)
    ['a', 'b9', 'b10']
    """
    parts = re.split(r"([0-9]+)", name)
    return [(int(part[:18]) if part.isdigit() else 0, part) for part in parts]


def copies_factor(name: str) -> int | None:
    """N of a folder's name `images_N`; None for other names.

    >>> copies_factor("images_4"), copies_factor("images_raw"), copies_factor("images")
    (4, None, None)
    """
    match = re.fullmatch(r"images_([1-9][0-9]{0,8})", name)
    return int(match[1]) if match else None


def _endings(path: Path) -> Sequence[str]:
    endings = IMAGE_SUFFIXES
    known = path.suffix.lower() in endings
    return () if known else (*endings, *(ending.upper() for ending in endings))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False
