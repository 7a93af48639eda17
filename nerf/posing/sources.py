"""The images of a folder without poses: their copies, and which of them share a lens."""

import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from PIL import ExifTags, Image

from nerf.captures.images import files as image_files
from nerf.errors import UserError

_COPIED = (".jpg", ".jpeg", ".png")  # what COLMAP reads in each of its builds
_CAMERA_TAGS = (ExifTags.Base.Make, ExifTags.Base.Model)
_LENS_TAGS = (ExifTags.Base.FocalLength, ExifTags.Base.FocalLengthIn35mmFilm)


def copy_images(
    root: Path, source_names: Sequence[str], folder: Path, on_image: Callable[[], None]
) -> tuple[list[str], list[str]]:
    """Copies images; those that COLMAP may not read are decoded and written as PNG.

    Args:
      root: the folder of the images.
      source_names: of the images, relative to it, with `/`.
      folder: where the copies go.
      on_image: called after each image.

    Returns:
      The names of the copies below `folder`, and the problems of images that cannot be read.
    """
    names: list[str] = []
    problems: list[str] = []
    taken: set[str] = set()
    for name in source_names:
        file = root / name
        try:
            image_files.read_header(file)
            new = _free_name(name, taken)
            target = folder / new
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix.lower() in _COPIED:
                shutil.copyfile(file, target)
            else:
                Image.fromarray(image_files.read_pixels(file)).save(target)
            names.append(new)
            taken.add(new.lower())
        except UserError as problem:
            problems.append(str(problem))
        on_image()
    return names, problems


def _free_name(name: str, taken: set[str]) -> str:
    """A name for the copy: valid UTF-8 without control characters, and not taken."""
    readable = os.fsencode(name).decode("utf-8", "replace")
    path = PurePosixPath(re.sub(r"[\x00-\x1f\x7f\\:]", "_", readable))
    if path.suffix.lower() not in _COPIED:
        path = path.with_name(f"{path.name}.png")
    number, free = 1, path
    while free.as_posix().lower() in taken:
        number += 1
        free = path.with_stem(f"{path.stem}_{number}")
    return free.as_posix()


def camera_groups(folder: Path, names: Sequence[str]) -> list[list[int]]:
    """Indices of the images that share a lens: those of one size, camera and focal length.

    Size, camera and focal length are what the header and its EXIF data say.

    Args:
      folder: contains the images.
      names: of the images.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, name in enumerate(names):
        groups.setdefault(_camera_key(folder / name), []).append(index)
    return list(groups.values())


def _camera_key(file: Path) -> tuple[object, ...]:
    size = image_files.image_size(file)
    try:
        with Image.open(file) as image:
            exif = image.getexif()
            lens = exif.get_ifd(ExifTags.IFD.Exif)
            camera = [str(exif.get(tag)) for tag in _CAMERA_TAGS]
            return (*size, *camera, *(str(lens.get(tag)) for tag in _LENS_TAGS))
    except Exception:  # damaged EXIF data raises nearly anything, and says nothing of the lens
        return size
