"""What files of camera paths hold: matrices, fields of view, lists of frames; checked."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerf.captures.capture import Array
from nerf.captures.json_files.values import finite
from nerf.errors import UserError
from nerf.geometry.poses import are_rotations, nearest_rotations

MAX_FRAMES = 100_000
_MAX_POSITION = 1e12  # in the files' unit
_SAME_ASPECT = 0.01  # of two aspects that differ by less


@dataclasses.dataclass(frozen=True)
class CameraPathFile:
    """The frames of a video.

    Attributes:
      poses: `[num_frames, 3, 4]`, in the frame and the unit of the capture's files.
      fov: `[num_frames]`, vertical field of view in degrees; None where the file has none.
      size: width and height of the frames in pixels; None where the file has none.
      fps: frames a second; None where the file has none.
      notes: for the user, one sentence each.
      horizontal_fov: `[num_frames]`, horizontal field of view in degrees, where the file has no
        size that makes it the vertical one; else None.
      aspect: width of a frame over its height; None where the file does not say it.
    """

    poses: Array
    fov: Array | None = None
    size: tuple[int, int] | None = None
    fps: float | None = None
    notes: tuple[str, ...] = ()
    horizontal_fov: Array | None = None
    aspect: float | None = None


def frames_of(path: Path, frames: Any, key: str) -> Sequence[Mapping[str, Any]]:
    """The list of frames that a file has under a key; anything else is an error."""
    if not isinstance(frames, list) or not frames:
        raise UserError(f"{path} has no frames in {key}: make the file again")
    if len(frames) > MAX_FRAMES:
        raise UserError(f"{path} has more than {MAX_FRAMES:,} frames: remove some")
    for number, frame in enumerate(frames):
        if not isinstance(frame, dict):
            raise UserError(f"{path}, frame {number} is not an object: make the file again")
    return frames


def matrix_of(values: Any, where: str) -> Array:
    """`[3, 4]` of 12 or 16 numbers, in one list or in rows."""
    advice = "it must be a 4x4 camera-to-world matrix"
    rows = values if isinstance(values, list) else []
    flat = [x for row in rows for x in row] if all(isinstance(r, list) for r in rows) else rows
    if len(flat) not in (12, 16):
        raise UserError(f"{where} does not have 16 numbers: {advice}")
    numbers = [finite(value, where) for value in flat]
    if len(flat) == 16:
        check_last_rows(np.array(numbers[12:]), where)
    return np.array(numbers[:12]).reshape(3, 4)


def check_last_rows(rows: Array, where: str) -> None:
    """Raises a UserError unless the last rows `[..., 4]` of 4x4 matrices are 0, 0, 0, 1."""
    if not np.allclose(rows, (0.0, 0.0, 0.0, 1.0), atol=1e-3):
        raise UserError(
            f"{where}: the last row of a camera-to-world matrix is 0, 0, 0, 1: if the position is "
            "in it, transpose the matrix"
        )


def true_or_false(value: Any, where: str) -> bool:
    """A truth value, also as a number or a word; a missing one is False."""
    known = {"": False, "0": False, "false": False, "none": False, "1": True, "true": True}
    word = str("" if value is None else value).strip().lower()
    if word not in known:
        raise UserError(f"{where} must be true or false, not {str(value)[:50]!r}")
    return known[word]


def angle_of(value: Any, where: str, degrees: float) -> float:
    """A field of view in degrees; one unit of the value has `degrees` degrees."""
    if value is None:
        raise UserError(f"{where} has no fov: give the vertical field of view in degrees")
    angle = finite(value, f"{where}: field of view") * degrees
    if not 0.01 < angle < 179:
        raise UserError(f"{where}: the field of view must be 0 to 179 degrees, not {angle:.4g}")
    return angle


def checked_poses(poses: Array, path: Path, word: str = "frame") -> Array:
    """Poses whose rotations are exact; matrices that are not rotations are an error.

    Args:
      poses: `[num_frames, 3, 4]`.
      path: the file, and `word`, what it calls one of them: for the message.
    """
    if not np.isfinite(poses).all():
        raise UserError(f"{path} contains NaN or infinity: make it again")
    if np.abs(poses[:, :, 3]).max() > _MAX_POSITION:
        raise UserError(f"{path} has a position beyond {_MAX_POSITION:g}: make it again")
    rotations = poses[:, :, :3]
    bad = ~are_rotations(rotations)
    if bad.any():
        raise UserError(
            f"{path}, {word} {int(np.argmax(bad))} has no rotation: its first three columns must "
            "be perpendicular unit vectors (right, up, back)"
        )
    return np.concatenate([nearest_rotations(rotations), poses[:, :, 3:]], axis=-1)


def size_of(path: Path, content: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height of the frames; None where the file has none."""
    if content.get("render_width") is None or content.get("render_height") is None:
        return None
    width, height = (
        finite(content[key], f"{path}: {key}") for key in ("render_width", "render_height")
    )
    if not (1 <= width < 2**15 and 1 <= height < 2**15):
        raise UserError(f"{path}: render_width and render_height must be 1 to 32767 pixels")
    return round(width), round(height)


def aspect_of(path: Path, frames: Sequence[Mapping[str, Any]]) -> float | None:
    """Width over height, which all frames of a video share; None where no frame says it."""
    found = [
        finite(frame["aspect"], f"{path}, frame {number}: aspect")
        for number, frame in enumerate(frames)
        if frame.get("aspect") is not None
    ]
    if not found:
        return None
    low, high = min(found), max(found)
    if not low >= 0.01 or high > 100:
        raise UserError(f"{path} has aspects from {low:g} to {high:g}: give 0.01 to 100")
    if high > (1 + _SAME_ASPECT) * low:
        raise UserError(
            f"{path} has aspects from {low:g} to {high:g}: all frames of a video have one size, so "
            "give all the same aspect"
        )
    return found[0]


def frame_rate_of(path: Path, content: Mapping[str, Any]) -> float | None:
    """Frames a second; None where the file has none."""
    if content.get("fps") is None:
        return None
    fps = finite(content["fps"], f"{path}: fps")
    if not 0.1 <= fps <= 1000:
        raise UserError(f"{path}: fps must be 0.1 to 1000 frames a second, not {fps}")
    return fps
