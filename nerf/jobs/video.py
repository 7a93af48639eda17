"""The job `render`: a camera path, frame by frame, as a video."""

import numpy as np

from nerf import pictures, run_folder
from nerf.camera_paths import camera_path
from nerf.field import Params
from nerf.jobs.job import Job
from nerf.jobs.views import pixel_bar, render_with_bar
from nerf.render.image import ChunkFn, make_chunk_renderer


def render_video(job: Job, params: Params, render_chunk: ChunkFn | None = None) -> None:
    """Renders the camera path and encodes it; without frames it does nothing.

    Raises:
      UserError: if there is no encoder, or the encoding fails; the frames then stay.
    """
    num_frames, (height, width) = job.video.num_frames, job.video.size
    if not num_frames:
        return
    pictures.check_video_encoder()
    if render_chunk is None:
        render_chunk = make_chunk_renderer(job.field, job.config.render, debug=job.debug)
    scene = job.scene
    poses = camera_path(job.video.path, scene.cameras.camtoworlds, scene.bounds, num_frames)
    cameras = scene.cameras.resized(height, width)
    bounds = np.array([scene.bounds[:, 0].min(), scene.bounds[:, 1].max()], np.float32)
    folder = job.run_dir / run_folder.FRAMES_FOLDER
    folder.mkdir(exist_ok=True)
    files = [folder / f"frame_{i:03d}.png" for i in range(num_frames)]
    with pixel_bar(f"video, {num_frames} frames", height * width * num_frames) as bar:
        for number, (file, pose) in enumerate(zip(files, poses, strict=True)):
            view = (cameras._replace(camtoworlds=pose), bounds)
            picture = render_with_bar(job, render_chunk, params, view, number, bar)
            pictures.write_png(file, picture.rgb)
    video = job.run_dir / run_folder.VIDEO_FILE
    pictures.write_video(video, files)
    for file in files:
        file.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
    print(f"video: {video}")
