"""Reading files that may be damaged or hostile: limited in size, and never outside their folder."""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePath
from typing import Any

from nerf.errors import UserError, listed

MAX_BYTES = 2**26  # of a JSON file
DYNAMIC_MASK = "dynamic_mask_"  # instant-ngp's masks lie beside their images
MAX_FOLDERS = 100  # in a folder, that are searched for a scene
_MAX_NAME = 1024  # characters
_MAX_CONTENTS = 10_000  # entries of a folder that are looked at for a message
ALWAYS_READ = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
IMAGE_SUFFIXES = (
    *ALWAYS_READ,
    *(".avif", ".heic", ".heif"),  # where the decoders are installed, see `image_kinds`
)


_NO_JSON = {  # what files begin with that are called so
    b"<": "a web page or XML, not JSON: download the file itself",
    b"version https://git-lfs": "what Git LFS has in place of it: run `git lfs pull` in the clone",
}


def read_bytes(path: Path, max_bytes: int = MAX_BYTES, *, follow_links: bool = False) -> bytes:
    """Reads a file.

    Args:
      path: the file.
      max_bytes: the most that it may have.
      follow_links: whether a link that leads out of its folder is followed.

    Raises:
      UserError: if there is no such file, it cannot be read, it has more than `max_bytes`, or it is
        a link that leads out of its folder and is not followed.
    """
    check_inside(path.parent, path, follow_links=follow_links)
    try:
        if not path.is_file():
            raise UserError(
                f"no file {path} ({contents(path.parent)}): put it there, or give another folder"
            )
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


def has_image_suffix(name: str) -> bool:
    """Whether a name is that of an image; spaces at its end are ignored.

    >>> has_image_suffix("a.PNG "), has_image_suffix("a.txt")
    (True, False)
    """
    return name.rstrip().lower().endswith(IMAGE_SUFFIXES)


def is_file(path: Path) -> bool:
    """Whether there is a file; False too where no file can have the name, e.g. a too long one."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def files_with(folder: Path, *suffixes: str) -> list[Path]:
    """The files in a folder with one of some suffixes, in small letters or capitals, by name.

    Hidden files are left out: `._cameras.xml` is what a Mac writes beside `cameras.xml`. A folder
    that cannot be listed has none.
    """
    with contextlib.suppress(OSError):
        return sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in suffixes and not path.name.startswith(".")
        )
    return []


def file_named(folder: Path, *names: str) -> Path | None:
    """The first of several names that a folder has; case is ignored if none matches exactly."""
    for name in names:
        if (folder / name).exists():
            return folder / name
    order_of = {name.casefold(): order for order, name in reversed(list(enumerate(names)))}
    found: dict[int, Path] = {}
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()):
            if path.name.casefold() in order_of and path.is_file():
                found.setdefault(order_of[path.name.casefold()], path)
    return found[min(found)] if found else None


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, without hidden ones and links; not all if there are many."""
    with contextlib.suppress(OSError):
        paths = (path for path in folder.iterdir() if not path.name.startswith("."))
        found = sorted(path for path in paths if path.is_dir() and not path.is_symlink())
        return found[:MAX_FOLDERS]
    return []


def folder_at(folder: Path, name: str) -> Path:
    """The folder at a relative path; case is ignored if none matches exactly. It may not exist."""
    for part in PurePath(name).parts:
        inner = folder / part
        if not inner.is_dir():
            with contextlib.suppress(OSError):
                folded = part.casefold()
                same = (x for x in folder.iterdir() if x.name.casefold() == folded and x.is_dir())
                inner = next(iter(sorted(same)), inner)
        folder = inner
    return folder


def read_and_not(paths: Sequence[Path]) -> list[str]:
    """A note if there are several files, of which only the first is read."""
    if len(paths) < 2:
        return []
    return [f"{paths[0].name} is read, and not {listed(path.name for path in paths[1:])}"]


def text_of(content: bytes) -> str:
    r"""Decodes a text file: UTF-8, UTF-16 or UTF-32, without its byte order mark.

    Other bytes become surrogates, as Python has them in file names: a file whose name has the same
    bytes is then found.

    >>> (
    ...     text_of(b"\xef\xbb\xbfa"),
    ...     text_of("a".encode("utf-16")),
    ...     text_of("a".encode("utf-16-le")),
    ... )
    ('a', 'a', 'a')
    """
    encoding = encoding_of(content)
    if encoding == "utf-8":
        return content.decode(encoding, errors="surrogateescape").removeprefix("\ufeff")
    return content.decode(encoding, errors="replace").removeprefix("\ufeff")


def encoding_of(content: bytes) -> str:
    """The encoding of a text, told by its first bytes as JSON's is (RFC 4627, section 3)."""
    found = json.detect_encoding(content[:4])
    return "utf-8" if found == "utf-8-sig" else found


def read_lines(
    path: Path, max_bytes: int = MAX_BYTES, *, follow_links: bool = False
) -> Iterator[tuple[str, str]]:
    """The lines of a text file without comments: the place of each, for messages, and its text.

    Only line feeds and carriage returns end a line; a name may contain everything else.
    """
    text = text_of(read_bytes(path, max_bytes, follow_links=follow_links))
    for number, line in enumerate(re.split("\r\n|\r|\n", text), 1):
        if not line.startswith("#"):
            yield f"{path}, line {number}", line


