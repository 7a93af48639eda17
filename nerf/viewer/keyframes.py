"""Keyframes become a camera path: cameras, a file, a video."""

import contextlib
import dataclasses
import itertools
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nerf.captures.camera_paths.nerfstudio import write_camera_path
from nerf.errors import UserError
from nerf.geometry.cameras import Cameras
from nerf.geometry.keyframe_paths import KeyframePath
from nerf.geometry.poses import transform_poses
from nerf.jobs.videos.frames import VideoFrames, check_visible, path_to_file
from nerf.output.images import write_sheet
from nerf.output.video import check_video_encoder, write_video
from nerf.render.images import RenderedImage
from nerf.scenes.record import SceneRecord
from nerf.viewer.cameras import PageCamera, PageFrame, unseen_pixels
from nerf.viewer.canvas import Canvas
from nerf.viewer.crop import Box
from nerf.viewer.display import depth_limits, display_image
from nerf.viewer.source import FieldSource

MIN_SIDE, MAX_SIDE = 16, 4096  # of a frame in pixels
_MAX_FRAMES = 10_000
_FOV = np.radians([1.0, 170.0])  # of a frame
_MAX_LETTERS, _MAX_BYTES = 80, 200  # of a name; a file's has 255 bytes with its ending
_NAME = re.compile(r"[\w][\w. -]*")


@dataclasses.dataclass(frozen=True)
class PathOptions:
    """How keyframes become frames.

    Attributes:
      seconds: of the video.
      fps: frames a second.
      is_loop: whether the path returns to the first keyframe.
      size: width and height of a frame in pixels.
    """

    seconds: float
    fps: float
    is_loop: bool
    size: tuple[int, int]

    @property
    def num_frames(self) -> int:
        """How many frames; at least two.

        Raises:
          UserError: if there are too many.
        """
        num = round(self.seconds * self.fps)
        if num > _MAX_FRAMES:
            raise UserError(
                f"{self.seconds:g} seconds at {self.fps:g} frames a second are {num:,} frames: at "
                f"most {_MAX_FRAMES:,} are drawn"
            )
        return max(2, num)


def default_frame_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the frames for a scene of this size, within what a video can have.

    >>> default_frame_size(8192, 6144)
    (4096, 3072)
    >>> default_frame_size(8, 6)
    (22, 16)
    """
    scale = max(min(1.0, MAX_SIDE / max(width, height)), MIN_SIDE / min(width, height))
    even_width, even_height = (2 * round(0.5 * scale * side) for side in (width, height))
    return min(even_width, MAX_SIDE), min(even_height, MAX_SIDE)


class DisplayOptions(NamedTuple):
    """What the frames of a video show; see `nerf.viewer.drawing.DrawRequest`."""

    output: str = "colour"
    limits: tuple[float, float] | None = None
    box: Box | None = None


def keyframe_cameras(
    frame: PageFrame, keyframes: Sequence[PageCamera], options: PathOptions
) -> list[Cameras]:
    """The cameras of the frames: through all keyframes in their order, each pair in equal time.

    They follow smooth curves, see `nerf.geometry.keyframe_paths`.

    Args:
      frame: of the page.
      keyframes: at least two.
      options: how many frames, and of which size.

    Raises:
      UserError: if there are fewer than two keyframes, or too many frames.
    """
    path = keyframe_path(frame, keyframes, options)
    num = options.num_frames
    # The last frame of an open path is the last keyframe; that of a loop comes before the first.
    times = path.duration * np.arange(num) / (num if options.is_loop else num - 1)
    along, angles = path.at(times)
    angles = np.clip(angles, *_FOV)  # a curve may lead beyond its keyframes
    width, height = options.size
    return [
        Cameras.pinhole(
            pose.astype(np.float32),
            focal=0.5 * height / np.tan(0.5 * angle),
            height=height,
            width=width,
            near=frame.near,
            far=frame.far,
        )
        for pose, angle in zip(along, angles, strict=True)
    ]


def keyframe_path(
    frame: PageFrame, keyframes: Sequence[PageCamera], options: PathOptions
) -> KeyframePath:
    """The path through keyframes, in scene units and radians; see `keyframe_cameras`.

    Raises:
      UserError: if there are fewer than two keyframes.
    """
    if len(keyframes) < 2:
        raise UserError("a camera path needs two keyframes or more: fly somewhere and add one")
    num_transitions = len(keyframes) - (0 if options.is_loop else 1)
    return KeyframePath(
        np.stack([frame.to_scene(stop) for stop in keyframes]).astype(np.float64),
        np.array([stop.fov for stop in keyframes], np.float64),
        np.full(num_transitions, options.seconds / num_transitions),
        options.is_loop,
    )


def save_path(
    folder: Path,
    name: str,
    record: SceneRecord,
    frame: PageFrame,
    keyframes: Sequence[PageCamera],
    options: PathOptions,
) -> Path:
    """Writes a camera path as nerfstudio's camera_path.json, in the frame of the capture's files.

    Args:
      folder, name: where to, see `claimed_file`.
      record: the scene.
      frame, keyframes, options: see `keyframe_cameras`.

    Returns:
      The file.

    Raises:
      UserError: if there are fewer than two keyframes, too many frames, one that
        `nerf.jobs.video.render_video` would refuse, or the name is not valid.
      OSError: if it cannot be written.
    """
    cameras = keyframe_cameras(frame, keyframes, options)
    every = Cameras.pinhole(
        np.stack([camera.camtoworlds for camera in cameras]),
        focal=np.array([camera.focal for camera in cameras], np.float32),
        height=cameras[0].height,
        width=cameras[0].width,
        near=frame.near,
        far=frame.far,
    )
    check_visible(record, every, "the path")
    found = keyframe_path(frame, keyframes, options)
    back = np.linalg.inv(record.capture_to_scene).astype(np.float64)
    stops = found._replace(poses=transform_poses(back, found.poses), fov=np.degrees(found.fov))
    frames = path_to_file(record, VideoFrames(cameras, options.fps), options.fps)
    with claimed_file(folder, name, ".json") as path:
        write_camera_path(path, frames, stops)
    return path


def render_path(
    folder: Path,
    name: str,
    source: FieldSource,
    cameras: Sequence[Cameras],
    fps: float,
    display: DisplayOptions,
    on_rays: Callable[[int, int], None],
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Draws a camera path as a video, under a name that no other video has or has claimed.

    Args:
      folder: where the video goes; it is made.
      name: of the video, see `check_name`.
      source: what is drawn.
      cameras: one a frame.
      fps: frames a second.
      display: what the frames show.
      on_rays: receives the number of rays that are drawn and that of all, tile by tile; what it
        raises ends the drawing, and no file is left.
      should_stop: whether `on_rays` is about to end the drawing, which does not rest then, see
        `nerf.viewer.budget`.

    Returns:
      The .mp4 file.

    Raises:
      UserError: if the name is not valid, there is no encoder, or the encoding fails; the frames
        are then kept.
      OSError: if a file cannot be written.
    """
    check_video_encoder()
    path, frames = _claimed_video(folder, name)
    files = [frames / f"frame_{index:05d}.png" for index in range(len(cameras))]
    try:
        _write_frames(files, source, cameras, display, on_rays, should_stop)
    except BaseException:
        shutil.rmtree(frames, ignore_errors=True)
        raise
    write_video(path, files, fps)
    shutil.rmtree(frames, ignore_errors=True)
    return path


