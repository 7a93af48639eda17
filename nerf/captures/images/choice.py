"""Which file is read for a view: the one that is named, its original, or a smaller copy."""

import contextlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.captures.capture import Capture
from nerf.captures.images import files as image_files
from nerf.captures.images.kinds import TooLargeImage
from nerf.captures.images.names import ImageMatches
from nerf.captures.images.paths import find_image, folder_factor, scaled_folders
from nerf.errors import counted, listed


class ChosenImage(NamedTuple):
    """The image that is read for a view.

    Attributes:
      named: the file that the capture has.
      file: the file that is read, another size of the same image or `named`.
      header: its header.
    """

    named: Path
    file: Path
    header: image_files.ImageHeader


def choose_image(capture: Capture, file: Path, lens_size: npt.NDArray[np.int64]) -> ChosenImage:
    """The image of a view: the original of a copy of another size, a copy of a large original.

    Raises:
      UserError: if it cannot be read.
    """
    try:
        header = image_files.read_header(file)
    except TooLargeImage:
        smaller = _smaller_copy(capture, file)
        if smaller is None:
            raise
        return smaller
    if header.is_large:
        return _smaller_copy(capture, file) or ChosenImage(file, file, header)
    original = _original_of(capture, file, header.size, lens_size)
    if original is not None:
        original_header = image_files.read_header(original)
        if not original_header.is_large:
            return ChosenImage(file, original, original_header)
    return ChosenImage(file, file, header)


def _smaller_copy(capture: Capture, file: Path) -> ChosenImage | None:
    """The largest copy of a large image in a folder `images_N`; None without one."""
    name = file.relative_to(capture.folder).as_posix()
    for folder in scaled_folders(capture.folder):
        copy = find_image(
            capture.folder, name, folder_factor(folder.name), follow_links=capture.follow_links
        )
        if copy is not None and copy != file:
            with contextlib.suppress(TooLargeImage):
                header = image_files.read_header(copy)
                if not header.is_large:
                    return ChosenImage(file, copy, header)
    return None


def notes_on_choices(capture: Capture, chosen: Sequence[ChosenImage]) -> list[str]:
    """Notes on images that are read at another size, and on files of several pages."""
    notes = []
    replaced = [image for image in chosen if image.file != image.named]
    large = [image for image in replaced if folder_factor(_folder_name(capture, image.file))]
    originals = [image.named.name for image in replaced if image not in large]
    if large:
        folders = listed(dict.fromkeys(_folder_name(capture, image.file) for image in large))
        notes.append(
            f"{counted(len(large), 'image has', 'images have')} more than {image_files.LARGE:,} "
            f"pixels, so smaller copies in {folders} are used"
        )
    if originals:
        others = counted(len(originals), "smaller copy has", "smaller copies have")
        notes.append(f"{others} another size, so the originals are used: {listed(originals)}")
    paged = [image.file.name for image in chosen if image.header.has_more_pages]
    if paged:
        notes.append(f"of the files with several images, only the first is read: {listed(paged)}")
    return notes


def _folder_name(capture: Capture, file: Path) -> str:
    """The first folder of an image below the capture's folder."""
    return file.relative_to(capture.folder).parts[0]


def _original_of(
    capture: Capture, file: Path, size: tuple[int, int], lens_size: npt.NDArray[np.int64]
) -> Path | None:
    """The original of an image in `images_N` that is not N times smaller; else None."""
    relative = file.relative_to(capture.folder)
    factor = folder_factor(relative.parts[0])
    if factor is None or len(relative.parts) < 2:
        return None
    if all(abs(a - b / factor) <= 1 for a, b in zip(size, lens_size.tolist(), strict=True)):
        return None
    name = Path("images", *relative.parts[1:]).as_posix()
    original = find_image(capture.folder, name, None, follow_links=capture.follow_links)
    return original if original is not None and original != file else None


def original_size(images: ImageMatches, name: str) -> tuple[int, int]:
    """Width and height of the original of a named image, whose file may be a smaller copy.

    Raises:
      UserError: if it cannot be read.
    """
    file = images.files[name]
    parts = file.relative_to(images.folder).parts
    named = PurePosixPath(name.replace("\\", "/")).parts
    for at, part in enumerate(parts[:-1]):
        if folder_factor(part) is not None and part not in named:
            original = "/".join((*parts[:at], "images", *parts[at + 1 :]))
            found = find_image(images.folder, original, None, follow_links=images.follow_links)
            file = found or file
            factor = folder_factor(file.relative_to(images.folder).parts[at]) or 1
            width, height = image_files.image_size(file)
            return width * factor, height * factor
    return image_files.image_size(file)
