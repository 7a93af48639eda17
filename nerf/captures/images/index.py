"""An index of the images below a folder, by names that may differ from theirs.

Names differ between computers in folders, case, suffix, Unicode form and spaces. An image is found
by the end of its path, then by its bare name; where several fit equally well, all are given.
"""

import contextlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple
from urllib.parse import unquote

from nerf.captures.images.paths import folder_factor
from nerf.captures.safe_files.reading import (
    IMAGE_SUFFIXES,
    check_inside,
    contents,
    has_image_suffix,
    link_out,
    natural_key,
)
from nerf.errors import UserError, counted, listed_shortly

_MAX_DEPTH = 8  # of folders that are searched
_MAX_ENTRIES = 200_000  # files and folders that are searched
# Images that are converted before they are read keep their old suffix in the files of poses.
_SUFFIXES = (
    *IMAGE_SUFFIXES,
    *(".webp", ".tif", ".tiff", ".bmp", ".avif", ".heic", ".heif", ".gif", ".exr", ".ppm"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw"),
)
NO_VIEWS = re.compile("mask|depth|normal|semantic|segment|confidence")  # names of folders
_PARTS = ("train", "val", "test")  # folders of Blender, which have the same names in each

Parts = tuple[str, ...]


class Listing(NamedTuple):
    """What is below a folder.

    Attributes:
      images: the paths of the images relative to the folder, sorted.
      links_out: the symbolic links that lead out of the folder and are not followed.
    """

    images: list[PurePath]
    links_out: list[Path]


class Entry(NamedTuple):
    """An image and its smaller copies.

    Attributes:
      parts: of its path; `images` instead of the `images_N` of a copy.
      copies: paths relative to the folder by their factor, 1 for the original.
    """

    parts: Parts
    copies: dict[int, PurePath]


class Rank(NamedTuple):
    """How well an image fits a name; the better of two is at least as good in each number.

    Attributes:
      num_folders: how many folders at the end of the two paths agree.
      likeness: 3 if the bare names are the same, 2 but for case, Unicode form or spaces, 1 but for
        the suffix too, 0 but for zeros before numbers too.
      is_original: whether the image itself is there, and not only a smaller copy.
    """

    num_folders: int
    likeness: int
    is_original: bool


class ImageIndex:
    """Finds images by names that may differ from theirs.

    Args:
      paths: the paths of the images, relative to one folder.
      used: those that a name has already.
    """

    def __init__(self, paths: Iterable[PurePath], used: Iterable[PurePath] = ()):
        entries: dict[Parts, Entry] = {}
        for path in paths:
            parts, factor = canonical(tuple(path.as_posix().replace("\\", "/").split("/")))
            entries.setdefault(parts, Entry(parts, {})).copies.setdefault(factor, path)
        taken = set(used)
        self._by_stem: dict[str, list[Entry]] = defaultdict(list)
        for entry in _with_copies_of_other_suffixes(entries.values()):
            if taken.isdisjoint(entry.copies.values()):
                self._by_stem[_key(entry.parts[-1])].append(entry)

    def find(self, parts: Parts) -> list[tuple[Rank, Entry]]:
        """The images that fit a name best: none, one, or several that fit equally well."""
        if not parts:
            return []
        named = canonical(parts)[0]
        fitting = [
            (_rank(named, entry), entry)
            for entry in self._by_stem.get(_key(parts[-1]), [])
            if _may_stand_for(named, entry.parts)
        ]
        ranks = [rank for rank, _ in fitting]
        return [
            (rank, entry)
            for rank, entry in fitting
            if not any(other != rank and is_better(other, rank) for other in ranks)
        ]


def _with_copies_of_other_suffixes(entries: Iterable[Entry]) -> list[Entry]:
    """Joins `images_2/a.png` to `images/a.jpg`, if that is the only original of this name."""
    same: dict[Parts, list[Entry]] = defaultdict(list)
    for entry in entries:
        same[*entry.parts[:-1], _stem(entry.parts[-1])].append(entry)
    joined = []
    for group in same.values():
        originals = [entry for entry in group if 1 in entry.copies]
        if len(originals) == 1:
            copies = {n: path for entry in group for n, path in entry.copies.items()}
            joined.append(Entry(originals[0].parts, copies | originals[0].copies))
        else:
            joined += group
    return joined


def index_of_names(files: Sequence[PurePath], names: Iterable[str]) -> dict[str, list[int]]:
    """Which of some images a list of names means, e.g. a split's; those of no image are left out.

    Args:
      files: the paths of the images, relative to one folder.
      names: in whatever form.

    Returns:
      The indices of the images that fit each name equally well, by the name.
    """
    index, numbers = ImageIndex(files), {path: number for number, path in enumerate(files)}
    found = {name: index.find(parts_of(name)) for name in names}
    return {
        name: sorted(numbers[copy_of(entry, None)] for _, entry in fitting)
        for name, fitting in found.items()
        if fitting
    }


def list_images(folder: Path, *, follow_links: bool = False) -> Listing:
    """All images below a folder, without hidden files and folders.

    Links to folders are followed only with `follow_links`, and if they lead out of the folder.
    """
    images: list[PurePath] = []
    links_out: list[Path] = []
    seen = {os.path.realpath(folder)}
    pending, num_entries = [(folder, 0)], 0
    while pending and num_entries < _MAX_ENTRIES:
        parent, depth = pending.pop()
        for entry in _entries(parent):
            num_entries += 1
            path = parent / entry.name
            link = link_out(folder, path) if entry.is_symlink() else None
            if link is not None and not follow_links:
                links_out.append(link)
            elif _is_folder(entry):
                real = os.path.realpath(path)
                if (link is not None or not entry.is_symlink()) and real not in seen:
                    seen.add(real)
                    pending += [(path, depth + 1)] if depth < _MAX_DEPTH else []
            elif has_image_suffix(path.name) and os.path.isfile(path):
                images.append(path.relative_to(folder))
    images.sort(key=lambda path: natural_key(path.as_posix()))
    return Listing(images, sorted(links_out))


def describe(folder: Path, listing: Listing) -> str:
    """The content of a folder, in words for a message."""
    images, links = listing
    if links:
        try:
            check_inside(folder, links[0])
        except UserError as error:
            return str(error)
    if not images:
        return f"no image is there: {contents(folder)}"
    return f"{folder} has {counted(len(images), 'image')}: {listed_shortly(map(str, images))}"


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]
    except OSError:
        return []


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def parts_of(name: str, root: str = ".") -> Parts:
    """The folders of a name and its bare name, without `..`."""
    path = re.sub("^[A-Za-z]:", "", name.replace("\\", "/"))
    parts = path.split("/") if path.startswith("/") else [*root.split("/"), *path.split("/")]
    return tuple(part for part in parts if part not in ("", ".", ".."))


