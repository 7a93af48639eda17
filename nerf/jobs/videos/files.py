"""The frames of a video: drawn once, then written as colours, depth and opacity."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nerf.errors import UserError, counted, listed_shortly
from nerf.geometry.cameras import Cameras
from nerf.jobs.draw import draw_on_all
from nerf.jobs.renderers import Renderer
from nerf.output import images
from nerf.output.video import check_video_encoder, write_video
from nerf.render.images import RenderedImage
from nerf.runs import run_folder
from nerf.runtime import exchange
from nerf.runtime.events import Callback, Progress

_FRAME = re.compile(r"frame_\d+\.png")


def check_output(path: Path) -> None:
    """Looks for the encoder of a video, and for other files in a folder of frames.

    Args:
      path: a video, or without an ending a folder.

    Raises:
      UserError: if there is no encoder, or the folder is a file or holds other files.
    """
    if path.suffix == ".mp4":
        check_video_encoder()
    if path.suffix or not path.exists():
        return
    if not path.is_dir():
        raise UserError(f"{path} is a file, and frames are written into a folder: name another")
    others = sorted(x.name for x in path.iterdir() if not _FRAME.fullmatch(x.name))
    if others:
        raise UserError(
            f"{path} holds other files than frames ({listed_shortly(others)}): name another folder"
        )


def write_frames(
    outputs: Mapping[str, Path],
    cameras: Sequence[Cameras],
    chosen: Renderer,
    fps: float | None,
    callback: Callback,
) -> None:
    """Draws frames once and writes a video, or a folder of frames, for each content.

    In a job of several processes all call it: each draws a share of every frame, and the first one
    writes.

    Args:
      outputs: for `rgb`, `depth` and `opacity`, where they go, see `check_output`.
      cameras: one for each frame, of one size.
      chosen: what draws them.
      fps: frames a second; None means `nerf.output.video.frames_per_second`.
      callback: receives progress.

    Raises:
      UserError: if the encoding fails; the frames are not removed then.
    """
    frames = exchange.call_on_first(lambda: _frame_files(outputs, len(cameras)))
    num_rays = sum(camera.height * camera.width for camera in cameras)
    task = f"video, {counted(len(cameras), 'frame')}"
    ranges = []
    with Progress.of(callback, task, total=num_rays, unit="ray") as progress:
        for index, camera in enumerate(cameras):
            image = draw_on_all(chosen.renderer, camera, on_rays=progress.advance)
            if frames is not None:
                _write_frame({name: files[index] for name, files in frames.items()}, image)
                ranges.append(images.disparity_range(image.depth, image.acc))
    exchange.call_on_first(lambda: _finish(outputs, frames or {}, ranges, fps))


def _finish(
    outputs: Mapping[str, Path],
    frames: Mapping[str, Sequence[Path]],
    ranges: Sequence[tuple[float, float]],
    fps: float | None,
) -> None:
    """Makes videos of the frames that are drawn."""
    if "depth" in frames:
        _colour_depth(frames["depth"], [each for each in ranges if each[1] > 0])
    for name, path in outputs.items():
        if path.suffix:
            write_video(path, frames[name], fps)
            _remove(frames[name])


def _frame_files(outputs: Mapping[str, Path], num_frames: int) -> dict[str, list[Path]]:
    """The frames of each content; older ones in a folder of frames are removed."""
    found = {}
    for name, path in outputs.items():
        prefix = "frame" if not path.suffix or name == "rgb" else name
        folder = path.parent / run_folder.FRAMES_FOLDER if path.suffix else path
        folder.mkdir(parents=True, exist_ok=True)
        if not path.suffix:
            for old in [x for x in folder.iterdir() if _FRAME.fullmatch(x.name)]:
                old.unlink()
        found[name] = [folder / f"{prefix}_{index:03d}.png" for index in range(num_frames)]
    return found


def _write_frame(files: Mapping[str, Path], image: RenderedImage) -> None:
    if "rgb" in files:
        images.write_png(files["rgb"], image.rgb)
    if "opacity" in files:
        images.write_png(files["opacity"], np.repeat(image.acc[..., None], 3, axis=-1))
    if "depth" in files:  # its colours depend on all frames
        np.save(files["depth"].with_suffix(".npy"), np.stack([image.depth, image.acc]))


def _colour_depth(files: Sequence[Path], ranges: Sequence[tuple[float, float]]) -> None:
    """Makes images of the depth of frames, in the same colours."""
    low = min((each[0] for each in ranges), default=0.0)
    high = max((each[1] for each in ranges), default=0.0)
    for file in files:
        raw = file.with_suffix(".npy")
        depth, acc = np.load(raw)
        images.write_png(file, images.colorize_depth(depth, acc, (low, high)))
        raw.unlink()


def _remove(files: Sequence[Path]) -> None:
    """Removes frames, and their folder if nothing else is in it."""
    for file in files:
        file.unlink()
    if not any(files[0].parent.iterdir()):
        files[0].parent.rmdir()
