"""Scoring the held-out views of a scene."""

import dataclasses
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerf.errors import UserError, counted, listed
from nerf.geometry.cameras import Cameras
from nerf.jobs.draw import draw_on_all
from nerf.jobs.renderers import Renderer, RenderMethod, scoring_renderer
from nerf.jobs.scoring import held_out_exposure, held_out_poses
from nerf.jobs.scoring.scores import Scores, ViewScore, score_view
from nerf.jobs.trained_field import TrainedField, check_not_trained_on
from nerf.output import images
from nerf.render.images import RenderedImage
from nerf.runs import run_folder
from nerf.runtime import exchange, processes
from nerf.runtime.events import Callback, Progress, log_event, say, ssim_text
from nerf.scenes.scene import Scene, View
from nerf.scenes.splits import Holdout

_DRAWN = re.compile(
    r"view_(?P<index>[0-9]{3,})(\.png|_(truth|error|comparison)\.png|_depth\.(png|npy))"
)
_NONE_HELD_OUT = "no view is held out, so there is nothing to score"
_TILES_TO_ESTIMATE = 16  # with fewer, scoring is over before an estimate is of use


def evaluate(
    trained: TrainedField,
    scene: Scene,
    *,
    folder: str | Path | None = None,
    renderer: RenderMethod = "exact",
    eval_views: int | None = None,
    exposure: held_out_exposure.CorrectionOption = "auto",
    poses: held_out_exposure.CorrectionOption = "auto",
    debug: bool = False,
    callback: Callback = log_event,
) -> Scores:
    """Draws and scores the held-out views of a scene.

    In a job of several processes all call it: each draws a share of every image, the first one
    scores and writes them, and all get the scores.

    Args:
      trained: what is scored.
      scene: whose held-out views count, by the settings `train.holdout_views` and `train.holdout`
        or the files' own split.
      folder: where `eval.json` and the images go, e.g. a run folder; None writes nothing.
      renderer: `exact` or `fast`.
      eval_views: the most views to score, an even choice of those that are held out; None scores
        all.
      exposure: whether a view is scored with gains that fit its left half, see
        `nerf.jobs.scoring.held_out_exposure`: `on`, `off`, or `auto`, where the training corrected
        exposure.
      poses: whether a view is scored from the pose that its image was taken from, see
        `nerf.jobs.scoring.held_out_poses`: `on`, `off`, or `auto`, where the training corrected
        poses.
      debug: whether values are checked as well as shapes.
      callback: receives how long it is going to take, progress and scores.

    Returns:
      The scores, without views if none is held out.

    Raises:
      UserError: if `eval_views` is less than 1, `exposure` or `poses` is none of the three, or
        held-out views are those of the training.
    """
    corrects_exposure = held_out_exposure.is_corrected("exposure", exposure, trained.config.train)
    aligns_poses = held_out_exposure.is_corrected("poses", poses, trained.config.train)
    target = None if folder is None else Path(folder)
    split = scene.split(Holdout.of(trained.config.train))
    if trained.scene is not None and trained.scene.name == scene.name:
        check_not_trained_on(trained.scene, scene.image_names, split)
    views = _views_with_pixels(scene, even_choice(split.test, eval_views), callback)
    height, width = scene.cameras.height, scene.cameras.width
    scores: list[ViewScore] = []
    method: RenderMethod = "exact"
    if views:
        with trained.matmul_precision():
            chosen = scoring_renderer(
                trained, scene, [view.camera for view in views], renderer, callback, debug=debug
            )
            aligner = held_out_poses.ViewAligner.of(trained) if aligns_poses else None
            scores = _score_views(
                scene, views, chosen, aligner, target, callback, corrects_exposure=corrects_exposure
            )
            method = chosen.method
    corrected = _corrected(scores)
    result = Scores(tuple(scores), split, (height, width), method, scene.image_names, corrected)

    def write(folder: Path) -> None:
        labels = _labels(trained, scene)
        run_folder.write_json(folder / run_folder.EVAL_FILE, result.to_json(**labels))
        indices = [view.index for view in views]
        _remove_other_views(folder / run_folder.RENDERS_FOLDER, indices)

    if target is not None:
        exchange.call_on_first(lambda: write(target))
    if not views:
        say(callback, "nothing is scored" if split.test else _NONE_HELD_OUT)
        return result
    fast = " (fast renderer)" if method == "fast" else ""
    views_word = "view" if result.views_scored == "1" else "views"
    say(
        callback,
        f"mean of {result.views_scored} held-out {views_word}: PSNR {result.psnr:.2f} dB, "
        f"{ssim_text(result.ssim)}{_depth_text(result.depth_error)}{fast}",
    )
    if result.corrected is not None and result.uncorrected is not None:
        without = result.uncorrected
        say(
            callback,
            f"corrected for {result.corrected}; without: PSNR {without.psnr:.2f} dB, "
            f"{ssim_text(without.ssim)}",
        )
    return result


