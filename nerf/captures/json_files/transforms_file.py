"""Which file of a folder is its transforms.json: also a copy under another name.

A browser calls the second download `transforms (1).json`, and programs write `transforms_all.json`.
"""

import json
from pathlib import Path
from typing import Any

from nerf.captures.safe_files.reading import file_named, files_with, read_bytes, text_of
from nerf.errors import UserError, listed

NERFSTUDIO_FILE = "transforms.json"
# Parts of Blender's split, of which others must be there, paths to render, depth maps of an export.
_NOT_ALONE = (
    "transforms_train", "transforms_test", "transforms_val", "camera_path", "depth_cameras",
)  # fmt: skip
_MAX_FILES = 20  # that are looked into


def transforms_file(folder: Path, *, follow_links: bool = False) -> tuple[Path, list[str]]:
    """The file, and a note if it has another name; where there is none, its usual path.

    Raises:
      UserError: if several files may be meant.
    """
    path = file_named(folder, NERFSTUDIO_FILE)
    if path is not None:
        return path, []
    others = other_transforms(folder, follow_links=follow_links)
    if len(others) > 1:
        names = listed(path.name for path in others)
        raise UserError(
            f"{names} in {folder} may each be its transforms.json: move or copy the right one to "
            f"{folder / NERFSTUDIO_FILE}"
        )
    if not others:
        return folder / NERFSTUDIO_FILE, []
    return others[0], [f"{others[0].name} is read as {NERFSTUDIO_FILE}, which is not there"]


def other_transforms(folder: Path, *, follow_links: bool = False) -> list[Path]:
    """The files with frames of images in a folder that has no transforms.json."""
    paths = [
        path for path in files_with(folder, ".json") if not path.name.lower().startswith(_NOT_ALONE)
    ]
    return [path for path in paths[:_MAX_FILES] if _has_frames(path, follow_links)]


def _has_frames(path: Path, follow_links: bool) -> bool:
    try:
        text = text_of(read_bytes(path, follow_links=follow_links))
        if not all(key in text for key in ('"frames"', '"file_path"', '"transform_matrix"')):
            return False
        content: Any = json.loads(text)
    except (UserError, ValueError, RecursionError):
        return False
    frames = content.get("frames") if isinstance(content, dict) else None
    first = frames[0] if isinstance(frames, list) and frames else None
    return isinstance(first, dict) and {"file_path", "transform_matrix"} <= set(first)
