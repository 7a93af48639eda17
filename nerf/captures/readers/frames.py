"""The frames of a `transforms.json` and of Blender's files, which have the same keys.

Intrinsics are given once for all frames or in each frame, see `nerf.captures.json_files.lens`. A
frame names its image in `file_path`, relative to the JSON file, with or without a suffix. Each
frame may have `near` and `far`, which is this project's own addition.
"""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nerf.captures.advice.repeated_faults import merge_faults
from nerf.captures.capture import (
    Array,
    Capture,
    InvalidCapture,
    Split,
    make_lens,
    with_points,
)
from nerf.captures.depths.known import DepthFile
from nerf.captures.format_record import LensAdvice
from nerf.captures.images import kinds as image_kinds
from nerf.captures.images.choice import original_size
from nerf.captures.images.names import ImageMatches, NoImagesFound, none_found
from nerf.captures.json_files.ignored_keys import check_lens_keys, notes_on_keys, notes_on_lenses
from nerf.captures.json_files.lens import FrameLens, intrinsics, read_lens
from nerf.captures.json_files.values import near_and_far, pose_matrix
from nerf.captures.lenses.without_size import check_shared_lenses
from nerf.captures.readers.posed_images import notes_on_images_without_pose
from nerf.captures.safe_files.reading import natural_key
from nerf.errors import UserError, counted, listed, listed_shortly

MAX_FRAMES = 100_000
LENS_ADVICE = LensAdvice(
    focal="give fl_x, or camera_angle_x in radians",
    principal_point="give cx and cy in pixels",
)


class Frame(NamedTuple):
    """One frame of a file.

    Attributes:
      name: its `file_path`.
      file: the image file.
      matrix: `[3, 4]`, camera to world.
      lens: its lens.
      bounds: near and far, if the file has them.
      part: `train` or `test` in Blender's files, else empty.
    """

    name: str
    file: Path
    matrix: Array
    lens: FrameLens
    bounds: tuple[float, float] | None
    part: str


def names_in(content: Mapping[str, Any]) -> list[str]:
    """The names of images in the frames of a file."""
    listing = content.get("frames")
    entries = listing[:MAX_FRAMES] if isinstance(listing, list) else []
    names = [entry.get("file_path") for entry in entries if isinstance(entry, dict)]
    return [name for name in names if isinstance(name, str) and name]


def read_frames(
    path: Path, content: Mapping[str, Any], part: str, images: ImageMatches
) -> tuple[list[Frame], list[str]]:
    """The frames of a file that have an image, sorted by name, and notes on the others."""
    listing = content.get("frames")
    if not isinstance(listing, list) or not listing:
        raise UserError(
            f"{path} has no list of frames{_keys_there(content)}: each frame must have file_path "
            "and transform_matrix"
        )
    if len(listing) > MAX_FRAMES:
        raise UserError(f"{path} has more than {MAX_FRAMES:,} frames: remove some")
    check_lens_keys(path, content)
    frames: list[Frame] = []
    problems: list[tuple[str, str]] = []
    without_image: list[str] = []
    frame_of_file: dict[Path, int] = {}
    for number, entry in enumerate(listing):
        label = f"frame {number}"
        where = f"{path.name}, {label}"
        try:
            if not isinstance(entry, dict):
                raise UserError(f"{where} is not an object: make the file again")
            frame = _read_frame(path, ChainMap(entry, dict(content)), where, part, images)
        except UserError as problem:
            problems.append((label, str(problem)))
            continue
        if frame is None:
            without_image.append(str(entry.get("file_path")))
        elif frame.file in frame_of_file:
            problem_text = (
                f"{where} names the same image as frame {frame_of_file[frame.file]}, "
                f"{frame.file.name!r}: remove one of them"
            )
            problems.append((label, problem_text))
        else:
            frame_of_file[frame.file] = number
            frames.append(frame)
    if problems:
        raise InvalidCapture(merge_faults(problems))
    if not frames:
        raise NoImagesFound(
            f"{none_found(without_image, f'that {path} names', 'there')} ({images.description}): "
            f"put them into {path.parent}"
        )
    left_out = (
        f"frame of {path.name} has no image and is left out",
        f"frames of {path.name} have no image and are left out",
    )
    missing = f"{counted(len(without_image), *left_out)}: {listed(without_image)}"
    notes = [missing] if without_image else []
    notes += notes_on_keys(path, content)
    return sorted(frames, key=lambda frame: natural_key(frame.name)), notes


def _read_frame(
    path: Path, values: ChainMap[str, Any], where: str, part: str, images: ImageMatches
) -> Frame | None:
    """One frame; None if its image is missing.

    `values` are those of the frame, then those of the file; `where` is for messages.
    """
    name = values.get("file_path")
    if not isinstance(name, str) or not name:
        raise UserError(
            f"{where} has no file_path{_keys_there(values.maps[0])}: name its image, relative to "
            f"{path.name}"
        )
    if values.get("transform_matrix") is None:
        raise UserError(
            f"{where} has no transform_matrix{_keys_there(values.maps[0])}: it must be a 4x4 "
            "camera-to-world matrix"
        )
    matrix = pose_matrix(values.get("transform_matrix"), f"{where}: transform_matrix")
    lens = read_lens(values, where)
    bounds = near_and_far(values, where)
    file = images.file(name)
    if file is None:
        return None
    return Frame(name, file, matrix, lens, bounds, part)


def _keys_there(values: Mapping[str, Any]) -> str:
    """The keys that are there instead of a missing one, for a message."""
    return f" (it has {listed_shortly(values)})" if values else ""


def _sizes(images: ImageMatches, frames: Sequence[Frame]) -> list[tuple[int, int]]:
    """Width and height of each frame, from the file or from its image.

    Raises:
      InvalidCapture: with all images that cannot be read.
    """
    sizes, faults = [], []
    for frame in frames:
        try:
            known = min(frame.lens.size) > 0
            sizes.append(frame.lens.size if known else original_size(images, frame.name))
        except UserError as fault:
            faults.append(fault)
    if faults:
        raise InvalidCapture(image_kinds.messages_on_unreadable(faults))
    return sizes


def assemble(
    name: str,
    images: ImageMatches,
    frames: Sequence[Frame],
    points: Array,
    split: Split | None,
    notes: Sequence[str],
    *,
    depth_files: Sequence[DepthFile | None] = (),
) -> Capture:
    """Makes a capture of frames. Sizes that the file lacks are read from the images' headers."""
    sizes = _sizes(images, frames)
    lenses = [frame.lens for frame in frames]
    check_shared_lenses(str(images.folder), lenses, sizes)
    rows = [intrinsics(lens, size) for lens, size in zip(lenses, sizes, strict=True)]
    notes = [*notes, *notes_on_lenses(lenses, sizes)]
    depth = [each.file for each in depth_files if each is not None]
    files = [frame.file for frame in frames]
    notes = [*notes, *notes_on_images_without_pose(files, depth, images.missing)]
    bounds = [frame.bounds for frame in frames]
    capture = Capture(
        format=name,
        folder=images.folder,
        files=tuple(files),
        camtoworlds=np.stack([frame.matrix for frame in frames]),
        lens=make_lens(
            rows,
            [lens.model == "fisheye" for lens in lenses],
            [lens.model == "panorama" for lens in lenses],
        ),
        sizes=np.array(sizes, np.int64),
        bounds=None if None in bounds else np.array(bounds, np.float64),
        split=split,
        notes=tuple(notes),
        follow_links=images.follow_links,
        depth_files=tuple(depth_files) if any(depth_files) else (),
    )
    return with_points(capture, points) if len(points) else capture
