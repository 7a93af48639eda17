"""Drawing a camera path, frame by frame, as a video."""

from collections.abc import Sequence
from pathlib import Path

from nerf.captures.camera_path_files import write_camera_path
from nerf.errors import UserError, counted
from nerf.geometry.cameras import Cameras
from nerf.jobs.draw import draw
from nerf.jobs.renderers import Renderer, RenderMethod, video_renderer
from nerf.jobs.trained_field import TrainedField
from nerf.jobs.video_frames import path_to_file, video_frames
from nerf.output import images
from nerf.output.video import check_video_encoder, frames_per_second, write_video
from nerf.runs import run_folder
from nerf.runtime.events import Callback, Progress, log_event, note, say
from nerf.scenes.scene import Scene


def render_video(
    trained: TrainedField,
    path: str | Path,
    *,
    scene: Scene | None = None,
    camera_path: str | Path | None = None,
    num_frames: int | None = None,
    size: tuple[int, int] | None = None,
    renderer: RenderMethod | None = None,
    debug: bool = False,
    callback: Callback = log_event,
) -> None:
    """Draws a camera path and encodes it as H.264.

    Args:
      trained: what is drawn, with the cameras of its scene.
      path: the .mp4 file to write.
      scene: with photographs, against which the fast renderer is checked as well; may be None.
      camera_path: `spiral`, `orbit`, `interpolate`, `training` (the training views in order),
        `test` (the poses without images that the scene's files have), or a file: nerfstudio's
        camera_path.json, a transforms.json, or poses `[n, 3, 4]` in a .npy file, in the frame of
        the capture's own files. None means `test` where there are such poses, else what suits the
        cameras.
      num_frames: number of frames; None means 30, and all frames of a file or all training views.
      size: width and height in pixels; None means those of the file, else the scene's own, upright.
      renderer: `exact` or `fast`; None means fast where that pays.
      debug: whether values are checked as well as shapes.
      callback: receives progress.

    Raises:
      UserError: if `path` is no .mp4 file, there is no such camera path, there is no encoder, or
        the encoding fails, after which the frames stay.
    """
    path = Path(path)
    if path.suffix != ".mp4":
        raise UserError(f"a video is written as .mp4: {path} has another ending")
    check_video_encoder()
    frames = video_frames(
        trained.needed_scene(),
        camera_path,
        num_frames=num_frames,
        size=size,
        folder=None if scene is None else scene.folder,
    )
    for text in frames.notes:
        note(callback, text)
    with trained.matmul_precision():
        chosen = video_renderer(trained, scene, frames.cameras, renderer, callback, debug=debug)
        _write_frames(path, frames.cameras, chosen, frames.fps, callback)
    say(callback, f"video: {path}")


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


def _write_frames(
    path: Path,
    cameras: Sequence[Cameras],
    chosen: Renderer,
    fps: float | None,
    callback: Callback,
) -> None:
    folder = path.parent / run_folder.FRAMES_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"frame_{index:03d}.png" for index in range(len(cameras))]
    num_rays = sum(camera.height * camera.width for camera in cameras)
    task = f"video, {counted(len(cameras), 'frame')}"
    with Progress.of(callback, task, total=num_rays, unit="ray") as progress:
        for file, camera in zip(files, cameras, strict=True):
            image = draw(chosen.renderer, camera, on_rays=progress.advance)
            images.write_png(file, image.rgb)
    write_video(path, files, fps)
    for file in files:
        file.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
