"""Reads `cameras.json` of gaussian-splatting, for images in the same folder.

It is a list of cameras with `img_name`, `width`, `height`, `position`, `rotation` and the focal
lengths `fx`, `fy` in pixels. The rotation is camera to world, row by row, with the axes right,
down, forward; the axis is in the middle of the image. The program writes the file into its output
folder, where no images are.

Source: graphdeco-inria/gaussian-splatting, `camera_to_JSON` in `utils/camera_utils.py`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerf.captures.capture import Capture
from nerf.captures.format_record import Format, Names
from nerf.captures.images.names import NoImagesFound
from nerf.captures.json_files.lens import is_set
from nerf.captures.readers.posed_images import (
    MAX_VIEWS,
    PosedImage,
    finite_number,
    finite_numbers,
    from_opencv,
    image_length,
    make_capture,
    read_each,
)
from nerf.captures.safe_files.reading import file_named, read_json_list
from nerf.captures.safe_files.tables import changes_rays
from nerf.captures.safe_files.xml_files import text_head_of
from nerf.errors import UserError, listed

CAMERAS_FILE = "cameras.json"
_NAME = "gaussian_splatting"
_KEYS = ('"position"', '"rotation"')
_READ = ("id", "img_name", "width", "height", "position", "rotation", "fx", "fy")


def _file(folder: Path) -> Path:
    return file_named(folder, CAMERAS_FILE) or folder / CAMERAS_FILE


def is_gaussian_splatting(folder: Path, *, follow_links: bool = False) -> bool:
    """Whether a folder has the file of cameras, told by its first letters."""
    head = text_head_of(_file(folder), follow_links=follow_links)
    return head.lstrip().startswith("[") and all(key in head for key in _KEYS)


def read_gaussian_splatting(
    folder: Path,
    factor: int | None = None,
    *,
    poses: Path | None = None,
    follow_links: bool = False,
) -> Capture:
    """Reads the cameras and finds their images.

    Args:
      folder: contains the file, and the images in a folder of them.
      factor: N to read the images in `images_N`; None or 1 for the originals.
      poses: the folder below it that has the files of poses; None if it has them itself.
      follow_links: whether symbolic links that lead out of the folder are followed.

    Raises:
      UserError: for what is missing or impossible.
    """
    path = _file(poses or folder)
    entries = read_json_list(path, follow_links=follow_links)
    if not 0 < len(entries) <= MAX_VIEWS:
        raise UserError(f"{path} has {len(entries):,} cameras: there must be 1 to {MAX_VIEWS:,}")
    images, _ = read_each(
        range(len(entries)),
        lambda number: _image(entries[number], f"{path}, camera {number}"),
        lambda number: f"camera {number}",
        "cameras",
    )
    notes = _notes_on_keys(path, entries)
    try:
        return make_capture(_NAME, folder, images, factor, notes, follow_links=follow_links)
    except NoImagesFound as error:
        raise NoImagesFound(
            f"{path} has cameras of gaussian-splatting, whose images are not there: give the "
            f"folder that was trained from, or copy its images into {folder / 'images'}"
        ) from error


def _notes_on_keys(path: Path, entries: Sequence[Any]) -> list[str]:
    """A note on keys that are not read; those that change rays are refused."""
    unread = dict.fromkeys(
        str(key)[:50]
        for entry in entries
        for key, value in entry.items()
        if key not in _READ and is_set(value)
    )
    wrong = [key for key in unread if changes_rays(key)]
    if wrong:
        raise UserError(
            f"{path} has {listed(wrong)}, which gaussian-splatting does not write: make a "
            "transforms.json, whose lenses have such keys"
        )
    return [f"keys of {path.name} that are not known, and are ignored: {listed(unread)}"] * bool(
        unread
    )


def _image(entry: Any, where: str) -> PosedImage:
    if not isinstance(entry, Mapping):
        raise UserError(f"{where} is not an object: make the file again")
    name = entry.get("img_name")
    if not isinstance(name, str) or not name.strip():
        raise UserError(f"{where} has no img_name: name its image")
    size = (
        image_length(entry.get("width"), f"{where}: width"),
        image_length(entry.get("height"), f"{where}: height"),
    )
    fx, fy = (finite_number(entry.get(key), f"{where}: {key}") for key in ("fx", "fy"))
    rows = entry.get("rotation")
    if isinstance(rows, list) and all(isinstance(row, list) for row in rows):
        rows = [value for row in rows for value in row]
    rotation = np.array(finite_numbers(rows, 9, f"{where}: rotation")).reshape(3, 3)
    position = np.array(finite_numbers(entry.get("position"), 3, f"{where}: position"))
    camtoworld = from_opencv(np.concatenate([rotation, position[:, None]], axis=1))
    row = (fx, fy, 0.5 * size[0], 0.5 * size[1], *[0.0] * 6)
    return PosedImage(name, camtoworld, lambda *_: row, size)


FORMAT = Format(
    name=_NAME,
    files_in_words="",  # the program makes them from a scene that it has read
    read=read_gaussian_splatting,
    is_in=is_gaussian_splatting,
    names=Names(files=(CAMERAS_FILE,), suffixes=(".json",)),
)
