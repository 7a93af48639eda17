"""nerfstudio's camera_path.json: frames or keyframes, read and written.

    camera_path   the frames: pose, vertical field of view in degrees
    keyframes     what they were made from; read where there are no frames
    frame         this program's own key: `capture`, where poses are in the frame of the capture's
                  files. nerfstudio's viewer writes no such key, and poses in its own normalised
                  frame; `dataparser_transforms.json` of its run has the way there, which is undone.

Source: nerfstudio `viewer/render_panel.py` (writes and reads the file), `camera_paths.py`
(`get_path_from_json`) and `nerfstudio_dataparser.py`.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nerf.captures.camera_paths.values import (
    MAX_FRAMES,
    CameraPathFile,
    angle_of,
    aspect_of,
    checked_poses,
    frame_rate_of,
    frames_of,
    matrix_of,
    size_of,
    true_or_false,
)
from nerf.captures.capture import Array
from nerf.captures.json_files.values import finite
from nerf.captures.safe_files.reading import read_json_object
from nerf.errors import UserError
from nerf.geometry.poses import scale_of, similarity, transform_poses
from nerf.runtime import atomic

if TYPE_CHECKING:
    from nerf.geometry.keyframe_paths import KeyframePath

NERFSTUDIO_TRANSFORM = "dataparser_transforms.json"
CAPTURE_FRAME = "capture"
_COORDINATES = "coordinates and unit of length of the capture's own files; right, up, back"
_FPS, _TRANSITION_SECONDS = 30.0, 0.5  # of files that do not say them, as in nerfstudio
_MIN_SECONDS, _MAX_SECONDS = 1e-3, 1e6
_MIN_SCALE = 1e-9


def is_nerfstudio_path(content: Mapping[str, Any]) -> bool:
    """Whether a JSON file is a camera_path.json."""
    return "camera_path" in content or "keyframes" in content


def read_nerfstudio_path(path: Path, content: Mapping[str, Any]) -> CameraPathFile:
    """The frames of a camera_path.json, in the frame of the file, see `in_capture_frame`.

    Raises:
      UserError: if it is damaged, or has cameras that are not drawn.
    """
    kind = content.get("camera_type") or "perspective"
    if kind != "perspective":
        raise UserError(f"{path}: camera_type {kind!r} is not drawn: choose perspective")
    size, fps = size_of(path, content), frame_rate_of(path, content)
    notes = []
    if content.get("camera_path") or not content.get("keyframes"):
        frames = frames_of(path, content.get("camera_path"), "camera_path")
        poses, angles = _cameras(path, frames, "camera_to_world", "frame", content)
    else:
        frames = frames_of(path, content["keyframes"], "keyframes")
        fps = fps or _FPS
        poses, angles = _interpolated(path, content, frames, fps)
        notes.append(
            f"{path.name} holds no frames: {len(poses)} are interpolated between its "
            f"{len(frames)} keyframes"
        )
    if any("render_time" in frame for frame in frames):
        notes.append(f"{path.name}: render_time is not used, the scene stands still")
    if content.get("crop") is not None:
        notes.append(f"{path.name}: crop is not used, the whole scene is drawn")
    aspect = aspect_of(path, frames) if size is None else None
    return CameraPathFile(poses, angles, size, fps, tuple(notes), aspect=aspect)


def write_camera_path(
    path: Path, frames: CameraPathFile, keyframes: "KeyframePath | None" = None
) -> None:
    """Writes a camera_path.json, which `read_camera_path` reads back and nerfstudio opens.

    Args:
      path: the file, replaced as a whole.
      frames: with a field of view, a size, and frames a second.
      keyframes: what the frames were made from, with the field of view in degrees; None where every
        frame is one.

    Raises:
      ValueError: if one of these is None.
      OSError: if the file cannot be written.
    """
    if frames.fov is None or frames.size is None or frames.fps is None:
        raise ValueError("a camera_path.json needs a field of view, a size and frames a second")
    width, height = frames.size
    aspect = width / height
    stops, angles, seconds = frames.poses, frames.fov, np.full(len(frames.poses), 1.0 / frames.fps)
    if keyframes is not None:
        stops, angles, seconds = keyframes.poses, keyframes.fov, keyframes.seconds
    is_loop = keyframes is not None and keyframes.is_loop
    # Of each keyframe the seconds before it; those of a loop's last transition are with its first.
    before = np.roll(seconds, 1) if is_loop else np.concatenate([seconds[:1], seconds])
    usual = float(seconds[0])
    content = {
        "frame": CAPTURE_FRAME,
        "coordinates": _COORDINATES,
        "camera_type": "perspective",
        "render_height": height,
        "render_width": width,
        "fps": frames.fps,
        "seconds": len(frames.poses) / frames.fps,
        "is_cycle": is_loop,
        "smoothness_value": 0.0 if keyframes is None else keyframes.tension,
        "default_fov": float(angles[0]),
        "default_transition_sec": usual,
        "keyframes": [
            {
                "matrix": _numbers(pose),
                "fov": float(angle),
                "aspect": aspect,
                "override_transition_enabled": bool(abs(time - usual) > 1e-9),
                "override_transition_sec": float(time),
            }
            for pose, angle, time in zip(stops, angles, before, strict=False)
        ],
        "camera_path": [
            {"camera_to_world": _numbers(pose), "fov": float(angle), "aspect": aspect}
            for pose, angle in zip(frames.poses, frames.fov, strict=True)
        ],
    }
    atomic.write_text(path, json.dumps(content))


def _numbers(pose: Array) -> list[float]:
    """The 16 numbers of a matrix 4x4, row by row."""
    numbers: list[float] = np.vstack([pose, [0.0, 0.0, 0.0, 1.0]]).ravel().tolist()
    return numbers


def _cameras(
    path: Path,
    frames: Sequence[Mapping[str, Any]],
    key: str,
    word: str,
    content: Mapping[str, Any],
) -> tuple[Array, Array]:
    """Poses `[num_frames, 3, 4]` and vertical fields of view `[num_frames]` in degrees."""
    poses, angles = [], []
    for number, frame in enumerate(frames):
        where = f"{path}, {word} {number}"
        poses.append(matrix_of(frame.get(key), f"{where}: {key}"))
        angle = frame.get("fov")
        angle = content.get("default_fov") if angle is None else angle
        angles.append(angle_of(angle, where, 1.0))
    return checked_poses(np.stack(poses), path, word), np.array(angles)


def _interpolated(
    path: Path, content: Mapping[str, Any], frames: Sequence[Mapping[str, Any]], fps: float
) -> tuple[Array, Array]:
    """Poses and fields of view of the frames between keyframes, as nerfstudio makes them."""
    made = read_keyframes(path, content, frames)
    num_frames = int(made.duration * fps + 1e-6)
    if not 1 <= num_frames <= MAX_FRAMES:
        raise UserError(
            f"{path} lasts {made.duration:g} s, which is {num_frames:,} frames at {fps:g} frames a "
            f"second: 1 to {MAX_FRAMES:,} are drawn"
        )
    found, angles = made.at(made.duration * np.arange(num_frames) / num_frames)
    return found, np.clip(angles, 0.1, 178.0)  # a spline may lead beyond its keyframes


def read_keyframes(
    path: Path, content: Mapping[str, Any], frames: Sequence[Mapping[str, Any]]
) -> "KeyframePath":
    """The keyframes of a camera_path.json, in the frame of the file; angles in degrees.

    Args:
      path: the file, for messages.
      content: of the file.
      frames: its entry `keyframes`, see `frames_of`.

    Raises:
      UserError: if they are damaged, or fewer than two.
    """
    from nerf.geometry.keyframe_paths import KeyframePath  # it imports SciPy, which takes long

    if len(frames) < 2:
        raise UserError(f"{path} has one keyframe, and a path needs two: add one")
    poses, fov = _cameras(path, frames, "matrix", "keyframe", content)
    is_loop = true_or_false(content.get("is_cycle"), f"{path}: is_cycle")
    tension = finite(content.get("smoothness_value") or 0.0, f"{path}: smoothness_value")
    if not 0.0 <= tension <= 1.0:
        raise UserError(f"{path}: smoothness_value must be 0 to 1, not {tension:g}")
    seconds = _transitions(path, content, frames, is_loop=is_loop)
    return KeyframePath(poses, fov, seconds, is_loop, tension)


def _transitions(
    path: Path,
    content: Mapping[str, Any],
    frames: Sequence[Mapping[str, Any]],
    *,
    is_loop: bool,
) -> Array:
    """Seconds from each keyframe to the next, and in a loop from the last to the first."""
    numbers = [*range(1, len(frames)), *([0] if is_loop else [])]
    usual = content.get("default_transition_sec")
    if usual is None and content.get("seconds") is not None:  # files of older versions
        usual = finite(content["seconds"], f"{path}: seconds") / len(numbers)
    if usual is None:
        usual = _TRANSITION_SECONDS
    seconds = []
    for number in numbers:
        own = frames[number].get("override_transition_sec")
        where = f"{path}, keyframe {number}: the transition"
        enabled = frames[number].get("override_transition_enabled")
        is_own = own is not None and true_or_false(enabled, f"{where}: override_transition_enabled")
        value = finite(own if is_own else usual, where)
        if not _MIN_SECONDS <= value <= _MAX_SECONDS:
            raise UserError(
                f"{where} must take {_MIN_SECONDS:g} to {_MAX_SECONDS:,.0f} seconds, not {value:g}"
            )
        seconds.append(value)
    return np.array(seconds)


def in_capture_frame(
    frames: CameraPathFile,
    path: Path,
    frame_name: Any,
    applied: Array | None,
    transform: Path | None,
) -> CameraPathFile:
    """Undoes nerfstudio's normalisation, where its record is named or lies beside the path.

    A position x of the capture's files has become scale' T' x there. The record holds T = T' A and
    scale = scale' s, where A and s are what was applied to COLMAP's coordinates before.

    Args:
      frames: in the frame of the file.
      path: the file.
      frame_name: its description of its frame.
      applied: `[4, 4]`, A and s; None for none.
      transform: the record; None means the one in the folder of the path, if it is there.

    Raises:
      UserError: if the record is damaged, or the path needs none.
    """
    if frame_name not in (None, CAPTURE_FRAME):
        raise UserError(
            f"{path} is in the frame {str(frame_name)[:50]!r}: only {CAPTURE_FRAME} is known, or "
            "no frame for a file of nerfstudio's viewer"
        )
    if frame_name == CAPTURE_FRAME:
        if transform is not None:
            raise UserError(
                f"{path} says that it is in the frame of the capture's files: leave out "
                f"`nerfstudio_transform={transform}`"
            )
        return frames
    record = transform or path.parent / NERFSTUDIO_TRANSFORM
    if transform is None and not record.is_file():
        note = (
            f"{path.name} does not say its frame, so it is read in that of the capture's files; if "
            f"nerfstudio's viewer wrote it, give the {record.name} of that run as "
            "`nerfstudio_transform`"
        )
        return dataclasses.replace(frames, notes=(*frames.notes, note))
    if not record.is_file():
        raise UserError(
            f"`nerfstudio_transform={record}` is not a file: give the {NERFSTUDIO_TRANSFORM} of "
            "the "
            "nerfstudio run"
        )
    transformed = transform_poses(_way_back(record, applied), frames.poses)
    note = f"{path.name} is read in nerfstudio's frame, which {record.name} describes"
    return dataclasses.replace(frames, poses=transformed, notes=(*frames.notes, note))


def _way_back(record: Path, applied: Array | None) -> Array:
    """`[4, 4]`, from nerfstudio's frame to that of the capture's files."""
    content = read_json_object(record)
    where = f"{record}: transform"
    rows = checked_poses(matrix_of(content.get("transform"), where)[None], record)[0]
    transform = np.vstack([rows, [0.0, 0.0, 0.0, 1.0]])
    scale = finite(content.get("scale"), f"{record}: scale")
    if not _MIN_SCALE < scale < 1 / _MIN_SCALE:
        raise UserError(f"{record} cannot be undone: its scale is {scale}, make it again")
    applied = np.eye(4) if applied is None else applied
    applied_scale = scale_of(applied)
    turned = np.diag([*[1 / applied_scale] * 3, 1.0]) @ applied
    enlarged = similarity(np.eye(3), applied_scale / scale, np.zeros(3))
    return np.asarray(turned @ np.linalg.inv(transform) @ enlarged)


def applied_transform(content: Mapping[str, Any]) -> Array:
    """`[4, 4]`: the transform of COLMAP's coordinates that a `transforms.json` records.

        x -> applied_scale applied_transform x

    Args:
      content: of the file.

    Raises:
      UserError: if it is not a similarity transform.
    """
    matrix = np.eye(4)
    given = content.get("applied_transform")
    if given is not None:
        matrix[:3] = matrix_of(given, "applied_transform")
    scale = finite(content.get("applied_scale", 1.0), "applied_scale")
    if not _MIN_SCALE < scale < 1 / _MIN_SCALE:
        raise UserError(f"applied_scale must be more than 0, not {scale}")
    return np.diag([scale, scale, scale, 1.0]) @ matrix
