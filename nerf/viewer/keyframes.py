"""Keyframes become a camera path: cameras, a file, a video."""

import dataclasses
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nerf.captures.camera_path_files import write_camera_path
from nerf.errors import UserError
from nerf.geometry.camera_paths import interpolate
from nerf.geometry.cameras import Cameras
from nerf.jobs.video_frames import VideoFrames, path_to_file
from nerf.output.images import write_sheet
from nerf.output.video import check_video_encoder, write_video
from nerf.render.images import RenderedImage
from nerf.scenes.record import SceneRecord
from nerf.viewer.cameras import PageCamera, PageFrame
from nerf.viewer.canvas import Canvas
from nerf.viewer.crop import Box
from nerf.viewer.shown import depth_limits, shown
from nerf.viewer.source import FieldSource

MIN_SIDE, MAX_SIDE = 16, 4096  # of a frame in pixels
_MAX_FRAMES = 10_000
_NAME = re.compile(r"[\w][\w. -]{0,79}")


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
        return min(max(2, round(self.seconds * self.fps)), _MAX_FRAMES)


def usual_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the frames for a scene of this size, within what a video can have.

    >>> usual_size(8192, 6144)
    (4096, 3072)
    >>> usual_size(8, 6)
    (22, 16)
    """
    scale = max(min(1.0, MAX_SIDE / max(width, height)), MIN_SIDE / min(width, height))
    across, down = (2 * round(0.5 * scale * side) for side in (width, height))
    return min(across, MAX_SIDE), min(down, MAX_SIDE)


class Look(NamedTuple):
    """What the frames of a video show; see `nerf.viewer.drawing.Wanted`."""

    show: str = "colour"
    limits: tuple[float, float] | None = None
    box: Box | None = None


def path_cameras(
    frame: PageFrame, keyframes: Sequence[PageCamera], options: PathOptions
) -> list[Cameras]:
    """The cameras of the frames: through all keyframes in their order, each pair in equal time.

    Positions follow a curve without corners, see `nerf.geometry.camera_paths.interpolate`; the
    camera turns, and its field of view changes, at a constant rate between two keyframes.

    Args:
      frame: of the page.
      keyframes: at least two.
      options: how many frames, and of which size.

    Raises:
      UserError: if there are fewer than two keyframes.
    """
    if len(keyframes) < 2:
        raise UserError("a camera path needs two keyframes or more: fly somewhere and add one")
    stops = [*keyframes, keyframes[0]] if options.is_loop else list(keyframes)
    num_frames = options.num_frames + (1 if options.is_loop else 0)  # the last is the first again
    poses = np.stack([frame.to_scene(stop) for stop in stops])
    no_bounds = np.zeros((len(stops), 2), np.float32)
    along = interpolate(poses, no_bounds, num_frames)[: options.num_frames]
    times = np.linspace(0.0, len(stops) - 1, num_frames)[: options.num_frames]
    angles = np.interp(times, np.arange(len(stops)), [stop.fov for stop in stops])
    width, height = options.size
    return [
        Cameras.pinhole(
            pose,
            focal=0.5 * height / np.tan(0.5 * angle),
            height=height,
            width=width,
            near=frame.near,
            far=frame.far,
        )
        for pose, angle in zip(along, angles, strict=True)
    ]


def save_path(path: Path, record: SceneRecord, cameras: Sequence[Cameras], fps: float) -> None:
    """Writes a camera path as nerfstudio's camera_path.json, in the frame of the capture's files.

    Raises:
      OSError: if it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_camera_path(path, path_to_file(record, VideoFrames(list(cameras), fps), fps))


def render_path(
    path: Path,
    source: FieldSource,
    cameras: Sequence[Cameras],
    fps: float,
    look: Look,
    on_rays: Callable[[int, int], None],
) -> None:
    """Draws a camera path as a video.

    Args:
      path: the .mp4 file to write.
      source: what is drawn.
      cameras: one a frame.
      fps: frames a second.
      look: what the frames show.
      on_rays: receives the number of rays that are drawn and that of all, tile by tile; what it
        raises ends the drawing, and no file is left.

    Raises:
      UserError: if there is no encoder, or the encoding fails; the frames are then kept.
      OSError: if a file cannot be written.
    """
    check_video_encoder()
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{path.stem}-frames-", dir=path.parent))
    files = [folder / f"frame_{index:05d}.png" for index in range(len(cameras))]
    try:
        _write_frames(files, source, cameras, look, on_rays)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    write_video(path, files, fps)
    shutil.rmtree(folder, ignore_errors=True)


def _write_frames(
    files: Sequence[Path],
    source: FieldSource,
    cameras: Sequence[Cameras],
    look: Look,
    on_rays: Callable[[int, int], None],
) -> None:
    num_all = sum(camera.height * camera.width for camera in cameras)
    renderer, limits, done = source.renderer(look.box), look.limits, 0
    for file, camera in zip(files, cameras, strict=True):
        canvas = Canvas(camera)
        for index, pixels in source.tiles(renderer, camera):
            canvas.add(index, pixels.rgb, pixels.depth, pixels.acc)
            done += len(index)
            on_rays(done, num_all)
        image: RenderedImage = canvas.image()
        limits = limits or depth_limits(image)
        write_sheet(file, shown(image, look.show, limits))


def free_file(folder: Path, name: str, suffix: str) -> Path:
    """A file in a folder that is not there yet: NAME.json, or NAME-2.json where that is there.

    Raises:
      UserError: if the name is not that of a file.
    """
    plain = name.strip().removesuffix(suffix).strip()
    if not _NAME.fullmatch(plain) or plain.endswith("."):
        raise UserError(
            f"{name!r} is no name of a file: use letters, digits, spaces, points, - and _"
        )
    number, file = 1, folder / f"{plain}{suffix}"
    while file.exists():
        number += 1
        file = folder / f"{plain}-{number}{suffix}"
    return file
