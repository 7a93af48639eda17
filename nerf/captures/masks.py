"""Masks: which pixels of an image are used. The others are neither trained on nor scored.

    mask                                       ignored pixels       source
    `mask_path` of a frame                     black                nerfstudio
    masks/NAME.jpg.png, masks/NAME.png, ...    black                COLMAP, nerfstudio
    dynamic_mask_NAME.png beside the image     all but black        instant-ngp

A mask may have another size than its image, but not another aspect ratio.

Source: nerfstudio's "Data conventions"; COLMAP's FAQ, "Mask image regions"; instant-ngp's FAQ.
"""

import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nerf.captures.capture import InvalidCapture, Mask
from nerf.captures.faults import merge_faults
from nerf.captures.files import DYNAMIC_MASK, IMAGE_SUFFIXES, check_inside
from nerf.captures.image_decoding import TURNED, decoded
from nerf.captures.image_files import read_header, to_bytes
from nerf.captures.image_kinds import UnreadableImage
from nerf.captures.image_names import ImageMatches, match_images
from nerf.errors import UserError, counted, listed_shortly

_FOLDERS = ("masks", "mask")
_MAX_FILES = 200_000  # in a folder of masks
_LOSSY = (".jpg", ".jpeg")
_LOSSY_BLACK = 127  # up to this level, a pixel of a JPEG is black


def masks_of_frames(
    path: Path,
    content: Mapping[str, Any],
    names: Sequence[str],
    images: ImageMatches,
    factor: int | None,
) -> tuple[tuple[Mask | None, ...], list[str]]:
    """The masks that a transforms.json names.

    Args:
      path: the file.
      content: what it holds.
      names: `[num_views]`, each frame's `file_path`.
      images: the images of these names, none of which is taken for a mask.
      factor: of the images, see `match_images`.

    Returns:
      `[num_views]`, None for an image without a mask; and a note if masks are missing.

    Raises:
      InvalidCapture: with each `mask_path` that is not a name, or leads out of the folder.
    """
    entries = [entry for entry in content["frames"] if isinstance(entry, dict)]
    named = {entry.get("file_path"): entry.get("mask_path") for entry in entries}
    mask_names = [named.get(name) or content.get("mask_path") for name in names]
    matches = match_images(
        path.parent,
        [name for name in mask_names if name and isinstance(name, str)],
        factor,
        follow_links=images.follow_links,
        what="mask",
        others=images.files.values(),
    )
    found: list[Mask | None] = []
    missing: list[str] = []
    problems: list[tuple[str, str]] = []
    for name, mask_name in zip(names, mask_names, strict=True):
        try:
            file = _file_of(matches, mask_name)
        except UserError as problem:
            problems.append((name, f"{path.name}: mask_path of {name}: {problem}"))
            continue
        found.append(None if file is None else Mask(file))
        if mask_name and file is None:
            missing.append(mask_name)
    if problems:
        raise InvalidCapture(merge_faults(problems, "images"))
    some = f"{counted(len(missing), 'mask')} that {path.name} names are missing: "
    used = "; all pixels of these images are used"
    return tuple(found), [some + listed_shortly(missing) + used] if missing else []


def _file_of(matches: ImageMatches, mask_name: object) -> Path | None:
    """The file of a `mask_path`; None if there is none.

    Raises:
      UserError: if it cannot be used.
    """
    if not mask_name:
        return None
    if not isinstance(mask_name, str):
        raise UserError(f"it must be a name, not {str(mask_name)[:50]!r}: name the mask's file")
    return matches.file(mask_name)


def find_masks(
    folder: Path,
    files: Sequence[Path],
    given: Sequence[Mask | None],
    *,
    follow_links: bool = False,
) -> tuple[Mask | None, ...]:
    """The masks of images: those that are given, else those found by the images' names.

    Args:
      folder: of the capture.
      files: `[num_views]`, the images.
      given: `[num_views]` masks that the files name, or none.
      follow_links: whether symbolic links that lead out of the folder are followed.
    """
    known = _files_by_name(folder)
    bare = Counter(file.name.casefold() for file in files)
    found: list[Mask | None] = []
    for file, mask in zip(files, given or [None] * len(files), strict=True):
        beside = file.with_name(f"{DYNAMIC_MASK}{file.stem}.png")
        if mask is None and os.path.isfile(beside):
            check_inside(folder, beside, follow_links=follow_links)
            mask = Mask(beside, keeps_black=True)
        if mask is None and known:
            mask = _by_name(folder, file, known, bare[file.name.casefold()] == 1)
            if mask is not None:
                check_inside(folder, mask.file, follow_links=follow_links)
        found.append(mask)
    return tuple(found) if any(found) else ()


