"""Captures in `transforms.json` (nerfstudio, instant-ngp), and the frames of such files.

Intrinsics are given once for all frames or in each frame, see `nerf.captures.json_files.lens`. A
frame names its image in `file_path`, relative to the JSON file, with or without a suffix. Poses are
camera to world after `applied_transform`; points from COLMAP are in world coordinates before it, so
it is applied to them here. Each frame may have `near` and `far`, which is this project's own
addition.

Source: nerfstudio's "Data conventions" page and `nerfstudio_dataparser.py`; instant-ngp's
`nerf_dataset_tips.md`.
"""

import dataclasses
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
from nerf.captures.colmap_model.points_beside import points_beside, with_point_depths
from nerf.captures.depths.known import DepthFile
from nerf.captures.depths.of_frames import depth_of_frames
from nerf.captures.images import kinds as image_kinds
from nerf.captures.images.choice import original_size
from nerf.captures.images.masks import masks_of_frames
from nerf.captures.images.names import ImageMatches, NoImagesFound, match_images, none_found
from nerf.captures.json_files.ignored_keys import check_lens_keys, notes_on_keys, notes_on_lenses
from nerf.captures.json_files.key_names import file_with_usual_names
from nerf.captures.json_files.lens import FrameLens, intrinsics, read_lens
from nerf.captures.json_files.named_splits import named_split
from nerf.captures.json_files.transforms_file import NERFSTUDIO_FILE as NERFSTUDIO_FILE
from nerf.captures.json_files.transforms_file import transforms_file
from nerf.captures.json_files.values import near_and_far, pose_matrix
from nerf.captures.lenses.without_size import check_shared_lenses
from nerf.captures.readers import colmap
from nerf.captures.readers.posed_images import notes_on_images_without_pose
from nerf.captures.safe_files.reading import natural_key, read_json
from nerf.errors import UserError, counted, listed, listed_shortly

MAX_FRAMES = 100_000


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


def read_nerfstudio(
    folder: Path,
    factor: int | None = None,
    *,
    poses: Path | None = None,
    follow_links: bool = False,
) -> Capture:
    """Reads `transforms.json`.

    Args:
      folder: contains the file and the images.
      factor: N to read the images in `images_N`; None or 1 for the originals.
      poses: the folder below it that has the files of poses; None if it has them itself.
      follow_links: whether symbolic links that lead out of the folder are followed.

    Raises:
      UserError: with everything that is missing or impossible.
    """
    path, name_notes = transforms_file(poses or folder, follow_links=follow_links)
    content = file_with_usual_names(read_json(path, follow_links=follow_links))
    content, left_out = _with_test_frames(path, content)
    names = names_in(content)
    root = path.parent.relative_to(folder).as_posix()
    images = match_images(folder, names, factor, root=root, follow_links=follow_links)
    frames, notes = read_frames(path, content, "", images)
    names = [frame.name for frame in frames]
    files = [frame.file for frame in frames]
    split, split_notes = named_split(path, content, names, files, folder)
    masks, mask_notes = masks_of_frames(path, content, names, images, factor)
    depth_files, depth_notes = depth_of_frames(path, content, names, images)
    notes += [*name_notes, *left_out, *images.notes(), *split_notes, *mask_notes, *depth_notes]
    model = colmap.find_model(path.parent) or colmap.find_model(folder)
    by_id = points_beside(model, content, notes, follow_links=follow_links)
    points = np.array([point.position for point in by_id.values()]).reshape(-1, 3)
    capture = assemble("nerfstudio", images, frames, points, split, notes, depth_files=depth_files)
    return dataclasses.replace(with_point_depths(capture, model, by_id), masks=masks)


def _with_test_frames(path: Path, content: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A file without its frames marked as bad, and with `test_frames` as held-out ones (ScanNet++);
    and a note.
    """
    lists = [content.get("frames"), content.get("test_frames")]
    frames, held_out = [list(x) if isinstance(x, list) else None for x in lists]
    if frames is None or not any(isinstance(x, dict) for x in (*frames, *(held_out or ()))):
        return content, []
    bad = [x for x in (*frames, *(held_out or ())) if _is_bad(x)]
    if held_out is None and not bad:
        return content, []
    good = [[x for x in each if not _is_bad(x)] for each in (frames, held_out or [])]
    content = {**content, "frames": good[0] + good[1]}
    content.pop("test_frames", None)
    if good[1]:
        content.setdefault("test_filenames", names_in({"frames": good[1]}))
    left_out = "frame that is_bad is left out", "frames that are is_bad are left out"
    names = names_in({"frames": bad})
    return content, [f"{counted(len(bad), *left_out)}: {listed(names)}"] if bad else []


def _is_bad(frame: Any) -> bool:
    return isinstance(frame, dict) and frame.get("is_bad") is True


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
            f"{none_found(without_image, f'that {path} names', 'there')} ({images.there}): put "
            f"them into {path.parent}"
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
        raise InvalidCapture(image_kinds.sentences(faults))
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
