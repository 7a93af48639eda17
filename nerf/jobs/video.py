"""Drawing a camera path, frame by frame, as videos."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nerf.captures.camera_paths.nerfstudio import write_camera_path
from nerf.errors import UserError
from nerf.geometry.cameras import Cameras
from nerf.jobs.renderers import RenderMethod, video_renderer
from nerf.jobs.trained_field import TrainedField
from nerf.jobs.videos.files import check_output, write_frames
from nerf.jobs.videos.frames import path_to_file, video_frames
from nerf.output.video import ENDINGS, frames_per_second, max_fps
from nerf.runtime import exchange
from nerf.runtime.events import Callback, log_event, note, say
from nerf.scenes.scene import Scene

CONTENTS = ("rgb", "depth", "opacity")


def render_video(
    trained: TrainedField,
    path: str | Path,
    *,
    scene: Scene | None = None,
    camera_path: str | Path | None = None,
    num_frames: int | None = None,
    size: tuple[int, int] | None = None,
    content: str | Sequence[str] = "rgb",
    renderer: RenderMethod | None = None,
    nerfstudio_transform: str | Path | None = None,
    debug: bool = False,
    callback: Callback = log_event,
) -> None:
    """Draws a camera path as a video, or as a folder of frames.

    In a job of several processes all call it: each draws a share of every frame, and the first one
    writes.

    Args:
      trained: what is drawn, with the cameras of its scene.
      path: an .mp4 file (H.264), a .gif file, or, without an ending, a folder for the frames.
      scene: with photographs, against which the fast renderer is checked as well; may be None.
      camera_path: `spiral`, `orbit`, `interpolate`, `training` (the training views in order),
        `test` (the poses without images that the scene's files have), or a file: nerfstudio's
        camera_path.json, a transforms.json, or poses `[n, 3, 4]` in a .npy file, in the frame of
        the capture's own files. None means `test` where there are such poses, else what suits the
        cameras.
      num_frames: number of frames; None means 30, and all frames of a file or all training views.
      size: width and height in pixels; None means those of the file, else the scene's own, upright.
      content: one or more of `CONTENTS`. A video of depth or opacity is written beside `path`, as
        e.g. NAME_depth.mp4. The colours of depth mean the same in all frames.
      renderer: `exact` or `fast`; None means fast where that pays.
      nerfstudio_transform: the `dataparser_transforms.json` of the nerfstudio run whose viewer
        wrote `camera_path`, which is in the frame of that run; None means the one beside the path,
        if it is there.
      debug: whether values are checked as well as shapes.
      callback: receives progress.

    Raises:
      UserError: if `path` has another ending or is a folder with other files, there is no such
        camera path or content, there is no encoder, or the encoding fails, after which the frames
        stay.
    """
    outputs = _outputs(Path(path), content)
    frames = video_frames(
        trained.needed_scene(),
        camera_path,
        num_frames=num_frames,
        size=size,
        folder=None if scene is None else scene.folder,
        nerfstudio_transform=None if nerfstudio_transform is None else Path(nerfstudio_transform),
    )
    for text in frames.notes:
        note(callback, text)
    cameras, fps = frames.cameras, frames.fps
    if fps is not None and fps > max_fps(Path(path)):
        cameras, fps = _slower(cameras, fps, max_fps(Path(path)))
        note(
            callback,
            f"{Path(path).name} has {fps:g} of {frames.fps:g} frames a second, so that it lasts as "
            "long: programs show no GIF faster than 50",
        )
    with trained.matmul_precision():
        chosen = video_renderer(trained, scene, cameras, renderer, callback, debug=debug)
        write_frames(outputs, cameras, chosen, fps, callback)
    for out in outputs.values():
        say(callback, f"video: {out}")


def _slower(cameras: list[Cameras], fps: float, most: float) -> tuple[list[Cameras], float]:
    """An even choice of frames that lasts as long with at most `most` frames a second."""
    count = max(1, math.floor(len(cameras) * most / fps))
    chosen = np.linspace(0, len(cameras) - 1, count).round().astype(int)
    return [cameras[index] for index in chosen], count * fps / len(cameras)


def _outputs(path: Path, content: str | Sequence[str]) -> dict[str, Path]:
    """The file, or the folder of frames, of each content."""
    contents = (content,) if isinstance(content, str) else tuple(dict.fromkeys(content))
    unknown = [name for name in contents if name not in CONTENTS]
    if unknown or not contents:
        raise UserError(
            f"`content` is one or more of {', '.join(CONTENTS)}, not {', '.join(unknown)!r}"
        )
    if path.suffix not in ("", *ENDINGS):
        raise UserError(
            f"a video is written as {' or '.join(ENDINGS)}, or as frames in a folder without an "
            f"ending: {path} has another ending"
        )
    outputs = {
        name: path if name == "rgb" else path.with_name(f"{path.stem}_{name}{path.suffix}")
        for name in contents
    }

    def check() -> None:
        for out in outputs.values():
            check_output(out)

    exchange.call_on_first(check)
    return outputs


def save_camera_path(
    trained: TrainedField,
    path: str | Path,
    *,
    camera_path: str | Path | None = None,
    num_frames: int | None = None,
    size: tuple[int, int] | None = None,
) -> None:
    """Writes the frames of a video as nerfstudio's camera_path.json, to edit or to draw again.

    Args:
      trained: with the cameras of its scene.
      path: the file to write; poses are in the frame of the capture's own files.
      camera_path, num_frames, size: see `render_video`.

    Raises:
      UserError: if there is no such camera path.
    """
    record = trained.needed_scene()
    frames = video_frames(record, camera_path, num_frames=num_frames, size=size)
    rate = float(frames_per_second(len(frames.cameras)))
    write_camera_path(Path(path), path_to_file(record, frames, rate))
