"""Finds the image that a capture names, and its smaller copies."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from nerf.captures.safe_files.reading import (
    ALWAYS_READ,
    DYNAMIC_MASK,
    IMAGE_SUFFIXES,
    check_inside,
    is_file,
    path_inside,
)
from nerf.errors import UserError, listed


def find_image(
    folder: Path, name: str, factor: int | None, *, follow_links: bool = False
) -> Path | None:
    """Finds the image that a capture names, where the name says; see also `match_images`.

    An image in `images` may have smaller copies in `images_N`. The copy in `images_N` is preferred
    if `factor` is N; else the image itself, and if that is missing, the largest copy.

    Args:
      folder: the folder of the capture.
      name: relative to the folder, with or without a suffix.
      factor: how many times smaller the image should be; None or 1 for the original.
      follow_links: whether links that lead out of the folder are followed.

    Returns:
      Its path; None if the file is missing, or if the name leads out of the folder.

    Raises:
      UserError: if a link leads out of the folder and is not followed.
    """
    relative = path_inside(folder, name)
    if relative is None:
        return None
    found = image_at(folder, relative, factor, follow_links=follow_links)
    if found is None and "images" in relative.parts[:-1]:
        index = relative.parts.index("images")
        for smaller in scaled_folders(folder.joinpath(*relative.parts[:index])):
            copy = smaller.joinpath(*relative.parts[index + 1 :]).relative_to(folder)
            found = found or image_at(folder, copy, None, follow_links=follow_links)
    return found


def image_at(
    folder: Path, relative: PurePath, factor: int | None, *, follow_links: bool = False
) -> Path | None:
    """The image at a path below a folder, or its copy that is `factor` times smaller.

    Args:
      folder, factor, follow_links: see `find_image`.
      relative: the path, with or without a suffix; the copy may have another suffix.

    Raises:
      UserError: if several images differ from the path in their suffixes alone, or a link leads
        out of the folder and is not followed.
    """
    parts = relative.parts
    candidates = [folder / relative]
    if factor not in (None, 1) and "images" in parts[:-1]:
        index = parts.index("images")
        copy = folder.joinpath(*parts[:index], f"images_{factor}", *parts[index + 1 :])
        candidates = [copy, *_other_suffixes(copy), *candidates]
    for candidate in candidates:
        paths = (candidate, *(Path(f"{candidate}{suffix}") for suffix in _suffixes(candidate)))
        found = [path for path in paths if is_file(path)]
        found = [path for path in found if path.suffix.lower() in ALWAYS_READ] or found
        if not found:
            continue
        check_inside(folder, found[0], follow_links=follow_links)
        if not all(path.samefile(found[0]) for path in found[1:]):
            names = listed(path.relative_to(folder) for path in found)
            raise UserError(f"{str(relative)!r} may be each of {names}: write the name in full")
        return _converted_copy(folder, found[0], follow_links) or found[0]
    return None


def _converted_copy(folder: Path, path: Path, follow_links: bool) -> Path | None:
    """The copy in a kind that is always read, beside an image that may be of another kind.

    It has the same name with another suffix: the user has converted the image.
    """
    if path.suffix.lower() in ALWAYS_READ:
        return None
    for suffix in (".png", ".jpg", ".jpeg", *ALWAYS_READ):
        copy = path.with_suffix(suffix)
        if is_file(copy):
            check_inside(folder, copy, follow_links=follow_links)
            return copy
    return None


def images_without_pose(files: Iterable[Path], depth: Iterable[Path] = ()) -> list[str]:
    """Names of the other images in the folders of `files`, which are the images with a pose.

    Depth images are left out.
    """
    used = {file.with_suffix("") for file in files}
    found = [
        path
        for folder in sorted({stem.parent for stem in used})
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith((".", DYNAMIC_MASK))
    ]
    of_depth = frozenset(depth)
    return [
        path.name for path in found if path.with_suffix("") not in used and path not in of_depth
    ]


def folders_to(folder: Path, inner: str) -> list[Path]:
    """A folder, those on the way from it to one below it, and that one.

    >>> [path.as_posix() for path in folders_to(Path("scene"), "seq/rgb")]
    ['scene', 'scene/seq', 'scene/seq/rgb']
    """
    parts = PurePath(inner).parts
    return [folder.joinpath(*parts[:count]) for count in range(len(parts) + 1)]


def scaled_folders(folder: Path) -> list[Path]:
    """The folders `images_2`, `images_4` and so on in a folder, the largest images first."""
    factors = {path: folder_factor(path.name) for path in folder.glob("images_*") if path.is_dir()}
    return sorted((path for path, n in factors.items() if n), key=lambda path: factors[path] or 0)


def folder_factor(name: str) -> int | None:
    """N of a folder's name `images_N`; None for other names.

    >>> folder_factor("images_4"), folder_factor("images_raw"), folder_factor("images")
    (4, None, None)
    """
    match = re.fullmatch(r"images_([1-9][0-9]{0,8})", name)
    return int(match[1]) if match else None


def _other_suffixes(path: Path) -> list[Path]:
    """The same image with other suffixes; empty if its path has no suffix."""
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return []
    return [path.with_suffix(suffix) for suffix in _both_cases() if suffix != path.suffix]


def _suffixes(path: Path) -> Sequence[str]:
    """The suffixes to try for an image; empty if its path has one already."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ()
    return _both_cases()


def _both_cases() -> tuple[str, ...]:
    """The suffixes of images in small letters and in capitals."""
    return (*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES))