def _write_frames(
    files: Sequence[Path],
    source: FieldSource,
    cameras: Sequence[Cameras],
    display: DisplayOptions,
    on_rays: Callable[[int, int], None],
    should_stop: Callable[[], bool],
) -> None:
    num_all = sum(camera.height * camera.width for camera in cameras)
    renderer, limits, done = source.renderer(display.box), display.limits, 0
    space = source.trained.needed_space()
    for file, camera in zip(files, cameras, strict=True):
        canvas = Canvas(camera)
        for index, pixels in source.tiles(renderer, camera, should_stop=should_stop):
            canvas.add(index, pixels.rgb, pixels.depth, pixels.acc)
            done += len(index)
            on_rays(done, num_all)
        if should_stop():
            on_rays(done, num_all)
        image: RenderedImage = canvas.image()
        limits = limits or depth_limits(image)
        write_sheet(
            file, display_image(image, display.output, limits, unseen_pixels(space, camera))
        )


@contextlib.contextmanager
def claimed_file(folder: Path, name: str, suffix: str) -> Iterator[Path]:
    """A new file: NAME.json, or NAME-2.json if that exists.

    It is made empty, so that no other window takes its name, and removed if the block fails.

    Args:
      folder: where the file goes; it is made.
      name: see `check_name`.
      suffix: the ending.

    Raises:
      UserError: if the name is not valid.
      OSError: if it cannot be written.
    """
    plain = check_name(name, suffix)
    folder.mkdir(parents=True, exist_ok=True)
    for file in _numbered(folder, plain, suffix):
        with contextlib.suppress(FileExistsError):
            file.touch(exist_ok=False)
            break
    try:
        yield file
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def _claimed_video(folder: Path, name: str) -> tuple[Path, Path]:
    """A new video, and the folder of its frames, which claims the name."""
    plain = check_name(name, ".mp4")
    folder.mkdir(parents=True, exist_ok=True)
    for file in _numbered(folder, plain, ".mp4"):
        frames = file.with_name(f"{file.stem}-frames")
        if file.exists():
            continue
        with contextlib.suppress(FileExistsError):
            frames.mkdir()
            if not file.exists():  # another window may have finished it in between
                return file, frames
            frames.rmdir()
    raise AssertionError("the numbers never end")


def _numbered(folder: Path, plain: str, suffix: str) -> Iterator[Path]:
    """NAME.json, NAME-2.json, NAME-3.json, ..."""
    yield folder / f"{plain}{suffix}"
    for number in itertools.count(2):
        yield folder / f"{plain}-{number}{suffix}"


def check_name(name: str, suffix: str) -> str:
    """The name of a file without its ending.

    Raises:
      UserError: if it is not valid, or leads to another folder.
    """
    plain = name.strip().removesuffix(suffix).strip()
    if len(plain) > _MAX_LETTERS or len(plain.encode(errors="replace")) > _MAX_BYTES:
        raise UserError(
            f"the name has {len(plain)} letters, too many for a file: give at most {_MAX_LETTERS}, "
            "or fewer where they are not Latin"
        )
    if not _NAME.fullmatch(plain) or plain.endswith("."):
        raise UserError(
            f"{name!r} is not a valid file name: use letters, digits, spaces, points, - and _"
        )
    return plain