def note_on_unused_masks(folder: Path, files: Sequence[Path], masks: Sequence[Any]) -> list[str]:
    """A note if there is a folder of masks, and none of them has the name of an image."""
    known = set(_files_by_name(folder).values()) - set(files)
    if any(masks) or not known:
        return []
    root = next(name for name in _FOLDERS if (folder / name).is_dir())
    return [
        f"{root} has {counted(len(known), 'file')} but none named like an image, so all pixels are "
        f"used: name a mask as its image, or as {files[0].name}.png"
    ]


def _files_by_name(folder: Path) -> dict[str, Path]:
    """The files of the folder of masks by their paths in it, with and without suffixes."""
    found: dict[str, Path] = {}
    for name in _FOLDERS:
        root = folder / name
        if not root.is_dir():
            continue
        paths: list[Path] = []
        with contextlib.suppress(OSError):  # a folder in it that cannot be read
            paths.extend(itertools.islice(root.rglob("*"), _MAX_FILES))
        for path in sorted(paths):
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
                relative = path.relative_to(root)
                for key in (relative.with_suffix(""), relative):
                    found[key.as_posix().casefold()] = path
        break
    return found


def _by_name(folder: Path, file: Path, known: Mapping[str, Path], is_only_one: bool) -> Mask | None:
    """The mask of an image in the folder of masks; None if there is none.

    Args:
      folder: of the capture.
      file: the image.
      known: see `_files_by_name`.
      is_only_one: whether no other image has this name in another folder.
    """
    parts = file.relative_to(folder).parts if file.is_relative_to(folder) else (file.name,)
    for start in range(len(parts)):
        if start == len(parts) - 1 and start > 1 and not is_only_one:
            return None  # a name without its folders, which could mean several images
        relative = Path(*parts[start:])
        for key in (relative, relative.with_suffix("")):
            path = known.get(key.as_posix().casefold())
            if path is not None and path != file:
                return Mask(path)
    return None


def read_mask(
    mask: Mask, file: Path, height: int, width: int, *, turned: bool
) -> npt.NDArray[np.bool_]:
    """The pixels of an image that are used.

    Args:
      mask: of the image.
      file: the image.
      height, width: of the result, those of the image as it is trained on.
      turned: whether the image is turned by its EXIF orientation; its mask then is, too, unless it
        is upright already.

    Returns:
      `[height, width]`, True for pixels that are used. Of a larger mask, all pixels that a pixel
      of the result covers must be; a smaller one is scaled to the nearest pixel.

    Raises:
      UserError: if the mask cannot be read, or has another aspect ratio.
    """
    try:
        return _read(mask, file, height, width, turned)
    except UnreadableImage as error:
        raise UserError(error.of_mask()) from error


def _read(mask: Mask, file: Path, height: int, width: int, turned: bool) -> npt.NDArray[np.bool_]:
    """See `read_mask`; only the decoded mask is in memory as a whole."""
    header = read_header(mask.file)
    orientation = 1
    if turned and not _fits(header.size, height, width):
        orientation = read_header(file).orientation
        orientation = orientation if orientation in TURNED else 1
    columns, rows = header.size if orientation == 1 else header.size[::-1]
    if not _fits((columns, rows), height, width):
        raise UserError(
            f"the mask {mask.file} is {columns} x {rows}, which does not have the aspect ratio of "
            f'its image {file.name}: make it again, or leave masks out with `masks="ignore"`'
        )
    limit = _LOSSY_BLACK if mask.file.suffix.lower() in _LOSSY else 0
    with decoded(mask.file, orientation) as strips:
        kept = [
            _resized(((to_bytes(strip)[..., :3].max(axis=-1) > limit) != mask.keeps_black).T, width)
            for strip in strips
        ]
    return _resized(np.concatenate(kept, axis=1).T, height)


def _fits(size: tuple[int, int], height: int, width: int) -> bool:
    """Whether a mask, of a width and a height, has the aspect ratio of an image, to two pixels."""
    columns, rows = size
    return min(abs(rows * width / columns - height), abs(columns * height / rows - width)) <= 2.0


def _resized(kept: npt.NDArray[np.bool_], number: int) -> npt.NDArray[np.bool_]:
    """A mask with `number` rows."""
    rows = len(kept)
    if rows <= number:
        nearest = (np.arange(number) + 0.5) * rows / number
        return kept[np.minimum(nearest.astype(np.int64), rows - 1)]
    edges = np.arange(number + 1) * rows
    first, last = edges[:-1] // number, -(-edges[1:] // number)
    pairs = np.stack([first, last], axis=-1).ravel()
    padded = np.concatenate([kept, np.ones((1, kept.shape[1]), np.bool_)])  # for an end at `rows`
    return np.asarray(np.logical_and.reduceat(padded, pairs, axis=0)[::2])
