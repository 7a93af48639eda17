"""Masks: which pixels of an image are used. The others are neither trained on nor scored.

    mask                                       ignored pixels       source
    `mask_path` of a frame                     black                nerfstudio
    masks/NAME.jpg.png, masks/NAME.png, ...    black                COLMAP, nerfstudio
    dynamic_mask_NAME.png beside the image     all but black        instant-ngp

`nerf.captures.images.mask_files` finds those that are named like images.

A mask may have another size than its image, but not another aspect ratio.

Source: nerfstudio's "Data conventions"; COLMAP's FAQ, "Mask image regions"; instant-ngp's FAQ.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nerf.captures.advice.repeated_faults import merge_faults
from nerf.captures.capture import InvalidCapture, Mask
from nerf.captures.images.decoding import TURNED, decoded
from nerf.captures.images.files import read_header, to_bytes
from nerf.captures.images.kinds import UnreadableImage
from nerf.captures.images.names import ImageMatches, match_images
from nerf.errors import UserError, counted, listed_shortly

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
        images.folder,
        [name for name in mask_names if name and isinstance(name, str)],
        factor,
        root=path.parent.relative_to(images.folder).as_posix(),
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
    """The file of a `mask_path`; None without one.

    Raises:
      UserError: if it cannot be used.
    """
    if not mask_name:
        return None
    if not isinstance(mask_name, str):
        raise UserError(f"it must be a name, not {str(mask_name)[:50]!r}: name the mask's file")
    return matches.file(mask_name)


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
        resized = [
            _resized(((to_bytes(strip)[..., :3].max(axis=-1) > limit) != mask.keeps_black).T, width)
            for strip in strips
        ]
    return _resized(np.concatenate(resized, axis=1).T, height)


def _fits(size: tuple[int, int], height: int, width: int) -> bool:
    """Whether a mask, of a width and a height, has the aspect ratio of an image, to two pixels."""
    columns, rows = size
    return min(abs(rows * width / columns - height), abs(columns * height / rows - width)) <= 2.0


def _resized(mask: npt.NDArray[np.bool_], number: int) -> npt.NDArray[np.bool_]:
    """A mask with `number` rows."""
    rows = len(mask)
    if rows <= number:
        nearest = (np.arange(number) + 0.5) * rows / number
        return mask[np.minimum(nearest.astype(np.int64), rows - 1)]
    edges = np.arange(number + 1) * rows
    first, last = edges[:-1] // number, -(-edges[1:] // number)
    pairs = np.stack([first, last], axis=-1).ravel()
    padded = np.concatenate([mask, np.ones((1, mask.shape[1]), np.bool_)])  # for an end at `rows`
    return np.asarray(np.logical_and.reduceat(padded, pairs, axis=0)[::2])
