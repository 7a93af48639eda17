"""Camera paths as files: the frames of a video, in the frame of the capture's own files.

    camera_path.json   of nerfstudio's viewer: frames with a field of view, size, frames a second
    transforms.json    poses without images; lenses where the file has them
    NAME.npy           `[n, 3, 4]` or `[n, 4, 4]`

Poses are camera to world with the axes right, up, back. nerfstudio's viewer writes poses in its own
normalised frame. It keeps the way there in `dataparser_transforms.json`; where that lies beside the
path, it is undone.

Source: nerfstudio `camera_paths.py` (`get_path_from_json`) and `nerfstudio_dataparser.py`.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerf.captures.array_files import read_array
from nerf.captures.capture import Array
from nerf.captures.files import read_json
from nerf.captures.json_values import finite
from nerf.errors import UserError
from nerf.geometry.poses import (
    are_rotations,
    nearest_rotations,
    scale_of,
    similarity,
    transform_poses,
)
from nerf.runtime import atomic

SUFFIXES = (".json", ".npy")
NERFSTUDIO_TRANSFORM = "dataparser_transforms.json"
_MAX_FRAMES = 100_000
_MAX_BYTES = 2**26  # of an array
_MIN_SCALE = 1e-9
_MAX_POSITION = 1e12  # in the files' unit


@dataclasses.dataclass(frozen=True)
class CameraPathFile:
    """The frames of a video.

    Attributes:
      poses: `[num_frames, 3, 4]`, in the frame and the unit of the capture's files.
      fov: `[num_frames]`, vertical field of view in degrees; None where the file has none.
      size: width and height of the frames in pixels; None where the file has none.
      fps: frames a second; None where the file has none.
      notes: for the user, one sentence each.
    """

    poses: Array
    fov: Array | None = None
    size: tuple[int, int] | None = None
    fps: float | None = None
    notes: tuple[str, ...] = ()


def read_camera_path(path: Path, applied: Array | None = None) -> CameraPathFile:
    """Reads a file of any of the kinds above.

    Args:
      path: the file.
      applied: `[4, 4]`, what `applied_transform` and `applied_scale` of the capture's own
        `transforms.json` say, see `applied_transform`; None without them.

    Raises:
      UserError: if there is no such file, it is damaged, or has cameras that are not drawn.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"{path} is no camera path: give a .json file (nerfstudio's camera_path.json, a "
            "transforms.json) or a .npy file of poses [n, 3, 4]"
        )
    if path.suffix.lower() == ".npy":
        return CameraPathFile(_checked_poses(_numpy_poses(path), path))
    content = read_json(path)
    if "camera_path" in content or "keyframes" in content:
        return _in_capture_frame(_nerfstudio_path(path, content), path, applied)
    if "frames" in content:
        return _poses_only(path, content)
    raise UserError(
        f"{path} has no list of frames: it must have camera_path (nerfstudio's camera_path.json) "
        "or frames (a transforms.json)"
    )


def write_camera_path(path: Path, frames: CameraPathFile) -> None:
    """Writes a `camera_path.json`, which `read_camera_path` reads back and nerfstudio opens.

    Args:
      path: the file, replaced as a whole.
      frames: with a field of view, a size, and frames a second.

    Raises:
      ValueError: if one of these is None.
      OSError: if the file cannot be written.
    """
    if frames.fov is None or frames.size is None or frames.fps is None:
        raise ValueError("a camera_path.json needs a field of view, a size and frames a second")
    width, height = frames.size
    matrices = [np.vstack([pose, [0.0, 0.0, 0.0, 1.0]]).ravel().tolist() for pose in frames.poses]
    fov = [float(angle) for angle in frames.fov]
    aspect = width / height
    content = {
        "camera_type": "perspective",
        "render_height": height,
        "render_width": width,
        "fps": frames.fps,
        "seconds": len(matrices) / frames.fps,
        "is_cycle": False,
        "smoothness_value": 0.0,
        "default_fov": fov[0],
        "keyframes": [
            {"matrix": matrix, "fov": angle, "aspect": aspect}
            for matrix, angle in zip(matrices, fov, strict=True)
        ],
        "camera_path": [
            {"camera_to_world": matrix, "fov": angle, "aspect": aspect}
            for matrix, angle in zip(matrices, fov, strict=True)
        ],
    }
    atomic.write_text(path, json.dumps(content))