def read_json_object(path: Path, *, follow_links: bool = False) -> dict[str, Any]:
    """Reads a JSON file that contains an object.

    Raises:
      UserError: if it cannot be read, is not valid JSON, or contains something else.
    """
    found = _read_json(path, follow_links)
    if not isinstance(found, dict):
        raise UserError(f"{path} must contain an object, not {type(found).__name__}: make it again")
    return found


def read_json_list(path: Path, *, follow_links: bool = False) -> list[Any]:
    """Reads a JSON file that contains a list; raises as `read_json_object` does."""
    found = _read_json(path, follow_links)
    if not isinstance(found, list):
        raise UserError(f"{path} must contain a list, not {type(found).__name__}: make it again")
    return found


def _read_json(path: Path, follow_links: bool) -> Any:
    content = read_bytes(path, follow_links=follow_links)
    for start, what in _NO_JSON.items():
        if content.lstrip().lower().startswith(start):
            raise UserError(f"{path} is {what}")
    if not content.strip(b"\0 \t\r\n"):
        raise UserError(f"{path} is empty: copy it again")
    try:
        return json.loads(text_of(content))
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"{path} is not valid JSON ({reason}): copy or make it again") from error


def contents(folder: Path) -> str:
    """The content of a folder, in words for a message: `scene has a.png, b.png, and 3 more`."""
    try:
        with os.scandir(folder) as entries:
            shown = [x for x in islice(entries, _MAX_CONTENTS) if not x.name.startswith(".")]
        names = sorted(map(_described, shown))
    except OSError as error:
        return f"{folder} cannot be listed: {error.strerror or error}"
    return f"{folder} has {listed(names)}" if names else f"{folder} is empty"


def _described(entry: "os.DirEntry[str]") -> str:
    """An entry of a folder, in words, which say if it is a link."""
    with contextlib.suppress(OSError):
        if entry.is_symlink():
            lost = "" if os.path.exists(entry.path) else ", which is not there"
            return f"{entry.name} (a link to {os.readlink(entry.path)}{lost})"
        return f"{entry.name}/" if entry.is_dir() else entry.name
    return entry.name


def path_inside(
    folder: Path, name: str, root: str = ".", *, what: str = "image"
) -> PurePath | None:
    """The path, relative to a folder, of an image that a file names; None if it leads out.

    It is judged by where the path ends, not by its letters: `images/../images/a.png` and an
    absolute path into the folder are inside. Nothing is opened, and links stay in the path; see
    `check_inside`.

    Args:
      folder: the folder.
      name: from a file, so it may be anything; slashes or backslashes separate its parts.
      root: the folder to which the name is relative, itself relative to `folder`.
      what: the name is of, for the message.

    Raises:
      UserError: if the name can be no name of a file.
    """
    path = name.replace("\\", "/")
    if not name.strip("/\\. ") or "\0" in name or len(name) > _MAX_NAME:
        shown = name if len(name) < 200 else f"{name[:200]}..."
        raise UserError(f"{shown!r} names no {what}: name one, relative to {folder}")
    if os.name != "nt" and re.match("[A-Za-z]:", path):  # a drive of Windows
        return None
    base = os.path.abspath(folder)
    target = Path(os.path.normpath(os.path.join(base, root, path)))
    if target.is_relative_to(base) and target != Path(base):
        return target.relative_to(base)
    with contextlib.suppress(OSError, ValueError):  # an impossible name
        base = os.path.realpath(folder)
        for found in (target, Path(os.path.realpath(target))):
            if found.is_relative_to(base) and found != Path(base):
                return found.relative_to(base)
    return None


def check_inside(folder: Path, path: Path, *, follow_links: bool = False) -> None:
    """Raises a UserError if a symbolic link leads out of a folder on the way to a path below it.

    The error names the link. With `follow_links` the links are the user's own, and all is well.
    """
    link = None if follow_links else link_out(folder, path)
    if link is not None:
        raise UserError(
            f"{link} is a symbolic link to {os.readlink(link)}, which leads out of {folder}: copy "
            "what it points to, or follow it with `follow_links=True`"
        )


def link_out(folder: Path, path: Path) -> Path | None:
    """The first symbolic link from a folder to a path below it that leads out of the folder."""
    current = folder
    for part in path.relative_to(folder).parts:
        current = current / part
        try:
            if not current.is_symlink():
                continue
            if not current.resolve().is_relative_to(folder.resolve()):
                return current
        except ValueError:  # an impossible name
            return None
        except (OSError, RuntimeError):  # a loop of links
            return current
    return None


def natural_key(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers in names by their value.

    >>> sorted(["b10", "b9", "a"], key=natural_key)
    ['a', 'b9', 'b10']
    """
    parts = re.split("([0-9]+)", name)  # every second is a number
    return [(int(part[:18]) if at % 2 else 0, part) for at, part in enumerate(parts)]
