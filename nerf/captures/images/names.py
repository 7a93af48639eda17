"""The images that a capture names, found below its folder.

A name may be the path on another computer, or differ in case, suffix, Unicode form or spaces. What
is not where its name says is looked for among all images below the folder
(`nerf.captures.images.index`). An image serves one name alone, and where several images fit equally
well, that is a fault.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from nerf.captures.images.index import (
    Entry,
    ImageIndex,
    Parts,
    Rank,
    copy_of,
    describe,
    is_better,
    is_named,
    list_images,
    parts_of,
)
from nerf.captures.images.paths import image_at
from nerf.captures.safe_files.reading import path_inside
from nerf.errors import UserError, listed, printable

_SHOWN = 3  # pairs of names in a note


class NoImagesFound(UserError):
    """None of the images that a capture names is there."""


class ImageMatches(NamedTuple):
    """The images that a capture names.

    Attributes:
      folder: the folder of the capture.
      files: the files by the names; a name without an image is missing here.
      renamed: the names, among these, of images that are found under other names.
      faults: for names that cannot be used: what is wrong, one sentence each.
      description: what the folder has, in words for a message; empty if every name has its image.
      follow_links: whether links that lead out of the folder are followed.
      missing: the names without an image.
    """

    folder: Path
    files: Mapping[str, Path]
    renamed: Sequence[str] = ()
    faults: Mapping[str, str] = {}
    description: str = ""
    follow_links: bool = False
    missing: Sequence[str] = ()

    def file(self, name: str) -> Path | None:
        """The image of a name; None without one.

        Raises:
          UserError: if the name cannot be used.
        """
        if name in self.faults:
            raise UserError(self.faults[name])
        return self.files.get(name)

    def notes(self) -> list[str]:
        """A note on the images that are found under other names, if any."""
        if not self.renamed:
            return []
        shown = self.renamed if len(self.renamed) <= _SHOWN else self.renamed[:1]
        pairs = ", ".join(self._pair(name) for name in shown)
        count = len(self.renamed)
        what = "1 image is found under another name"
        return [
            f"{what if count == 1 else f'{count:,} images are found under other names'}: {pairs}"
        ]

    def _pair(self, name: str) -> str:
        """A name and the image that stands for it, in words."""
        file = self.files[name]
        text = f"{printable(name)} is {printable(str(file.relative_to(self.folder)))}"
        bare = name.replace("\\", "/").rpartition("/")[2]
        same = [unicodedata.normalize("NFC", one) for one in (bare, file.name)]
        is_form = bare != file.name and same[0] == same[1]
        return f"{text} (the same letters in another form of Unicode)" if is_form else text


def match_images(
    folder: Path,
    names: Iterable[str],
    factor: int | None = None,
    *,
    root: str = ".",
    follow_links: bool = False,
    what: str = "image",
    others: Iterable[Path] = (),
) -> ImageMatches:
    """Finds the images that a capture names.

    Args:
      folder: the folder of the capture; nothing outside is opened.
      names: all names of the capture, with or without suffixes.
      factor: how many times smaller the images should be; see `find_image`.
      root: the folder to which the names are relative, itself relative to `folder`.
      follow_links: whether links that lead out of the folder are followed.
      what: the names are of, for messages.
      others: files that stand for no name but their own.
    """
    files: dict[str, Path] = {}
    faults: dict[str, str] = {}
    missing: dict[str, PurePath | None] = {}
    for name in dict.fromkeys(names):
        try:
            relative = path_inside(folder, name, root, what=what)
            file = None
            if relative is not None:
                file = image_at(folder, relative, factor, follow_links=follow_links)
        except UserError as fault:
            faults[name] = str(fault)
            continue
        if file is None:
            missing[name] = relative
        else:
            files[name] = file
    if not missing:
        return ImageMatches(folder, files, faults=faults, follow_links=follow_links)
    listing = list_images(folder, follow_links=follow_links)
    used = [file.relative_to(folder) for file in (*files.values(), *others)]
    index = ImageIndex(listing.images, used)
    description = describe(folder, listing)
    found, more_faults = _assign({name: index.find(parts_of(name, root)) for name in missing})
    renamed = []
    for name, entry in found.items():
        files[name] = folder / copy_of(entry, factor)
        allowed = [missing[name], None if root == "." else PurePath(*parts_of(name))]
        if not any(x is not None and is_named(copy_of(entry, factor), x) for x in allowed):
            renamed.append(name)
    faults |= {
        name: f"{fault}: name it relative to {folder}" for name, fault in more_faults.items()
    }
    is_of_another_computer = any(missing[name] is None for name in found)
    for name, relative in missing.items():
        is_strange = relative is None and not is_of_another_computer
        if is_strange and name not in files and name not in faults:
            faults[name] = (
                f"{name!r} leads out of {folder}, and no {what} below it has this name "
                f"({description}): copy the {what}s into the folder"
            )
    without = [name for name in missing if name not in files and name not in faults]
    return ImageMatches(folder, files, renamed, faults, description, follow_links, without)


def none_found(names: Sequence[str], which: str, where: str) -> str:
    """The message that none of the named images is where it should be.

    >>> none_found(["a.png", "b.png"], "that transforms.json names", "there")
    'none of the 2 images that transforms.json names is there, the first of them a.png'
    >>> none_found(["a.png"], "that transforms.json names", "there")
    'the only image that transforms.json names, a.png, is not there'
    """
    if len(names) == 1:
        return f"the only image {which}, {names[0]}, is not {where}"
    return f"none of the {len(names):,} images {which} is {where}, the first of them {names[0]}"


def _assign(
    fitting: Mapping[str, Sequence[tuple[Rank, Entry]]],
) -> tuple[dict[str, Entry], dict[str, str]]:
    """Gives each name its image, and each image to one name; also the faults by name."""
    found: dict[str, Entry] = {}
    faults: dict[str, str] = {}
    names_of: dict[Parts, list[tuple[Rank, str]]] = defaultdict(list)
    for name, candidates in fitting.items():
        if len(candidates) > 1:
            paths = (str(copy_of(entry, None)) for _, entry in candidates)
            faults[name] = f"{name!r} may be each of {listed(paths)}"
        for rank, entry in candidates[:1] if len(candidates) == 1 else []:
            found[name] = entry
            names_of[entry.parts].append((rank, name))
    for rivals in names_of.values():
        best = [name for rank, name in rivals if all(is_better(rank, other) for other, _ in rivals)]
        for rank, name in rivals:
            if best == [name]:
                continue
            entry = found.pop(name)
            if not any(is_better(other, rank) and other != rank for other, _ in rivals):
                others = listed(repr(other) for _, other in rivals if other != name)
                faults[name] = f"{name!r} may be {copy_of(entry, None)}, but so may {others}"
    return found, faults
