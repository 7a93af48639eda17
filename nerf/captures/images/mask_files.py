"""Masks that are named like images: in a folder of masks, or beside the image.

A folder of masks is called `masks` or `mask`, in whatever capitals, and lies in the folder of the
capture or beside its images, as Polycam's `keyframes/masks`. A mask there is called as its image,
with its own ending or behind that of the image: NAME.png, NAME.jpg.png, NAME_mask.png.
"""

import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from nerf.captures.capture import Mask
from nerf.captures.safe_files.reading import DYNAMIC_MASK, IMAGE_SUFFIXES, check_inside
from nerf.errors import counted, listed, listed_shortly

_FOLDERS = ("masks", "mask")
_MAX_FILES = 200_000  # in a folder of masks


class _MaskFolders(NamedTuple):
    """What the folders of masks hold.

    Attributes:
      roots: the folders.
      by_name: the masks by their paths in a root, with and without suffixes, in small letters.
      others: files that are not images.
    """

    roots: list[Path]
    by_name: dict[str, Path]
    others: list[Path]


def find_masks(
    folder: Path,
    files: Sequence[Path],
    given: Sequence[Mask | None],
    *,
    follow_links: bool = False,
) -> tuple[tuple[Mask | None, ...], list[str]]:
    """The masks of images: those that are given, else those found by the images' names.

    Args:
      folder: of the capture.
      files: `[num_views]`, the images.
      given: `[num_views]` masks that the files name, or none.
      follow_links: whether symbolic links that lead out of the folder are followed.

    Returns:
      `[num_views]`, or none at all; and notes on what may be masks and is not used.
    """
    known = _known(folder, files)
    bare = Counter(file.name.casefold() for file in files)
    found: list[Mask | None] = []
    for file, mask in zip(files, given or [None] * len(files), strict=True):
        candidate = file.with_name(f"{DYNAMIC_MASK}{file.stem}.png")
        if mask is None and os.path.isfile(candidate):
            check_inside(folder, candidate, follow_links=follow_links)
            mask = Mask(candidate, keeps_black=True)
        if mask is None and known.by_name:
            mask = _by_name(folder, file, known.by_name, bare[file.name.casefold()] == 1)
            if mask is not None:
                check_inside(folder, mask.file, follow_links=follow_links)
        found.append(mask)
    masks = tuple(found) if any(found) else ()
    used = {mask.file for mask in found if mask is not None}
    return masks, list(_notes_on_unused(folder, files, known, used))


def _notes_on_unused(
    folder: Path, files: Sequence[Path], known: _MaskFolders, used: set[Path]
) -> Iterator[str]:
    """Notes on files and folders that may be masks, and are not used."""
    unused = sorted(set(known.by_name.values()) - set(files) - used)
    where = listed(root.relative_to(folder).as_posix() for root in known.roots)
    if unused and not used:
        yield (
            f"{where} has {counted(len(unused), 'file')} but none named like an image, so all "
            f"pixels are used: name a mask as its image, or as {files[0].name}.png"
        )
    elif unused:
        are = counted(len(unused), "file", "files")
        first = listed_shortly(path.name for path in unused)
        yield f"{are} in {where} named like no image that is used: {first}"
    if known.others and not known.by_name:
        yield (
            f"{where} has {counted(len(known.others), 'file')} and no images, the first of them "
            f"{known.others[0].name}, so all pixels are used: write masks as PNG, white where "
            "pixels count"
        )
    more = [path.name for path in _folders(folder) if _may_hold_masks(path, files)]
    if more:
        yield (
            f"{listed(more)} may hold masks, and {'is' if len(more) == 1 else 'are'} not used: "
            "masks are read from a folder masks"
        )


def _may_hold_masks(path: Path, files: Sequence[Path]) -> bool:
    """Whether a folder is named like masks, is not read for masks, and has no image in it."""
    name = path.name.casefold()
    return (
        ("mask" in name or "segment" in name)
        and name not in _FOLDERS
        and not any(path in f.parents for f in files)
    )


def _folders(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir())
        return [folder / name for name in names if not name.startswith(".")]
    return []


def _known(folder: Path, files: Sequence[Path]) -> _MaskFolders:
    """The files of the folders of masks; those of `masks` come before those of `mask`."""
    above = [folder, *(parent for file in files for parent in reversed(file.parents))]
    places = [path for path in dict.fromkeys(above) if path.is_relative_to(folder)]
    roots = [path for place in places for path in _folders(place) if _is_root(path)]
    roots.sort(key=lambda path: _FOLDERS.index(path.name.casefold()))
    by_name: dict[str, Path] = {}
    others: list[Path] = []
    for root in roots:
        paths: list[Path] = []
        with contextlib.suppress(OSError):  # a folder in it that cannot be read
            paths.extend(itertools.islice(root.rglob("*"), _MAX_FILES))
        for path in sorted(paths):
            if path.name.startswith("."):
                continue
            if path.suffix.lower() not in IMAGE_SUFFIXES:
                others += [path] if path.is_file() else []
                continue
            relative = path.relative_to(root)
            for key in (relative.with_suffix(""), relative):
                by_name.setdefault(key.as_posix().casefold(), path)
    return _MaskFolders(roots, by_name, others)


def _is_root(path: Path) -> bool:
    return path.name.casefold() in _FOLDERS


def _by_name(folder: Path, file: Path, known: Mapping[str, Path], is_only_one: bool) -> Mask | None:
    """The mask of an image in the folders of masks; None without one.

    Args:
      folder: of the capture.
      file: the image.
      known: see `_MaskFolders.by_name`.
      is_only_one: whether no other image has this name in another folder.
    """
    parts = file.relative_to(folder).parts if file.is_relative_to(folder) else (file.name,)
    for start in range(len(parts)):
        if start == len(parts) - 1 and start > 1 and not is_only_one:
            return None  # a name without its folders, which could mean several images
        relative = Path(*parts[start:])
        bare = relative.stem
        names = (relative.name, bare, f"{bare}_mask", f"mask_{bare}", f"{relative.name}.mask")
        for name in names:
            path = known.get(relative.with_name(name).as_posix().casefold())
            if path is not None and path != file:
                return Mask(path)
    return None
