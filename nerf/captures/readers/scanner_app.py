"""Captures of the app 3D Scanner App, as it exports all data: a JSON file beside each image.

    frame_00012.jpg   the image
    frame_00012.json  `cameraPoseARFrame`, 16 numbers row by row: camera to world with the axes
                      right, up, back of Apple's ARKit; `intrinsics`, 9 numbers in pixels, likewise
    depth_00012.png   depth in millimetres, and conf_00012.png, 0 where it is low

Depth beyond the range of the sensor, 5 m, is not used.

Source: exports of the app; SDFStudio's `process_data/process_arkit_to_sdfstudio.py`.
"""

from pathlib import Path

from nerf.captures.capture import Capture
from nerf.captures.depths.known import DepthFile, lidar_depth
from nerf.captures.format_record import Format, Names
from nerf.captures.json_files.values import pose_matrix
from nerf.captures.readers.posed_images import (
    MAX_VIEWS,
    PosedImage,
    finite_numbers,
    make_capture,
    read_each,
)
from nerf.captures.safe_files.reading import files_with, read_json_object
from nerf.captures.safe_files.xml_files import text_head_of
from nerf.errors import UserError, counted

_NAME = "scanner_app"
_PREFIX, _POSE = "frame_", "cameraPoseARFrame"
_MAX_FILES = 5  # that are looked into


def _files(folder: Path) -> list[Path]:
    return [path for path in files_with(folder, ".json") if path.name.lower().startswith(_PREFIX)]


def is_scanner_app(folder: Path, *, follow_links: bool = False) -> bool:
    """Whether a folder has the files of the app."""
    heads = (text_head_of(path, follow_links=follow_links) for path in _files(folder)[:_MAX_FILES])
    return any(f'"{_POSE}"' in head for head in heads)


def read_scanner_app(
    folder: Path,
    factor: int | None = None,
    *,
    poses: Path | None = None,
    follow_links: bool = False,
) -> Capture:
    """Reads the cameras of all frames and finds their images.

    Args:
      folder: contains the files.
      factor: not used: the app makes no smaller copies.
      poses: the folder below it that has the files of frames; None if it has them itself.
      follow_links: whether symbolic links that lead out of the folder are followed.

    Raises:
      UserError: for what is missing or impossible.
    """
    paths = _files(poses or folder)[:MAX_VIEWS]
    if not paths:
        raise UserError(f"no {_PREFIX}*.json in {folder}: export all data again")
    images, without_pose = read_each(
        paths, lambda path: _read(path, follow_links), lambda path: path.name, "frames"
    )
    if not images:
        raise UserError(f"no frame in {folder} has a {_POSE}: export all data again")
    notes = []
    if without_pose:
        left_out = "frame has no pose and is left out", "frames have no pose and are left out"
        notes.append(counted(without_pose, *left_out))
    return make_capture(_NAME, folder, images, factor, notes, ["."], follow_links=follow_links)


def _read(path: Path, follow_links: bool) -> PosedImage | None:
    """The frame of a JSON file; None if it has no pose."""
    content = read_json_object(path, follow_links=follow_links)
    if content.get(_POSE) is None:
        return None
    matrix = pose_matrix(content[_POSE], f"{path}: {_POSE}")
    numbers = finite_numbers(content.get("intrinsics"), 9, f"{path}: intrinsics")
    row = (numbers[0], numbers[4], numbers[2], numbers[5], *[0.0] * 6)
    return PosedImage(path.stem, matrix, lambda *_: row, depth=_depth_of(path, follow_links))


def _depth_of(path: Path, follow_links: bool) -> DepthFile | None:
    """The depth image of a frame; None if it has none."""
    number = path.stem[len(_PREFIX) :]
    file, confidence = (path.with_name(f"{name}_{number}.png") for name in ("depth", "conf"))
    return lidar_depth(file, confidence, path.parent, follow_links=follow_links)


FORMAT = Format(
    name=_NAME,
    files_in_words="frame_00000.json (3D Scanner App)",
    read=read_scanner_app,
    is_in=is_scanner_app,
    names=Names(suffixes=(".json",)),
)
