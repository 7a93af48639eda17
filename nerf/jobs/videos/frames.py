"""The cameras of a video's frames: of a path with a name, of a file, or of the training views."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.captures.camera_paths import files as camera_path_files
from nerf.captures.camera_paths.nerfstudio import applied_transform
from nerf.captures.camera_paths.values import CameraPathFile
from nerf.captures.readers import transforms
from nerf.captures.safe_files.reading import read_json_object
from nerf.errors import UserError
from nerf.geometry.camera_paths import GIVEN, PATHS, path_cameras
from nerf.geometry.cameras import Cameras
from nerf.geometry.lenses import Lens
from nerf.geometry.ndc import NDC, NEAR_PLANE
from nerf.geometry.poses import transform_poses
from nerf.geometry.upright import upright_cameras
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene

TRAINING = "training"  # the path through the training views, in their order
KNOWN_PATHS = (*sorted(PATHS), TRAINING, GIVEN)
NUM_FRAMES = 30  # of a path that has a name
_MIN_FORWARD = 0.1  # the least component along -z of a ray that NDC can show
_MAX_SIDE, _MAX_PIXELS = 16384, 2**25  # of a frame; more no encoder takes


class VideoFrames(NamedTuple):
    """What a video shows.

    Attributes:
      cameras: one for each frame, of one size.
      fps: frames a second; None leaves it to the video.
      notes: for the user, one sentence each.
    """

    cameras: list[Cameras]
    fps: float | None = None
    notes: tuple[str, ...] = ()


def check_path(camera_path: str | Path | None, nerfstudio_transform: Path | None = None) -> None:
    """Refuses a path that is neither known nor a file that can be read.

    Args:
      camera_path, nerfstudio_transform: see `video_frames`.

    Raises:
      UserError: with the known paths, or what is wrong with the file.
    """
    if camera_path is not None and camera_path not in KNOWN_PATHS:
        _read(camera_path, None, nerfstudio_transform)
    elif nerfstudio_transform is not None:
        raise UserError(
            f"`nerfstudio_transform={nerfstudio_transform}` is for the file of a `camera_path`: "
            "give one, or leave it out"
        )


def video_frames(
    record: SceneRecord,
    camera_path: str | Path | None,
    *,
    num_frames: int | None = None,
    size: tuple[int, int] | None = None,
    folder: Path | None = None,
    nerfstudio_transform: Path | None = None,
) -> VideoFrames:
    """The cameras of a video's frames.

    Args:
      record: the scene.
      camera_path: a name of `KNOWN_PATHS`, or a file that `nerf.captures.camera_paths.files` reads;
        None means what suits the cameras.
      num_frames: number of frames; None means `NUM_FRAMES`, and all of a file or of the training
        views. Fewer than these are chosen evenly, and the video lasts as long.
      size: width and height in pixels; None means those of the file, else the scene's own.
      folder: of the capture, whose `transforms.json` may say what was done to COLMAP's coordinates.
      nerfstudio_transform: the `dataparser_transforms.json` of the nerfstudio run whose viewer
        wrote the file; None means the one beside it, if it is there.

    Raises:
      UserError: if there is no such path, the file is damaged, or the space of the field cannot
        show its frames.
    """
    if nerfstudio_transform is not None and (camera_path is None or camera_path in KNOWN_PATHS):
        check_path(camera_path, nerfstudio_transform)
    cameras = upright_cameras(record.cameras)
    own_size = (cameras.width, cameras.height)
    name = camera_path or default_path(record)
    if name == TRAINING:
        if not record.split.train:
            raise UserError("the scene has no training view, whose poses `camera_path` asks for")
        along = [_with_size(cameras[index], size or own_size) for index in record.split.train]
        return VideoFrames(_evenly_chosen(along, num_frames))
    if name in (*PATHS, GIVEN):
        count = NUM_FRAMES if num_frames is None else num_frames
        width, height = size or own_size
        path = path_cameras(str(name), record.cameras, count, record.path_poses).resized(
            height, width
        )
        return VideoFrames([path[index] for index in range(count)])
    found = _read(name, _applied_transform(folder), nerfstudio_transform)
    size = size or found.size or _with_aspect(own_size, found.aspect)
    if max(size) > _MAX_SIDE or size[0] * size[1] > _MAX_PIXELS:
        raise UserError(
            f"{name} asks for frames of {size[0]}x{size[1]}, and at most {_MAX_PIXELS} pixels are "
            "drawn: give `size`"
        )
    from_file = _file_cameras(record, found, size)
    check_visible(record, from_file, str(name))
    chosen = _evenly_chosen([from_file[index] for index in range(len(found.poses))], num_frames)
    fps = None if found.fps is None else found.fps * len(chosen) / len(found.poses)
    return VideoFrames(chosen, fps, found.notes)


def default_path(scene: Scene | SceneRecord) -> str:
    """The camera path of a scene: along its own poses without images, or what suits its cameras."""
    if scene.path_poses is not None:
        return GIVEN
    return scene.space.default_camera_path(np.asarray(scene.cameras.camtoworlds, np.float32))


def path_to_file(record: SceneRecord, frames: VideoFrames, default_fps: float) -> CameraPathFile:
    """The frames of a video in the frame of the capture's files, for `write_camera_path`.

    Args:
      record: the scene.
      frames: from `video_frames`.
      default_fps: frames a second, where `frames` do not say it.
    """
    poses = np.stack([camera.camtoworlds for camera in frames.cameras]).astype(np.float64)
    height, width = frames.cameras[0].height, frames.cameras[0].width
    focal = np.array([_vertical_focal(camera) for camera in frames.cameras])
    back = np.linalg.inv(record.capture_to_scene).astype(np.float64)
    return CameraPathFile(
        poses=transform_poses(back, poses),
        fov=np.degrees(2 * np.arctan(0.5 * height / focal)),
        size=(width, height),
        fps=frames.fps or default_fps,
    )


def _vertical_focal(camera: Cameras) -> float:
    return float(camera.focal if camera.lens is None else np.asarray(camera.lens.focal)[1])


def _with_aspect(size: tuple[int, int], aspect: float | None) -> tuple[int, int]:
    """Width and height with another aspect ratio and about the same number of pixels.

    >>> _with_aspect((40, 30), 1.0), _with_aspect((40, 30), None)
    ((35, 35), (40, 30))
    """
    if aspect is None:
        return size
    height = (size[0] * size[1] / aspect) ** 0.5
    return max(1, round(aspect * height)), max(1, round(height))


def _read(
    camera_path: str | Path,
    applied: npt.NDArray[np.float64] | None,
    nerfstudio_transform: Path | None,
) -> CameraPathFile:
    path = Path(camera_path).expanduser()
    if not path.is_file():
        is_named = path.suffix.lower() in (".json", ".npy")
        other = "a file that is there" if is_named else "a .json or .npy file"
        raise UserError(
            f"no camera path {str(camera_path)!r}: choose one of {', '.join(KNOWN_PATHS)}, or give "
            f"{other}"
        )
    transform = None if nerfstudio_transform is None else nerfstudio_transform.expanduser()
    return camera_path_files.read_camera_path(path, applied, nerfstudio_transform=transform)


def _applied_transform(folder: Path | None) -> npt.NDArray[np.float64] | None:
    file = None if folder is None else folder / transforms.NERFSTUDIO_FILE
    if file is None or not file.is_file():
        return None
    return applied_transform(read_json_object(file))


def _file_cameras(record: SceneRecord, found: CameraPathFile, size: tuple[int, int]) -> Cameras:
    """Cameras `[num_frames]` in scene units, with the principal point where the scene's own
    pinhole cameras have it.
    """
    width, height = size
    poses = transform_poses(record.capture_to_scene, found.poses).astype(np.float32)
    cameras = record.cameras.at(poses).resized(height, width)
    if found.fov is not None:
        focal = 0.5 * height / np.tan(0.5 * np.radians(found.fov))
        cameras = dataclasses.replace(cameras, focal=focal.astype(np.float32))
    elif found.horizontal_fov is not None:
        focal = 0.5 * width / np.tan(0.5 * np.radians(found.horizontal_fov))
        cameras = dataclasses.replace(cameras, focal=focal.astype(np.float32))
    if record.cameras.lens is None:
        return cameras
    focal = np.asarray(cameras.focal, np.float32)
    centre = np.broadcast_to(
        np.array([0.5 * width - 0.5, 0.5 * height - 0.5], np.float32), (len(focal), 2)
    )
    return dataclasses.replace(cameras, lens=Lens(np.stack([focal, focal], -1), centre))


def _with_size(camera: Cameras, size: tuple[int, int]) -> Cameras:
    """A camera as it is, or a pinhole camera of another size at its place."""
    width, height = size
    if (camera.width, camera.height) == size:
        return camera
    return camera.resized(height, width)


def _evenly_chosen(cameras: list[Cameras], num_frames: int | None) -> list[Cameras]:
    """At most `num_frames`, evenly chosen."""
    if num_frames is None or num_frames >= len(cameras):
        return cameras
    return [cameras[i] for i in np.linspace(0, len(cameras) - 1, num_frames).round().astype(int)]


def check_visible(record: SceneRecord, cameras: Cameras, name: str) -> None:
    """Refuses frames that NDC cannot show: it knows only what is in front of the cameras.

    Args:
      record: the scene.
      cameras: `[num_frames]`, without lenses.
      name: of the path, for the message.

    Raises:
      UserError: with the number of the frame.
    """
    if record.space.name != NDC.name:
        return
    poses = np.asarray(cameras.camtoworlds, np.float64)
    slopes = 0.5 * np.array([cameras.width, cameras.height]) / np.asarray(cameras.focal)[:, None]
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    local = np.concatenate(
        [slopes[:, None] * signs, np.full((len(poses), len(signs), 1), -1.0)], axis=-1
    )
    directions = np.einsum("nij,ncj->nci", poses[:, :, :3], local)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    is_bad = (directions[..., 2] > -_MIN_FORWARD).any(axis=1) | (poses[:, 2, 3] <= -NEAR_PLANE)
    if is_bad.any():
        raise UserError(
            f"frame {int(np.argmax(is_bad))} of {name} looks aside or stands in the scene, which a "
            'field in the space ndc cannot show: train with `space="contracted"`'
        )
