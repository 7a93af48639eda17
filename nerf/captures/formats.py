"""The formats of captures, and reading a folder of any format.

    format       its file
    llff         poses_bounds.npy
    blender      transforms_train.json
    nerfstudio   transforms.json (nerfstudio, instant-ngp)
    colmap       sparse/0 or colmap/sparse/0

The first format whose file is found is read, unless the user chooses another.
"""

import dataclasses
from pathlib import Path
from typing import Protocol

from nerf.captures import colmap, llff, transforms, unposed
from nerf.captures.capture import Capture, InvalidCapture, check_cameras, with_rotations
from nerf.errors import UserError


class Reader(Protocol):
    def __call__(self, folder: Path, factor: int | None = None, /) -> Capture:
        """Reads the capture in a folder, with the images of `images_N` if `factor` is N.

        Raises:
          UserError: for what is missing or impossible.
        """


FORMATS: dict[str, Reader] = {
    "llff": llff.read_llff,
    "blender": transforms.read_blender,
    "nerfstudio": transforms.read_nerfstudio,
    "colmap": colmap.read_colmap,
}


def formats_in(folder: Path) -> list[str]:
    """The formats whose files are in a folder, in the order of `FORMATS`."""
    found = {
        "llff": (folder / llff.POSES_FILE).exists(),
        "blender": (folder / transforms.BLENDER_FILE).exists(),
        "nerfstudio": (folder / transforms.NERFSTUDIO_FILE).exists(),
        "colmap": colmap.find_model(folder) is not None,
    }
    return [name for name in FORMATS if found[name]]


def read_capture(folder: Path, *, format: str | None = None, factor: int | None = None) -> Capture:
    """Reads poses and lenses of a folder, but no pixels.

    Args:
      folder: the folder.
      format: one of `FORMATS`; None chooses it by the files.
      factor: how many times smaller than the originals the images are; None reads the originals,
        and in an LLFF folder the smallest images.

    Raises:
      UserError: if there is no such folder, it has no known format, or its files are damaged or
        describe impossible cameras.
    """
    if unposed.is_video(folder):
        raise unposed.no_poses(folder, "is a video")
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give the folder of a scene")
    if format is not None and format not in FORMATS:
        raise UserError(f"unknown format {format!r}: choose one of {', '.join(FORMATS)}")
    found = formats_in(folder)
    if format is None and not found:
        below = [path for path in sorted(folder.iterdir()) if path.is_dir() and formats_in(path)]
        if not below:
            unposed.check_poses(folder)
        hint = f"; there is a scene in {below[0]}" if below else ""
        raise UserError(
            f"no scene in {folder}: it must contain {llff.POSES_FILE} (LLFF), "
            f"{transforms.BLENDER_FILE} (Blender), {transforms.NERFSTUDIO_FILE} (nerfstudio, "
            "instant-ngp) or sparse/0 (COLMAP); docs/captures.md says how to make them from "
            f"photographs{hint}"
        )
    chosen = format or found[0]
    capture = FORMATS[chosen](folder, factor)
    problems = check_cameras(capture)
    if problems:
        raise InvalidCapture(problems)
    capture = with_rotations(capture)
    others = [name for name in found if name != chosen]
    if others and format is None:
        note = f'read as {chosen}; `format="{others[0]}"` reads the other files in the folder'
        capture = dataclasses.replace(capture, notes=(*capture.notes, note))
    return capture
