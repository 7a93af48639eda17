"""The video of a run, and the mode `render` of a run folder alone."""

from pathlib import Path

from nerf.cli import options, video_options
from nerf.cli.console import Console
from nerf.cli.flags import FLAGS
from nerf.cli.name_lists import names_in
from nerf.jobs.report import try_report
from nerf.jobs.trained_field import TrainedField
from nerf.jobs.training_run import several_processes
from nerf.jobs.training_run.process_consistency import check_processes_agree
from nerf.jobs.video import CONTENTS, render_video
from nerf.runs import parameters
from nerf.runtime import exchange, processes
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene


def render_alone(console: Console, trained: TrainedField) -> None:
    """Draws the video of a run without the photographs of its scene."""
    record, folder = trained.needed_scene(), Path(FLAGS.run_dir)
    check_processes_agree(
        {**options.video_record(record), "parameters": parameters.checksum(trained.params)}
    )
    with several_processes.opened_folder(folder):
        finish(console, record, video_options.file(record, folder), trained)
        exchange.barrier()


def finish(
    console: Console, scene: Scene | SceneRecord, video: Path, trained: TrainedField
) -> None:
    """Draws the video and writes the report of its folder."""
    draw_video(console, scene, video, trained)
    report(console, video.parent)
    console.print(f"everything is in {video.parent}, the video is {video}")


def report(console: Console, folder: Path) -> None:
    """Writes the report, in the first process."""
    if processes.is_first():
        try_report(folder, console)


def draw_video(
    console: Console, scene: Scene | SceneRecord, video: Path, trained: TrainedField
) -> None:
    """Draws the video that the flags ask for.

    Args:
      console: receives progress.
      scene: with its photographs, or its record alone.
      video: from `nerf.cli.video_options.file`.
      trained: what is drawn.
    """
    if options.num_frames() == 0:
        return
    note = exchange.call_on_first(lambda: video_options.remember(scene, video))
    if note is not None:
        console.print(f"note: {note}")
    render_video(
        trained,
        video,
        scene=scene if isinstance(scene, Scene) else None,
        camera_path=FLAGS.camera_path,
        num_frames=options.num_frames(),
        size=options.video_size(),
        content=names_in("video_content", CONTENTS),
        renderer=FLAGS.renderer,
        nerfstudio_transform=video_options.nerfstudio_transform(),
        debug=FLAGS.debug,
        callback=console,
    )
