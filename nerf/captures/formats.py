"""The formats of captures, and reading a folder of any format.

    format       its file
    llff         poses_bounds.npy
    blender      transforms_train.json
    nerfstudio   transforms.json (nerfstudio, instant-ngp)
    colmap       sparse/0 or colmap/sparse/0
    record3d     metadata.json and rgb/
    polycam      keyframes/cameras or keyframes/corrected_cameras, or these without keyframes/
    scanner_app  frame_00000.json and so on (3D Scanner App)
    metashape    an .xml file of cameras
    realitycapture   a .csv file of cameras, or .xmp files beside the images
    bundler      a .out file of cameras, and a list of the images
    trajectory   trajectory.txt and other names of text files; a .csv file with quaternions
    gaussian_splatting   cameras.json

The first format whose file is found is read, unless the user chooses another.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from nerf.captures.advice import unposed
from nerf.captures.advice.no_scene import has_scene, is_part, no_scene, not_a_folder, scene_above
from nerf.captures.capture import Capture, InvalidCapture, with_rotations
from nerf.captures.checks.cameras import check_cameras
from nerf.captures.checks.likely_mistakes import notes_on_cameras
from nerf.captures.depths.beside_images import note_on_unused_depth
from nerf.captures.images.mask_files import find_masks
from nerf.captures.images.names import NoImagesFound
from nerf.captures.json_files.transforms_file import other_transforms
from nerf.captures.orientation import with_up
from nerf.captures.readers import (
    blender,
    bundler,
    colmap,
    gaussian_splatting,
    llff,
    metashape,
    polycam,
    realitycapture,
    record3d,
    scanner_app,
    trajectory,
    transforms,
)
from nerf.captures.safe_files.reading import file_named
from nerf.captures.separate_poses import folders_of_images, poses_beside_images
from nerf.errors import UserError


class Reader(Protocol):
    def __call__(
        self,
        folder: Path,
        factor: int | None = None,
        /,
        *,
        poses: Path | None = None,
        follow_links: bool = False,
    ) -> Capture:
        """Reads the capture in a folder, with the images of `images_N` if `factor` is N.

        The files of poses are in the folder itself, or in `poses` below it. Symbolic links that
        lead out of the folder are followed only with `follow_links`.

        Raises:
          UserError: for what is missing or impossible.
        """


FORMATS: dict[str, Reader] = {
    "llff": llff.read_llff,
    "blender": blender.read_blender,
    "nerfstudio": transforms.read_nerfstudio,
    "colmap": colmap.read_colmap,
    "record3d": record3d.read_record3d,
    "polycam": polycam.read_polycam,
    "scanner_app": scanner_app.read_scanner_app,
    "metashape": metashape.read_metashape,
    "realitycapture": realitycapture.read_realitycapture,
    "bundler": bundler.read_bundler,
    "trajectory": trajectory.read_trajectory,
    "gaussian_splatting": gaussian_splatting.read_gaussian_splatting,
}
_IS_IN: dict[str, Callable[[Path], bool]] = {  # they open no file
    "llff": lambda folder: file_named(folder, llff.POSES_FILE) is not None,
    "blender": lambda folder: file_named(folder, blender.BLENDER_FILE) is not None,
    "nerfstudio": lambda folder: file_named(folder, transforms.NERFSTUDIO_FILE) is not None,
    "colmap": lambda folder: colmap.find_model(folder) is not None,
    "record3d": record3d.is_record3d,
}


class _Opens(Protocol):
    def __call__(self, folder: Path, /, *, follow_links: bool = False) -> bool:
        """Whether a folder has the file of a format, told by the first bytes of files."""


_IS_INSIDE: dict[str, _Opens] = {
    "polycam": polycam.is_polycam,
    "scanner_app": scanner_app.is_scanner_app,
    "metashape": metashape.is_metashape,
    "realitycapture": realitycapture.is_realitycapture,
    "bundler": bundler.is_bundler,
    "gaussian_splatting": gaussian_splatting.is_gaussian_splatting,
    "trajectory": trajectory.is_trajectory,
}


def formats_in(folder: Path, *, follow_links: bool = False) -> list[str]:
    """The formats whose files are in a folder, in the order of `FORMATS`.

    Links that lead out of the folder are opened only with `follow_links`.
    """
    found = {name for name, is_in in _IS_IN.items() if is_in(folder)}
    found |= {
        name for name, is_in in _IS_INSIDE.items() if is_in(folder, follow_links=follow_links)
    }
    if not found and other_transforms(folder, follow_links=follow_links):
        return ["nerfstudio"]
    if not found and realitycapture.is_incomplete(folder, follow_links=follow_links):
        return ["realitycapture"]
    return [name for name in FORMATS if name in found]


def read_capture(
    folder: Path,
    *,
    format: str | None = None,
    factor: int | None = None,
    near: float | None = None,
    far: float | None = None,
    up: str = "auto",
    follow_links: bool = False,
) -> Capture:
    """Reads poses and lenses of a folder, but no pixels.

    Args:
      folder: the folder.
      format: one of `FORMATS`; None chooses it by the files.
      factor: how many times smaller than the originals the images are; None reads the originals,
        and in an LLFF folder the smallest images.
      near, far: bounds of all views, which replace those of the files before these are judged.
      up: which way is up, see `nerf.captures.orientation.with_up`.
      follow_links: whether symbolic links that lead out of the folder are followed.

    Raises:
      UserError: if there is no such folder, it has no known format, or its files are damaged or
        describe impossible cameras.
    """
    if unposed.is_video(folder):
        raise unposed.no_poses(folder, "is a video")
    if not folder.is_dir():
        raise not_a_folder(folder, formats_in)
    if format is not None and format not in FORMATS:
        raise UserError(f"unknown format {format!r}: choose one of {', '.join(FORMATS)}")
    found = formats_in(folder, follow_links=follow_links)
    poses = None
    if not found if format is None else format not in found:
        poses = poses_beside_images(folder, lambda path: _formats_in(path, format, follow_links))
        found = formats_in(poses, follow_links=follow_links) if poses is not None else found
    if format is None and not found:
        raise no_scene(folder, formats_in, follow_links=follow_links)
    chosen = format or found[0]
    try:
        capture = FORMATS[chosen](folder, factor, poses=poses, follow_links=follow_links)
    except UserError as error:
        whole = _whole_scene(folder, chosen, error, follow_links)
        if whole is None:
            raise
        raise UserError(
            f"{folder} has poses without images, and is a part of the scene in {whole}: give that "
            "folder"
        ) from error
    if poses is not None:
        note = f"the poses are read from {poses.relative_to(folder).as_posix()}"
        capture = dataclasses.replace(capture, notes=(note, *capture.notes))
    capture = _with_bounds(capture, near, far)
    masks, unused = find_masks(folder, capture.files, capture.masks, follow_links=follow_links)
    if not capture.depth_files and not any("depth" in note for note in capture.notes):
        unused = [*unused, *note_on_unused_depth(folder)]
    capture = dataclasses.replace(capture, masks=masks, notes=(*capture.notes, *unused))
    problems = check_cameras(capture)
    if problems:
        raise InvalidCapture(problems)
    capture = with_up(with_rotations(capture), up)
    capture = dataclasses.replace(capture, notes=(*capture.notes, *notes_on_cameras(capture)))
    others = [name for name in found if name != chosen]
    if others and format is None:
        note = f'read as {chosen}; `format="{others[0]}"` reads the other files in the folder'
        capture = dataclasses.replace(capture, notes=(*capture.notes, note))
    return capture


def _formats_in(folder: Path, format: str | None, follow_links: bool) -> list[str]:
    """The formats in a folder; of these only `format`, unless it is None."""
    found = formats_in(folder, follow_links=follow_links)
    return [name for name in found if format in (None, name)]


def _whole_scene(folder: Path, format: str, error: UserError, follow_links: bool) -> Path | None:
    """The folder that has the images too, for a folder of poses that cannot be read alone."""
    if isinstance(error, NoImagesFound) and is_part(folder):
        above = scene_above(folder, formats_in)
        if above is not None:
            return above
    if unposed.find_images(folder)[1]:
        return None
    for whole in folders_of_images(folder, has_scene):
        with contextlib.suppress(UserError):
            FORMATS[format](whole.resolve(), poses=folder.resolve(), follow_links=follow_links)
            return whole
    return None


def _with_bounds(capture: Capture, near: float | None, far: float | None) -> Capture:
    """Replaces near and far in the bounds of a capture, if it has bounds."""
    if capture.bounds is None:
        return capture
    bounds = capture.bounds.copy()
    for column, value in enumerate((near, far)):
        if value is not None:
            bounds[:, column] = value
    return dataclasses.replace(capture, bounds=bounds)