def canonical(parts: Parts) -> tuple[Parts, int]:
    """A path with `images` in the place of `images_N`, and N; 1 for other paths."""
    for at, part in enumerate(parts[:-1]):
        factor = folder_factor(part)
        if factor is not None:
            return (*parts[:at], "images", *parts[at + 1 :]), factor
    return parts, 1


def copy_of(entry: Entry, factor: int | None) -> PurePath:
    """The copy with a factor; else the original, else the largest copy."""
    return entry.copies.get(factor or 1) or entry.copies[min(entry.copies)]


def is_named(path: PurePath, relative: PurePath) -> bool:
    """Whether an image, or its original, is at a path that is given with or without suffix."""
    parts, named = canonical(path.parts)[0], canonical(relative.parts)[0]
    return parts == named or (*parts[:-1], _stem(parts[-1])) == named


def _may_stand_for(named: Parts, parts: Parts) -> bool:
    """Whether an image in such folders can be meant: not a mask, nor of another part of a split."""
    named_folders = {part.lower() for part in named[:-1]}
    if any(
        NO_VIEWS.search(part.lower()) and part.lower() not in named_folders for part in parts[:-1]
    ):
        return False
    ends = [path[-2].lower() if len(path) > 1 else "" for path in (named, parts)]
    return ends[0] == ends[1] or not all(end in _PARTS for end in ends)


def _rank(named: Parts, entry: Entry) -> Rank:
    parts = entry.parts
    num_folders = 0
    for one, other in zip(reversed(named[:-1]), reversed(parts[:-1]), strict=False):
        if _folded(one) != _folded(other):
            break
        num_folders += 1
    likeness = int(_folded(_stem(named[-1])) == _folded(_stem(parts[-1])))
    if _folded(named[-1]) in (_folded(parts[-1]), _folded(_stem(parts[-1]))):
        likeness = 3 if named[-1] in (parts[-1], _stem(parts[-1])) else 2
    return Rank(num_folders, likeness, 1 in entry.copies)


def is_better(one: Rank, other: Rank) -> bool:
    """Whether an image fits at least as well as another."""
    return all(a >= b for a, b in zip(one, other, strict=True))


def _stem(name: str) -> str:
    """A bare name without the suffixes of images, and spaces behind it."""
    name = name.rstrip()
    stem, suffix = os.path.splitext(name)
    while suffix.lower() in _SUFFIXES:
        name = stem
        stem, suffix = os.path.splitext(name)
    return name


def _key(name: str) -> str:
    """A key that is the same for all ways to write the name of an image.

    >>> _key("Frame_0107.PNG"), _key("frame_107")
    ('frame_107', 'frame_107')
    """
    return re.sub("[0-9]+", lambda digits: digits[0].lstrip("0") or "0", _folded(_stem(name)))


def _folded(text: str) -> str:
    """A name without differences between systems: case, Unicode form, encoding and spaces."""
    if not text.isascii():
        text = _decoded(text)
    return " ".join(unicodedata.normalize("NFC", unquote(text).casefold()).split())


def _decoded(text: str) -> str:
    r"""Corrects a name that was decoded wrongly; other names stay as they are.

    >>> _decoded("SÃ¤ule"), _decoded("S\udce4ule"), _decoded("Säule")
    ('Säule', 'Säule', 'Säule')
    """
    for encoding in ("cp1252", "latin-1", "cp437"):  # of UTF-8, on Windows and in archives
        with contextlib.suppress(UnicodeError):
            return text.encode(encoding).decode()
    with contextlib.suppress(UnicodeError):
        return text.encode("utf-8", errors="surrogateescape").decode()
    with contextlib.suppress(UnicodeError):
        return text.encode("utf-8", errors="surrogateescape").decode("cp1252")
    return text
