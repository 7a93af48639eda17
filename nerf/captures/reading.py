"""Reading a folder of any format: the poses beside the images, the masks, the checks and notes."""

import contextlib
import dataclasses
from pathlib import Path

from nerf.captures.advice import unposed
from nerf.captures.advice.no_scene import has_scene, is_part, no_scene, not_a_folder, scene_above
from nerf.captures.capture import Capture, InvalidCapture, with_rotations
from nerf.captures.checks.cameras import check_cameras
from nerf.captures.checks.likely_mistakes import notes_on_cameras
from nerf.captures.depths.search import note_on_unused_depth
from nerf.captures.format_record import Format, Reader
from nerf.captures.formats import FORMATS, formats_in
from nerf.captures.images.mask_files import find_masks
from nerf.captures.images.names import NoImagesFound
from nerf.captures.orientation import with_up
from nerf.captures.separate_poses import candidate_image_folders, find_poses_of_images
from nerf.errors import UserError


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
      format: a name of `FORMATS`; None chooses it by the files.
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
        raise not_a_folder(folder)
    if format is not None and format not in FORMATS:
        raise UserError(f"unknown format {format!r}: choose one of {', '.join(FORMATS)}")
    found = formats_in(folder, follow_links=follow_links)
    poses = None
    if not found if format is None else format not in found:
        poses = find_poses_of_images(folder, lambda path: _formats_in(path, format, follow_links))
        found = formats_in(poses, follow_links=follow_links) if poses is not None else found
    if format is None and not found:
        raise no_scene(folder, follow_links=follow_links)
    chosen = FORMATS[format or found[0]]
    try:
        capture = chosen.read(folder, factor, poses=poses, follow_links=follow_links)
    except UserError as error:
        whole = _whole_scene(folder, chosen.read, error, follow_links)
        if whole is None:
            raise
        raise UserError(
            f"{folder} has poses without images, and is a part of the scene in {whole}: give that "
            "folder"
        ) from error
    if poses is not None:
        note = f"the poses are read from {poses.relative_to(folder).as_posix()}"
        capture = dataclasses.replace(capture, notes=(note, *capture.notes))
    capture = _checked(_with_bounds(capture, near, far), chosen, up)
    others = [name for name in found if name != chosen.name]
    if others and format is None:
        note = f'read as {chosen.name}; `format="{others[0]}"` reads the other files in the folder'
        capture = dataclasses.replace(capture, notes=(*capture.notes, note))
    return capture


def _checked(capture: Capture, format: Format, up: str) -> Capture:
    """A capture with masks, the up direction, and notes on what is likely a mistake.

    Raises:
      InvalidCapture: if its cameras are impossible.
    """
    folder, notes = capture.folder, capture.notes
    masks, unused = find_masks(
        folder, capture.files, capture.masks, follow_links=capture.follow_links
    )
    if not capture.depth_files and not any("depth" in note for note in notes):
        unused = [*unused, *note_on_unused_depth(folder)]
    capture = dataclasses.replace(capture, masks=masks, notes=(*notes, *unused))
    problems = check_cameras(capture, format.lens_advice)
    if problems:
        raise InvalidCapture(problems)
    capture = with_up(with_rotations(capture), up)
    mistakes = notes_on_cameras(capture, format.by_hand)
    return dataclasses.replace(capture, notes=(*capture.notes, *mistakes))


def _formats_in(folder: Path, format: str | None, follow_links: bool) -> list[str]:
    """The formats in a folder; of these only `format`, unless it is None."""
    found = formats_in(folder, follow_links=follow_links)
    return [name for name in found if format in (None, name)]


def _whole_scene(folder: Path, read: Reader, error: UserError, follow_links: bool) -> Path | None:
    """The folder that has the images too, for a folder of poses that cannot be read alone."""
    if isinstance(error, NoImagesFound) and is_part(folder):
        above = scene_above(folder)
        if above is not None:
            return above
    if unposed.find_images(folder)[1]:
        return None
    for whole in candidate_image_folders(folder, has_scene):
        with contextlib.suppress(UserError):
            read(whole.resolve(), poses=folder.resolve(), follow_links=follow_links)
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
