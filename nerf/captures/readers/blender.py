"""Reads captures in Blender's format: `transforms_train.json` and files of held-out views.

Frames are those of a `transforms.json`, see `nerf.captures.readers.frames`. A file of held-out
views whose images are missing is a camera path.

Source: bmild/nerf `load_blender.py`; BlenderNeRF.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerf.captures.capture import Array, Capture, Mask, Split
from nerf.captures.checks.cameras import MAX_POSITION
from nerf.captures.depths.known import DepthFile
from nerf.captures.depths.of_frames import depth_of_frames
from nerf.captures.format_record import Format, HandWritten, Names, has_file
from nerf.captures.images.masks import masks_of_frames
from nerf.captures.images.names import ImageMatches, match_images, none_found
from nerf.captures.json_files.key_names import file_with_usual_names
from nerf.captures.json_files.values import pose_matrix
from nerf.captures.readers.frames import (
    LENS_ADVICE,
    MAX_FRAMES,
    Frame,
    assemble,
    names_in,
    read_frames,
)
from nerf.captures.safe_files.reading import file_named, read_json_object
from nerf.errors import UserError, listed
from nerf.geometry.poses import are_rotations

BLENDER_FILE = "transforms_train.json"
_NAME = "blender"
_HELD_OUT_FILES = ("transforms_test.json", "transforms_val.json")  # the first that has images


def read_blender(
    folder: Path,
    factor: int | None = None,
    *,
    poses: Path | None = None,
    follow_links: bool = False,
) -> Capture:
    """Reads `transforms_train.json` and `transforms_test.json`.

    If there is no file of test views, or it has no images, the views of `transforms_val.json` are
    held out. If that is missing too, the capture has no split. Poses of test views that have no
    images are a camera path, see `Capture.path_poses`.

    Args:
      folder: contains the files and the images.
      factor: N to read the images in `images_N`; None or 1 for the originals.
      poses: the folder below it that has the files of poses; None if it has them itself.
      follow_links: whether symbolic links that lead out of the folder are followed.

    Raises:
      UserError: with everything that is missing or impossible.
    """
    place = poses or folder
    paths = {name: file_named(place, name) for name in (BLENDER_FILE, *_HELD_OUT_FILES)}
    contents = {
        name: file_with_usual_names(
            read_json_object(path or place / name, follow_links=follow_links)
        )
        for name, path in paths.items()
        if name == BLENDER_FILE or path is not None
    }
    names = [name for content in contents.values() for name in names_in(content)]
    root = place.relative_to(folder).as_posix()
    images = match_images(folder, names, factor, root=root, follow_links=follow_links)
    frames: list[Frame] = []
    masks: list[Mask | None] = []
    depth_files: list[DepthFile | None] = []
    notes: list[str] = []
    path_poses: Array | None = None
    for name, content in contents.items():
        path, part = place / name, "train" if name == BLENDER_FILE else "test"
        if part == "test" and not _has_images(content, images):
            without_image = _poses(path, content)
            if path_poses is None and len(without_image):
                path_poses = without_image
            notes.append(_note_without_images(name, names_in(content)))
            continue
        more_frames, more_notes = read_frames(path, content, part, images)
        names = [frame.name for frame in more_frames]
        more_masks, mask_notes = masks_of_frames(path, content, names, images, factor)
        more_depth, depth_notes = depth_of_frames(path, content, names, images)
        frames += more_frames
        masks += more_masks
        depth_files += more_depth or [None] * len(names)
        notes += [*more_notes, *mask_notes, *depth_notes]
        if part == "test":
            break
    notes += images.notes()
    split = None
    if any(frame.part == "test" for frame in frames):
        train, test = (
            tuple(i for i, frame in enumerate(frames) if frame.part == part)
            for part in ("train", "test")
        )
        split = Split(train, test)
    capture = assemble(
        _NAME, images, frames, np.zeros((0, 3)), split, notes, depth_files=depth_files
    )
    return dataclasses.replace(capture, path_poses=path_poses, masks=tuple(masks))


def _has_images(content: Mapping[str, Any], images: ImageMatches) -> bool:
    """Whether any frame of a file has an image, or is so damaged that reading it must raise."""
    listing = content.get("frames")
    if not isinstance(listing, list):
        return True
    names = [entry.get("file_path") if isinstance(entry, dict) else None for entry in listing]
    return any(
        not isinstance(name, str) or not name or name in images.faults or name in images.files
        for name in names[:MAX_FRAMES]
    )


def _poses(path: Path, content: Mapping[str, Any]) -> Array:
    """The poses `[num_poses, 3, 4]` of a file, whatever its images."""
    matrices = [
        pose_matrix(entry.get("transform_matrix"), f"{path.name}, frame {number}: transform_matrix")
        for number, entry in enumerate(content["frames"][:MAX_FRAMES])
    ]
    poses = np.array(matrices).reshape(-1, 3, 4)
    is_possible = are_rotations(poses[:, :, :3]).all() and (np.abs(poses) < MAX_POSITION).all()
    if not is_possible:
        raise UserError(f"{path.name} has poses that are not rotations: make the file again")
    return poses


def _note_without_images(name: str, images: Sequence[str]) -> str:
    """A note on a file of held-out views that has no images."""
    if not images:
        return f"{name} has no frames, so none of its views is held out"
    missing = none_found(images, f"that {name} names", "there")
    path = 'its poses are a camera path, `camera_path="test"`'
    return f"{missing}, so none of its views is held out; {path}"


def _what_is_missing(folder: Path) -> Iterator[str]:
    """A sentence on held-out views without those to train on."""
    there = [name for name in _HELD_OUT_FILES if file_named(folder, name) is not None]
    if there:
        yield (
            f"{folder} has {listed(there)} of a Blender capture, but no {BLENDER_FILE}: copy it "
            "there"
        )


FORMAT = Format(
    name=_NAME,
    files_in_words="transforms_train.json (Blender)",
    read=read_blender,
    is_in=has_file(BLENDER_FILE),
    opens_files=False,
    names=Names(files=(BLENDER_FILE,), suffixes=(".json",), scene=(BLENDER_FILE,)),
    missing=_what_is_missing,
    by_hand=HandWritten(),
    lens_advice=LENS_ADVICE,
)
