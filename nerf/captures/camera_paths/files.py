"""Camera paths as files: the frames of a video, in the frame of the capture's own files.

    camera_path.json   of nerfstudio's viewer, see `nerf.captures.camera_paths.nerfstudio`
    transforms.json    poses without images; lenses where the file has them
    NAME.npy           `[n, 3, 4]` or `[n, 4, 4]`

Poses are camera to world with the axes right, up, back.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nerf.captures.camera_paths.nerfstudio import (
    CAPTURE_FRAME,
    in_capture_frame,
    is_nerfstudio_path,
    read_nerfstudio_path,
)
from nerf.captures.camera_paths.values import (
    MAX_FRAMES,
    CameraPathFile,
    angle_of,
    check_last_rows,
    checked_poses,
    frames_of,
    matrix_of,
)
from nerf.captures.capture import Array
from nerf.captures.json_files.values import finite
from nerf.captures.safe_files.array_files import read_array
from nerf.captures.safe_files.reading import read_json_object
from nerf.errors import UserError

SUFFIXES = (".json", ".npy")
_MAX_BYTES = 2**26  # of an array


def read_camera_path(
    path: Path, applied: Array | None = None, *, nerfstudio_transform: Path | None = None
) -> CameraPathFile:
    """Reads a file of any of the kinds above.

    Args:
      path: the file.
      applied: `[4, 4]`, what `applied_transform` and `applied_scale` of the capture's own
        `transforms.json` say, see `nerf.captures.camera_paths.nerfstudio.applied_transform`; None
        without them.
      nerfstudio_transform: `dataparser_transforms.json` of the nerfstudio run whose frame the path
        is in; None means the one in the folder of a camera_path.json, if it is there.

    Raises:
      UserError: if there is no such file, it is damaged, or has cameras that are not drawn.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"{path} is not a camera path: give a .json file (nerfstudio's camera_path.json, a "
            "transforms.json) or a .npy file of poses [n, 3, 4]"
        )
    if path.suffix.lower() == ".npy":
        found, frame_name = CameraPathFile(checked_poses(_numpy_poses(path), path)), None
    else:
        content = read_json_object(path)
        frame_name = content.get("frame")
        if is_nerfstudio_path(content):
            frames = read_nerfstudio_path(path, content)
            return in_capture_frame(frames, path, frame_name, applied, nerfstudio_transform)
        if "frames" not in content:
            raise UserError(
                f"{path} has no list of frames: it must have camera_path (nerfstudio's "
                "camera_path.json) or frames (a transforms.json)"
            )
        found = _poses_only(path, content)
    if nerfstudio_transform is None:  # only nerfstudio's own files are in its frame unasked
        frame_name = CAPTURE_FRAME
    return in_capture_frame(found, path, frame_name, applied, nerfstudio_transform)


def _poses_only(path: Path, content: Mapping[str, Any]) -> CameraPathFile:
    """The frames of a `transforms.json`, in the order of the file."""
    poses, down, across = [], [], []
    for number, frame in enumerate(frames_of(path, content.get("frames"), "frames")):
        where = f"{path}, frame {number}"
        poses.append(matrix_of(frame.get("transform_matrix"), f"{where}: transform_matrix"))
        vertical, horizontal = _angles({**content, **frame}, where)
        down += [vertical] if vertical is not None else []
        across += [horizontal] if horizontal is not None else []
    if max(len(down), len(across)) not in (0, len(poses)) or (down and across):
        raise UserError(
            f"{path}: some frames have a focal length or angle and others have none, or another "
            "kind: give the same to all"
        )
    return CameraPathFile(
        checked_poses(np.stack(poses), path),
        np.array(down) if down else None,
        horizontal_fov=np.array(across) if across else None,
    )


def _angles(values: Mapping[str, Any], where: str) -> tuple[float | None, float | None]:
    """The vertical field of view of a frame in degrees, or the horizontal one where the file has no
    size to convert it with; None and None where the file has neither.
    """

    def get(key: str) -> float | None:
        return None if values.get(key) is None else finite(values[key], f"{where}: {key}")

    def angle(focal: float, side: float) -> float:
        return angle_of(math.degrees(2 * math.atan(0.5 * side / focal)), where, 1.0)

    width, height = get("w"), get("h")
    focal = get("fl_y") or get("fl_x")
    if focal and height:
        return angle(focal, height), None
    if get("camera_angle_y"):
        return angle_of(get("camera_angle_y"), where, 180 / math.pi), None
    across = get("camera_angle_x")
    if across:
        horizontal = angle_of(across, where, 180 / math.pi)
        if width and height:
            slope = math.tan(0.5 * math.radians(horizontal))
            return math.degrees(2 * math.atan(slope * height / width)), None
        return None, horizontal
    if focal:
        raise UserError(
            f"{where} has a focal length without w and h: give the size in pixels that it belongs "
            "to, or camera_angle_x"
        )
    return None, None


def _numpy_poses(path: Path) -> Array:
    poses = read_array(path, _MAX_BYTES)
    if poses.ndim != 3 or poses.shape[1:] not in ((3, 4), (4, 4)) or not len(poses):
        raise UserError(f"{path} must be an array [n, 3, 4] or [n, 4, 4], not {list(poses.shape)}")
    if len(poses) > MAX_FRAMES:
        raise UserError(f"{path} has more than {MAX_FRAMES:,} frames: remove some")
    if poses.shape[1] == 4:
        check_last_rows(poses[:, 3], str(path))
    return poses[:, :3]