def _corrected(scores: Sequence[ViewScore]) -> str | None:
    """What was corrected before views were scored, in words; None without corrections."""
    parts = [held_out_exposure.CORRECTED] * any(score.gains is not None for score in scores)
    parts += [held_out_poses.CORRECTED] * any(score.camtoworld is not None for score in scores)
    return "; ".join(parts) or None


def _views_with_pixels(scene: Scene, indices: Sequence[int], callback: Callback) -> list[View]:
    """The views in which masks leave pixels to score, still without their images."""
    views = [
        View(
            index, scene.image_names[index], scene.cameras[index], None, scene.images.mask_of(index)
        )
        for index in indices
    ]
    is_blank = [view.mask is not None and not view.mask.any() for view in views]
    if any(is_blank):
        labels = [view.label for view, blank in zip(views, is_blank, strict=True) if blank]
        say(callback, f"not scored, since masks leave no pixel: {listed(labels)}")
    return [view for view, blank in zip(views, is_blank, strict=True) if not blank]


def even_choice(indices: Sequence[int], num: int | None) -> Sequence[int]:
    """An even choice of `num` of some views, or all of them.

    Raises:
      UserError: if `num` is less than 1.

    >>> even_choice(range(0, 80, 8), 3)
    [8, 40, 64]
    """
    if num is not None and num < 1:
        raise UserError(f"`eval_views` must be at least 1, not {num}")
    if num is None or num >= len(indices):
        return indices
    return [indices[(2 * number + 1) * len(indices) // (2 * num)] for number in range(num)]


def _seconds_to_score(chosen: Renderer, cameras: Sequence[Cameras]) -> float | None:
    """The seconds that images take, estimated from one tile; None where that is not worth it.

    The tile's rays are spread over the first image. It is rendered twice, and the first time
    compiles.
    """
    order, camera = chosen.renderer.program.order(), cameras[0]
    num_rays = sum(camera.height * camera.width for camera in cameras)
    if num_rays < _TILES_TO_ESTIMATE * len(order):
        return None
    index = np.linspace(0, camera.height * camera.width - 1, len(order)).astype(np.int32)
    chosen.renderer.pixels(camera, index)
    start = time.monotonic()
    chosen.renderer.pixels(camera, index)
    return (time.monotonic() - start) * num_rays / len(order) / processes.count()


def _labels(trained: TrainedField, scene: Scene) -> dict[str, Any]:
    """The entries of `eval.json` besides the scores."""
    return {
        "scene": scene.name,
        "source": scene.source,
        "backend": trained.backend,
        "field": trained.field_name,
        "preset": trained.config.preset,
        "step": trained.step,
    }


def _score_views(
    scene: Scene,
    views: Sequence[View],
    chosen: Renderer,
    aligner: held_out_poses.ViewAligner | None,
    folder: Path | None,
    callback: Callback,
    *,
    corrects_exposure: bool,
) -> list[ViewScore]:
    scores, cameras = [], [view.camera for view in views]
    num_rays = sum(camera.height * camera.width for camera in cameras)
    num_rays *= 1 if aligner is None else 2  # from its pose before and after
    seconds = _seconds_to_score(chosen, cameras)
    estimate = "" if seconds is None else f", about {seconds:.0f} s"
    say(callback, f"scoring {counted(len(views), 'held-out view')}, {num_rays:,} rays{estimate}")
    with Progress.of(callback, "held-out views", total=num_rays, unit="ray") as progress:
        for view in views:
            image = draw_on_all(chosen.renderer, view.camera, on_rays=progress.advance)
            unaligned = None
            if aligner is not None:
                unaligned = image
                view = _align_view(aligner, scene, view, image, corrects_exposure=corrects_exposure)
                image = draw_on_all(chosen.renderer, view.camera, on_rays=progress.advance)
            if not processes.is_first():
                continue  # and begin with the next view, while the first one scores this one
            view = _with_image(scene, view)
            exposure_fit = _fit_exposure(scene, view, image) if corrects_exposure else None
            opacity = image.acc if scene.space.is_bounded else np.ones_like(image.acc)
            score = score_view(scene, view, image, exposure_fit, unaligned)
            score = dataclasses.replace(score, depth_range=_depth_range(image.depth, opacity))
            file = ""
            if folder is not None:
                file = f", {_write_view(folder, scene, view, image, score, exposure_fit)}"
            scores.append(score)
            say(
                callback,
                f"{view.label}{_size_text(score)}: PSNR {score.psnr:.2f} dB, "
                f"{ssim_text(score.ssim)}{_depth_text(score.depth_error)}{_mask_text(score.masked)}{file}",
            )
    values = exchange.broadcast_value([dataclasses.asdict(score) for score in scores])
    return scores if processes.is_first() else [ViewScore.from_json(each) for each in values]


def _align_view(
    aligner: held_out_poses.ViewAligner,
    scene: Scene,
    without_image: View,
    image: RenderedImage,
    *,
    corrects_exposure: bool,
) -> View:
    """The view with its aligned pose, which the first process finds."""

    def find() -> Cameras:
        view = _with_image(scene, without_image)
        exposure_fit = _fit_exposure(scene, view, image) if corrects_exposure else None
        return aligner.aligned(view, None if exposure_fit is None else np.log(exposure_fit.gains))

    camera = exchange.call_on_first(find) or without_image.camera
    pose = exchange.broadcast_tree(np.asarray(camera.camtoworlds))
    camera = dataclasses.replace(camera, camtoworlds=pose)
    return dataclasses.replace(without_image, camera=camera)


def _with_image(scene: Scene, view: View) -> View:
    return dataclasses.replace(view, image=scene.images[view.index])


def _fit_exposure(scene: Scene, view: View, image: RenderedImage) -> held_out_exposure.ExposureFit:
    assert view.image is not None
    return held_out_exposure.fit_exposure(scene, image, view.image, view.mask)


def _size_text(score: ViewScore) -> str:
    """The size of a view as text; empty where all views have one size."""
    return "" if score.resolution is None else " at {1}x{0}".format(*score.resolution)


def _depth_text(error: float | None) -> str:
    return "" if error is None else f", depth off by {error:.1%}"


def _mask_text(masked: float | None) -> str:
    return "" if masked is None else f", without the {masked:.0%} that is masked"


def _write_view(
    folder: Path,
    scene: Scene,
    view: View,
    image: RenderedImage,
    score: ViewScore,
    exposure_fit: held_out_exposure.ExposureFit | None,
) -> Path:
    """Writes one held-out view in every form; returns the path of the comparison.

    Images to look at are turned upright; the array of depths stays as the view is stored. The
    comparison shows the view with the exposure of its image where that is corrected.
    """
    renders = folder / run_folder.RENDERS_FOLDER
    renders.mkdir(parents=True, exist_ok=True)
    stem = renders / f"view_{view.index:03d}"
    opacity = image.acc if scene.space.is_bounded else np.ones_like(image.acc)
    depth = images.colorize_depth(image.depth, opacity)
    assert view.image is not None
    assert score.depth_range is not None
    near, far = score.depth_range
    panels = [
        (
            f"rendered{' and exposed' if exposure_fit else ''}: {score.psnr:.2f} dB, "
            f"{ssim_text(score.ssim, digits=3)}",
            exposure_fit.rgb if exposure_fit else image.rgb,
        ),
        (f"{scene.truth_name}, {view.label}", images.hatch_masked(view.image, view.mask)),
        (f"depth: {near:.2f} (bright) to {far:.2f} scene units", depth),
    ]
    panels = [(caption, images.turned(panel, view.turns)) for caption, panel in panels]
    comparison = stem.with_name(f"{stem.name}_comparison.png")
    error = images.colorize_error(image.rgb, view.image, view.mask)
    files = {"": image.rgb, "_truth": view.image, "_error": error}
    for ending, pixels in files.items():
        file = stem.with_name(f"{stem.name}{ending}.png")
        images.write_png(file, images.turned(pixels, view.turns))
    images.write_png(stem.with_name(f"{stem.name}_depth.png"), images.turned(depth, view.turns))
    np.save(stem.with_name(f"{stem.name}_depth.npy"), image.depth)
    images.write_sheet(comparison, images.side_by_side(panels))
    return comparison


def _depth_range(depth: images.FloatImage, opacity: images.FloatImage) -> tuple[float, float]:
    """The 1st and the 99th percentile of the depth where there is something; zeros for nothing."""
    is_opaque = opacity >= 0.5
    near, far = np.percentile(depth[is_opaque] if is_opaque.any() else 0.0, [1.0, 99.0])
    return float(near), float(far)


def _remove_other_views(folder: Path, indices: Sequence[int]) -> None:
    """Removes images of views that an earlier run with another split has left, and nothing else."""
    for file in folder.glob("view_*"):
        drawn = _DRAWN.fullmatch(file.name)
        if drawn is not None and int(drawn["index"]) not in indices:
            file.unlink()
