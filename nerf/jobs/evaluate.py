"""The job `evaluate`: held-out views, scored and drawn, then the video."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerf.field import Params
from nerf.jobs.job import Job
from nerf.jobs.renderers import scoring_renderer
from nerf.jobs.video import render_video
from nerf.jobs.views import ray_progress_bar, render_with_progress
from nerf.output import images
from nerf.render import image_metrics
from nerf.render.images import RenderedImage
from nerf.runs import parameters, run_folder


def evaluate(job: Job, params: Params, step: int | None) -> dict[str, Any]:
    """Renders and scores the held-out views, then makes the video.

    Args:
      job: what is evaluated.
      params: the parameters.
      step: training steps behind them, None where it is not known.

    Returns:
      What `eval.json` holds.

    Raises:
      UserError: if the video cannot be encoded; the scores and pictures stay.
    """
    if job.video.num_frames:
        images.check_video_encoder()
    if not run_folder.holds_training(job.run_dir):  # which wrote its own, with its own settings
        parameters.save(job.run_dir / parameters.FILE_NAME, params, job.header(step))
    split = job.scene.split(job.config.train.holdout)
    cameras = job.scene.cameras[np.array(split.test)]
    renderer = scoring_renderer(job, params, cameras)
    scores = []
    num_pixels = job.scene.cameras.height * job.scene.cameras.width
    with ray_progress_bar("test views", num_pixels * len(split.test)) as bar:
        for number, index in enumerate(split.test):
            picture = render_with_progress(
                job, renderer.render_chunk, params, cameras[number], index, bar
            )
            depth = None if job.scene.depth is None else job.scene.depth[index]
            scores.append(image_metrics.score(index, picture, job.scene.images[index], depth))
            comparison = _write_view(job, picture, scores[-1])
            bar.write(
                f"view {index}: PSNR {scores[-1].psnr:.2f} dB, SSIM {scores[-1].ssim:.4f}"
                f"{_depth_error(scores[-1].depth_error)}, {comparison}"
            )
    summary = image_metrics.summary(
        scores,
        split,
        (job.scene.cameras.height, job.scene.cameras.width),
        scene=job.scene.name,
        source=job.scene.source,
        backend=job.backend,
        field=job.field_name,
        preset=job.config.preset,
        step=step,
        render=renderer.method,
    )
    run_folder.write_json(job.run_dir / run_folder.EVAL_FILE, summary)
    _remove_other_views(job.run_dir / run_folder.RENDERS_FOLDER, split.test)
    print(
        f"mean of {len(scores)} held-out views: PSNR {summary['psnr']:.2f} dB, "
        f"SSIM {summary['ssim']:.4f}{_depth_error(summary.get('depth_error'))}"
        f"{' (fast pictures)' if renderer.method == 'fast' else ''}"
    )
    render_video(job, params, renderer)
    return summary


def _depth_error(error: float | None) -> str:
    return "" if error is None else f", depth off by {error:.1%}"


def _write_view(job: Job, picture: RenderedImage, score: image_metrics.ViewScore) -> Path:
    """Writes one held-out view in every form; returns the path of the comparison."""
    stem = job.run_dir / run_folder.RENDERS_FOLDER / f"view_{score.index:03d}"
    is_bounded = job.scene.space.is_bounded  # else there is something in every direction
    covered = picture.acc if is_bounded else np.ones_like(picture.acc)
    depth = images.colorize_depth(picture.depth, covered)
    truth = job.scene.images[score.index]
    is_seen = covered >= 0.5
    near, far = np.percentile(picture.depth[is_seen] if is_seen.any() else 0.0, [1.0, 99.0])
    panels = [
        (f"rendered: {score.psnr:.2f} dB, SSIM {score.ssim:.3f}", picture.rgb),
        (f"{job.truth_name}, view {score.index}", truth),
        (f"depth: {near:.2f} (bright) to {far:.2f} scene units", depth),
    ]
    comparison = stem.with_name(f"{stem.name}_comparison.png")
    images.write_png(stem.with_suffix(".png"), picture.rgb)
    images.write_png(stem.with_name(f"{stem.name}_depth.png"), depth)
    np.save(stem.with_name(f"{stem.name}_depth.npy"), picture.depth)
    images.write_sheet(comparison, images.side_by_side(panels))
    return comparison


def _remove_other_views(folder: Path, indices: Sequence[int]) -> None:
    """Removes pictures of views that an earlier run with another split has left."""
    for file in folder.glob("view_*"):
        number = file.name.removeprefix("view_")[:3]
        if number.isdigit() and int(number) not in indices:
            file.unlink()
