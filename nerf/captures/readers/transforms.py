"""Captures in `transforms.json` (nerfstudio, instant-ngp).

Frames are read by `nerf.captures.readers.frames`. Poses are camera to world after
`applied_transform`; points from COLMAP are in world coordinates before it, so it is applied to them
here.

Source: nerfstudio's "Data conventions" page and `nerfstudio_dataparser.py`; instant-ngp's
`nerf_dataset_tips.md`.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from nerf.captures.capture import Capture
from nerf.captures.colmap_model.aligned_points import points_in_pose_frame, with_point_depths
from nerf.captures.depths.of_frames import depth_of_frames
from nerf.captures.format_record import Format, HandWritten, Names, has_file
from nerf.captures.images.masks import masks_of_frames
from nerf.captures.images.names import match_images
from nerf.captures.json_files.key_names import file_with_usual_names
from nerf.captures.json_files.named_splits import named_split
from nerf.captures.json_files.transforms_file import NERFSTUDIO_FILE as NERFSTUDIO_FILE
from nerf.captures.json_files.transforms_file import other_transforms, transforms_file
from nerf.captures.readers import colmap
from nerf.captures.readers.frames import LENS_ADVICE, assemble, names_in, read_frames
from nerf.captures.safe_files.reading import read_json_object
from nerf.errors import counted, listed

_NAME = "nerfstudio"


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
    content = file_with_usual_names(read_json_object(path, follow_links=follow_links))
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
    by_id = points_in_pose_frame(model, content, notes, follow_links=follow_links)
    points = np.array([point.position for point in by_id.values()]).reshape(-1, 3)
    capture = assemble(_NAME, images, frames, points, split, notes, depth_files=depth_files)
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


def _has_other_transforms(folder: Path, /, *, follow_links: bool = False) -> bool:
    """Whether a folder has a file of frames under another name."""
    return bool(other_transforms(folder, follow_links=follow_links))


FORMAT = Format(
    name=_NAME,
    files_in_words="transforms.json (nerfstudio, instant-ngp)",
    read=read_nerfstudio,
    is_in=has_file(NERFSTUDIO_FILE),
    may_be_in=_has_other_transforms,
    names=Names(files=(NERFSTUDIO_FILE,), suffixes=(".json",), scene=(NERFSTUDIO_FILE,)),
    by_hand=HandWritten(),
    lens_advice=LENS_ADVICE,
)