def applied_transform(content: Mapping[str, Any]) -> Array:
    """`[4, 4]`: what a `transforms.json` says was done to COLMAP's coordinates.

        x -> applied_scale applied_transform x

    Args:
      content: of the file.

    Raises:
      UserError: if it is no similarity.
    """
    matrix = np.eye(4)
    given = content.get("applied_transform")
    if given is not None:
        matrix[:3] = _matrix(given, "applied_transform")
    scale = finite(content.get("applied_scale", 1.0), "applied_scale")
    if not _MIN_SCALE < scale < 1 / _MIN_SCALE:
        raise UserError(f"applied_scale must be more than 0, not {scale}")
    return np.diag([scale, scale, scale, 1.0]) @ matrix


def _nerfstudio_path(path: Path, content: Mapping[str, Any]) -> CameraPathFile:
    kind = content.get("camera_type", "perspective")
    if kind != "perspective":
        raise UserError(f"{path}: camera_type {kind!r} is not drawn: choose perspective")
    frames = _frames(path, content.get("camera_path"), "camera_path")
    poses, angles = [], []
    for number, frame in enumerate(frames):
        where = f"{path}, frame {number}"
        poses.append(_matrix(frame.get("camera_to_world"), f"{where}: camera_to_world"))
        angles.append(_angle(frame.get("fov", content.get("default_fov")), where, 1.0))
    notes = []
    if any("render_time" in frame for frame in frames):
        notes.append(f"{path.name}: render_time is not used, the scene stands still")
    if content.get("crop") is not None:
        notes.append(f"{path.name}: crop is not used, the whole scene is drawn")
    return CameraPathFile(
        _checked_poses(np.stack(poses), path),
        np.array(angles),
        _size(path, content),
        _frame_rate(path, content),
        tuple(notes),
    )


def _size(path: Path, content: Mapping[str, Any]) -> tuple[int, int] | None:
    if content.get("render_width") is None or content.get("render_height") is None:
        return None
    width, height = (
        finite(content[key], f"{path}: {key}") for key in ("render_width", "render_height")
    )
    if not (1 <= width < 2**15 and 1 <= height < 2**15):
        raise UserError(f"{path}: render_width and render_height must be 1 to 32767 pixels")
    return round(width), round(height)


def _frame_rate(path: Path, content: Mapping[str, Any]) -> float | None:
    if content.get("fps") is None:
        return None
    fps = finite(content["fps"], f"{path}: fps")
    if not 0.1 <= fps <= 1000:
        raise UserError(f"{path}: fps must be 0.1 to 1000 frames a second, not {fps}")
    return fps


def _poses_only(path: Path, content: Mapping[str, Any]) -> CameraPathFile:
    """The frames of a `transforms.json`, in the order of the file."""
    poses, angles = [], []
    for number, frame in enumerate(_frames(path, content.get("frames"), "frames")):
        where = f"{path}, frame {number}"
        poses.append(_matrix(frame.get("transform_matrix"), f"{where}: transform_matrix"))
        angles.append(_vertical_angle({**content, **frame}, where))
    known = [angle for angle in angles if angle is not None]
    if known and len(known) < len(angles):
        raise UserError(f"{path}: some frames have a focal length and others have none: give all")
    return CameraPathFile(_checked_poses(np.stack(poses), path), np.array(known) if known else None)


def _vertical_angle(values: Mapping[str, Any], where: str) -> float | None:
    """The vertical field of view of a frame in degrees; None where the file does not say it."""

    def get(key: str) -> float | None:
        return None if values.get(key) is None else finite(values[key], f"{where}: {key}")

    width, height = get("w"), get("h")
    focal = get("fl_y") or get("fl_x")
    if focal and height:
        return _angle(math.degrees(2 * math.atan(0.5 * height / focal)), where, 1.0)
    if get("camera_angle_y"):
        return _angle(get("camera_angle_y"), where, 180 / math.pi)
    across = get("camera_angle_x")
    if across and width and height:
        slope = math.tan(0.5 * math.radians(_angle(across, where, 180 / math.pi)))
        return math.degrees(2 * math.atan(slope * height / width))
    return None


