"""Reading files that may be damaged or hostile: limited in size, and never outside their folder."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from nerf.errors import UserError

MAX_BYTES = 2**26  # of a JSON file
ALWAYS_READ = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
IMAGE_SUFFIXES = (
    *ALWAYS_READ,
    *(".avif", ".heic", ".heif"),  # where the decoders are installed, see `image_kinds`
)


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Reads a file.

    Raises:
      UserError: if there is no such file, it cannot be read, it has more than `max_bytes`, or it is
        a link that leads out of its folder.
    """
    check_inside(path.parent, path)
    try:
        if not path.is_file():
            raise UserError(f"no file {path}: put it there, or give another folder")
        size = path.stat().st_size
        if size > max_bytes:
            raise UserError(
                f"{path} has {size:,} bytes, and at most {max_bytes:,} are read: check that it is "
                "the right file"
            )
        with path.open("rb") as file:
            return file.read(size + 1)  # of more bytes than that it would reserve all
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror or error}): copy it again") from error


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON file that contains an object.

    Raises:
      UserError: if it cannot be read, is not valid JSON, or contains something else.
    """
    try:
        found = json.loads(read_bytes(path).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"{path} is not valid JSON ({reason}): copy or make it again") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} must contain an object, not {type(found).__name__}: make it again")
    return found


def path_inside(folder: Path, name: str) -> Path:
    """The path of a file from its name relative to a folder.

    Args:
      folder: the folder.
      name: from a file, so it may be anything; slashes or backslashes separate its parts.

    Raises:
      UserError: if the name, or a symbolic link in the path, leads out of the folder.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.parts:
        raise UserError(f"{name!r} names no image: name one, relative to {folder}")
    leads_out = path.is_absolute() or ".." in path.parts or ":" in name[:3]
    if leads_out or "\0" in name or len(name) > 1024:
        shown = name if len(name) < 200 else f"{name[:200]}..."
        raise UserError(
            f"{shown!r} leads out of {folder}: copy the images into the folder, and name them "
            "relative to it"
        )
    found = folder / path
    check_inside(folder, found)
    return found


def check_inside(folder: Path, path: Path) -> None:
    """Raises a UserError if a symbolic link in a path leads out of the folder."""
    try:
        is_within = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, or an impossible name
        is_within = False
    if not is_within:
        raise UserError(
            f"{path} is a symbolic link that leads out of {folder}: copy what it points to"
        )


def find_image(folder: Path, name: str, factor: int | None) -> Path | None:
    """Finds the image that a capture names.

    An image in `images` may have smaller copies in `images_N`. The copy in `images_N` is preferred
    if `factor` is N; else the image itself, and if that is missing, the largest copy.

    Args:
      folder: the folder of the capture.
      name: relative to the folder, with or without a suffix.
      factor: how many times smaller the image should be; None or 1 for the original.

    Returns:
      Its path; None if there is none.

    Raises:
      UserError: if the name leads out of the folder.
    """
    for candidate in _candidates(folder, name, factor):
        for path in (candidate, *(Path(f"{candidate}{suffix}") for suffix in _suffixes(candidate))):
            if _is_file(path):
                check_inside(folder, path)
                return _converted_copy(folder, path) or path
    return None


def _converted_copy(folder: Path, path: Path) -> Path | None:
    """The copy in a kind that is always read, beside an image that may be of another kind.

    It has the same name with another suffix: the user has converted the image.
    """
    if path.suffix.lower() in ALWAYS_READ:
        return None
    for suffix in (".png", ".jpg", ".jpeg", *ALWAYS_READ):
        copy = path.with_suffix(suffix)
        if _is_file(copy):
            check_inside(folder, copy)
            return copy
    return None


def _candidates(folder: Path, name: str, factor: int | None) -> Iterator[Path]:
    """The paths at which the image may be, the preferred one first, without added suffixes."""
    original = path_inside(folder, name)
    relative = original.relative_to(folder)
    parts = relative.parts
    if "images" in parts[:-1]:
        index = parts.index("images")
        parent = folder.joinpath(*parts[:index])
        if factor not in (None, 1):
            yield parent.joinpath(f"images_{factor}", *parts[index + 1 :])
        yield original
        for smaller in scaled_folders(parent):
            yield smaller.joinpath(*parts[index + 1 :])
    else:
        yield original


def images_without_pose(files: Iterable[Path]) -> list[str]:
    """Names of the other images in the folders of `files`, which are the images with a pose."""
    used = {file.with_suffix("") for file in files}
    found = [
        path
        for folder in sorted({stem.parent for stem in used})
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]
    return [path.name for path in found if path.with_suffix("") not in used]


def scaled_folders(folder: Path) -> list[Path]:
    """The folders `images_2`, `images_4` and so on in a folder, the largest images first."""
    factors = {path: folder_factor(path.name) for path in folder.glob("images_*") if path.is_dir()}
    return sorted((path for path, n in factors.items() if n), key=lambda path: factors[path] or 0)


def natural_key(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers in names by their value.

    >>> sorted(["b10", "b9", "a"], key=natural_key)
    ['a', 'b9', 'b10']
    """
    parts = re.split(r"([0-9]+)", name)
    return [(int(part[:18]) if part.isdigit() else 0, part) for part in parts]


def folder_factor(name: str) -> int | None:
    """N of a folder's name `images_N`; None for other names.

    >>> folder_factor("images_4"), folder_factor("images_raw"), folder_factor("images")
    (4, None, None)
    """
    match = re.fullmatch(r"images_([1-9][0-9]{0,8})", name)
    return int(match[1]) if match else None


def _suffixes(path: Path) -> Sequence[str]:
    """The suffixes to try for an image; none if its path has one already."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ()
    return (*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # an impossible name
        return False
