"""Drawing a camera path, frame by frame, as a video."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nerf.errors import UserError
from nerf.geometry.camera_paths import GIVEN, path_cameras
from nerf.geometry.cameras import Cameras
from nerf.jobs.draw import draw
from nerf.jobs.renderers import Renderer, RenderMethod, video_renderer
from nerf.jobs.trained_field import TrainedField
from nerf.output import images
from nerf.output.video import check_video_encoder, write_video
from nerf.runs import run_folder
from nerf.runtime.events import Callback, Progress, log_event, say
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene


def render_video(
    trained: TrainedField,
    path: str | Path,
    *,
    scene: Scene | None = None,
    camera_path: str | None = None,
    num_frames: int = 30,
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
      camera_path: a name of `nerf.geometry.camera_paths.PATHS`, or `test` for the poses without
        images; None means these if the scene has some, else what suits the cameras.
      num_frames: number of frames.
      size: width and height in pixels; None means the scene's own, upright.
      renderer: `exact` or `fast`; None means fast where that pays.
      debug: whether values are checked as well as shapes.
      callback: receives progress.

    Raises:
      UserError: if `path` is no .mp4 file, there is no encoder, or the encoding fails, after
        which the frames stay.
    """
    path = Path(path)
    if path.suffix != ".mp4":
        raise UserError(f"a video is written as .mp4: {path} has another ending")
    check_video_encoder()
    cameras = frame_cameras(trained, camera_path, num_frames, size)
    with trained.matmul_precision():
        chosen = video_renderer(trained, scene, cameras, renderer, callback, debug=debug)
        _write_frames(path, cameras, chosen, callback)
    say(callback, f"video: {path}")


def frame_cameras(
    trained: TrainedField,
    name: str | None,
    num_frames: int,
    size: tuple[int, int] | None,
) -> list[Cameras]:
    """One camera a frame, with bounds that hold what any view of the scene shows."""
    scene = trained.needed_scene()
    name = name or default_path(scene)
    along = path_cameras(name, scene.cameras, num_frames, scene.path_poses)
    width, height = size or (along.width, along.height)
    along = along.resized(height, width)
    return [along[index] for index in range(num_frames)]


def default_path(scene: Scene | SceneRecord) -> str:
    """The camera path of a scene: along its own poses without images, or what suits its cameras."""
    if scene.path_poses is not None:
        return GIVEN
    return scene.space.default_camera_path(np.asarray(scene.cameras.camtoworlds, np.float32))


def _write_frames(
    path: Path,
    cameras: Sequence[Cameras],
    chosen: Renderer,
    callback: Callback,
) -> None:
    folder = path.parent / run_folder.FRAMES_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"frame_{index:03d}.png" for index in range(len(cameras))]
    num_rays = sum(camera.height * camera.width for camera in cameras)
    task = f"video, {len(cameras)} frame{'s' if len(cameras) > 1 else ''}"
    with Progress.of(callback, task, total=num_rays, unit="ray") as progress:
        for file, camera in zip(files, cameras, strict=True):
            image = draw(chosen.renderer, camera, on_rays=progress.advance)
            images.write_png(file, image.rgb)
    write_video(path, files)
    for file in files:
        file.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
