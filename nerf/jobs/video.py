"""The job `render`: a camera path, frame by frame, as a video."""

from nerf.field import Params
from nerf.geometry.camera_paths import path_cameras
from nerf.jobs.job import Job
from nerf.jobs.renderers import Renderer, video_renderer
from nerf.jobs.views import ray_progress_bar, render_with_progress
from nerf.output import images
from nerf.runs import run_folder


def render_video(job: Job, params: Params, renderer: Renderer | None = None) -> None:
    """Renders the camera path and encodes it; without frames it does nothing.

    Args:
      job: what is rendered.
      params: the parameters.
      renderer: one that was used for the same parameters before, where there is one.

    Raises:
      UserError: if there is no encoder, or the encoding fails; the frames then stay.
    """
    num_frames, (height, width) = job.video.num_frames, job.video.size
    if not num_frames:
        return
    images.check_video_encoder()
    scene = job.scene
    cameras = path_cameras(job.video.path, scene.cameras, num_frames).resized(height, width)
    renderer = video_renderer(job, params, cameras, renderer)
    folder = job.run_dir / run_folder.FRAMES_FOLDER
    folder.mkdir(exist_ok=True)
    files = [folder / f"frame_{i:03d}.png" for i in range(num_frames)]
    with ray_progress_bar(f"video, {num_frames} frames", height * width * num_frames) as bar:
        for number, file in enumerate(files):
            camera = cameras[number]
            image = render_with_progress(job, renderer.render_chunk, params, camera, number, bar)
            images.write_png(file, image.rgb)
    video = job.run_dir / run_folder.VIDEO_FILE
    images.write_video(video, files)
    for file in files:
        file.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
    print(f"video: {video}")