def _in_capture_frame(frames: CameraPathFile, path: Path, applied: Array | None) -> CameraPathFile:
    """Undoes nerfstudio's normalisation, where its record lies beside the path.

    A position x of the capture's files has become scale' T' x there. The record holds T = T' A and
    scale = scale' s, where A and s are what was applied to COLMAP's coordinates before.
    """
    record = path.parent / NERFSTUDIO_TRANSFORM
    if not record.is_file():
        return frames
    content = read_json(record)
    where = f"{record}: transform"
    rows = _checked_poses(_matrix(content.get("transform"), where)[None], record)[0]
    transform = np.vstack([rows, [0.0, 0.0, 0.0, 1.0]])
    scale = finite(content.get("scale"), f"{record}: scale")
    if not _MIN_SCALE < scale < 1 / _MIN_SCALE:
        raise UserError(f"{record} cannot be undone: its scale is {scale}, make it again")
    applied = np.eye(4) if applied is None else applied
    applied_scale = scale_of(applied)
    turned = np.diag([*[1 / applied_scale] * 3, 1.0]) @ applied
    enlarged = similarity(np.eye(3), applied_scale / scale, np.zeros(3))
    back = turned @ np.linalg.inv(transform) @ enlarged
    poses = transform_poses(back, frames.poses)
    note = f"{path.name} is read in nerfstudio's frame, because {record.name} is in the same folder"
    return dataclasses.replace(frames, poses=poses, notes=(*frames.notes, note))


def _numpy_poses(path: Path) -> Array:
    poses = read_array(path, _MAX_BYTES)
    if poses.ndim != 3 or poses.shape[1:] not in ((3, 4), (4, 4)) or not len(poses):
        raise UserError(f"{path} must be an array [n, 3, 4] or [n, 4, 4], not {list(poses.shape)}")
    if len(poses) > _MAX_FRAMES:
        raise UserError(f"{path} has more than {_MAX_FRAMES:,} frames: remove some")
    return poses[:, :3]


def _frames(path: Path, frames: Any, key: str) -> Sequence[Mapping[str, Any]]:
    if not isinstance(frames, list) or not frames:
        raise UserError(
            f"{path} has no frames in {key}: save the whole path, not only its keyframes"
        )
    if len(frames) > _MAX_FRAMES:
        raise UserError(f"{path} has more than {_MAX_FRAMES:,} frames: remove some")
    for number, frame in enumerate(frames):
        if not isinstance(frame, dict):
            raise UserError(f"{path}, frame {number} is not an object: make the file again")
    return frames


def _matrix(values: Any, where: str) -> Array:
    """`[3, 4]` of 12 or 16 numbers, in one list or in rows."""
    advice = "it must be a 4x4 camera-to-world matrix"
    rows = values if isinstance(values, list) else []
    flat = [x for row in rows for x in row] if all(isinstance(r, list) for r in rows) else rows
    if len(flat) not in (12, 16):
        raise UserError(f"{where} does not have 16 numbers: {advice}")
    numbers = [finite(value, where) for value in flat]
    return np.array(numbers[:12]).reshape(3, 4)


def _angle(value: Any, where: str, degrees: float) -> float:
    """A field of view in degrees; `degrees` are in one unit of the value."""
    if value is None:
        raise UserError(f"{where} has no fov: give the vertical field of view in degrees")
    angle = finite(value, f"{where}: field of view") * degrees
    if not 0.01 < angle < 179:
        raise UserError(f"{where}: the field of view must be 0 to 179 degrees, not {angle:.4g}")
    return angle


def _checked_poses(poses: Array, path: Path) -> Array:
    """Poses whose rotations are exact; those that are no rotations are an error."""
    if not np.isfinite(poses).all():
        raise UserError(f"{path} contains NaN or infinity: make it again")
    if np.abs(poses[:, :, 3]).max() > _MAX_POSITION:
        raise UserError(f"{path} has a position beyond {_MAX_POSITION:g}: make it again")
    rotations = poses[:, :, :3]
    bad = ~are_rotations(rotations)
    if bad.any():
        raise UserError(
            f"{path}, frame {int(np.argmax(bad))} has no rotation: its first three columns must "
            "be perpendicular unit vectors (right, up, back)"
        )
    return np.concatenate([nearest_rotations(rotations), poses[:, :, 3:]], axis=-1)
