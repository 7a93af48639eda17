"""A camera path that the page has saved, opened again: its keyframes and controls."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nerf.captures.camera_paths.nerfstudio import CAPTURE_FRAME, read_keyframes
from nerf.captures.camera_paths.values import frame_rate_of, frames_of, size_of
from nerf.errors import UserError
from nerf.geometry.poses import transform_poses
from nerf.scenes.record import SceneRecord
from nerf.viewer.cameras import PageCamera, PageFrame
from nerf.viewer.keyframes import PathOptions

_MAX_KEYFRAMES = 200  # each is an object of the page


class LoadedPath(NamedTuple):
    """The content of a file.

    Attributes:
      keyframes: of the page.
      options: how they become frames; each pair in equal time, whatever the file says.
    """

    keyframes: list[PageCamera]
    options: PathOptions


def load_path(
    name: str, content: bytes, record: SceneRecord, frame: PageFrame, defaults: PathOptions
) -> LoadedPath:
    """Reads a path that `nerf.viewer.keyframes.save_path` has written.

    Args:
      name: of the file, for messages.
      content: of the file.
      record: the scene.
      frame: of the page.
      defaults: where the file says neither a size nor frames a second.

    Raises:
      UserError: if it is damaged, in another frame than the capture's, or has too many keyframes.
    """
    path, values = Path(name), _parsed(name, content)
    if values.get("frame") != CAPTURE_FRAME:
        raise UserError(f"{name} was not saved by this page: only its own paths can be opened")
    keyframe_values = frames_of(path, values.get("keyframes"), "keyframes")
    if len(keyframe_values) > _MAX_KEYFRAMES:
        raise UserError(
            f"{name} has {len(keyframe_values):,} keyframes: at most {_MAX_KEYFRAMES} "
            "can be changed here"
        )
    found = read_keyframes(path, values, keyframe_values)
    width, height = size_of(path, values) or defaults.size
    fps = frame_rate_of(path, values) or defaults.fps
    poses = transform_poses(record.capture_to_scene, found.poses)
    keyframes = [
        PageCamera(*frame.to_page(pose), float(np.radians(angle)), width, height)
        for pose, angle in zip(poses, found.fov, strict=True)
    ]
    return LoadedPath(keyframes, PathOptions(found.duration, fps, found.is_loop, (width, height)))


def _parsed(name: str, content: bytes) -> dict[str, Any]:
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{name} is not valid JSON: give a path that this page has saved"
        ) from error
    if not isinstance(values, dict):
        raise UserError(f"{name} holds no JSON object: give a path that this page has saved")
    return values
