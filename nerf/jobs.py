"""What the command line can be asked to do: evaluate, train, render.

A `Job` holds everything that has been decided; the functions do the work and write the run folder.
"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import tqdm

from nerf import config as config_lib
from nerf import evaluation, parameters, pictures, run_folder
from nerf.camera_paths import camera_path
from nerf.cameras import Cameras
from nerf.config import Config
from nerf.errors import UserError
from nerf.field import Params, RadianceField
from nerf.render.image import ChunkFn, Picture, make_chunk_renderer, render_image
from nerf.scenes.scene import Scene
from nerf.training import loop
from nerf.training.checkpoint import Checkpoints
from nerf.training.interrupt import interrupt_between_steps
from nerf.training.step import (
    TrainingViews,
    TrainState,
    choose_rays_per_piece,
    init_state,
    make_step,
)


@dataclasses.dataclass(frozen=True)
class VideoConfig:
    """The video: camera path, number of frames (0 for none), height and width in pixels."""

    path: str
    num_frames: int
    size: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Job:
    """One run, everything decided.

    Attributes:
      backend, field_name: which implementation `field` is.
      field: the field.
      config: what is computed.
      scene: what it is computed on.
      run_dir: where results go; it can be written.
      video: the video to make.
      precision: of matrix products, for the record.
      seed: of training.
      init_from: where the parameters come from, for the record; never an absolute path.
      debug: whether values are checked as well as shapes.
    """

    backend: str
    field_name: str
    field: RadianceField
    config: Config
    scene: Scene
    run_dir: Path
    video: VideoConfig
    precision: str
    seed: int
    init_from: str
    debug: bool

    def header(self, step: int | None) -> parameters.Header:
        """What `params.safetensors` says about itself."""
        return parameters.Header(
            field=self.field_name,
            layout=self.backend,
            config=self.config,
            scene=self.scene.name,
            source=self.scene.source,
            step=step,
            provenance=self.init_from,
        )

    def record(self, mode: str) -> dict[str, Any]:
        """What `config.json` holds."""
        return {
            "mode": mode,
            "backend": self.backend,
            "field": self.field_name,
            "scene": self.scene.name,
            "source": self.scene.source,
            "resolution": [self.scene.cameras.height, self.scene.cameras.width],
            "init_from": self.init_from,
            "seed": self.seed,
            "precision": self.precision,
            "config": config_lib.to_json(self.config),
            "video": dataclasses.asdict(self.video),
            "device": run_folder.device_name(),
            "versions": run_folder.versions(),
        }


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
        pictures.check_video_encoder()
    if not run_folder.holds_training(job.run_dir):  # which wrote its own, with its own settings
        parameters.save(job.run_dir / parameters.FILE_NAME, params, job.header(step))
    render_chunk = make_chunk_renderer(job.field, job.config.render, debug=job.debug)
    split = job.scene.split(job.config.train.holdout)
    scores = []
    num_pixels = job.scene.cameras.height * job.scene.cameras.width
    with _pixel_bar("test views", num_pixels * len(split.test)) as bar:
        for index in split.test:
            picture = _render(job, render_chunk, params, _view(job.scene, index), index, bar)
            scores.append(evaluation.score(index, picture.rgb, job.scene.images[index]))
            comparison = _write_view(job, picture, scores[-1])
            bar.write(
                f"view {index}: PSNR {scores[-1].psnr:.2f} dB, SSIM {scores[-1].ssim:.4f}, "
                f"{comparison}"
            )
    summary = evaluation.summary(
        scores,
        split,
        (job.scene.cameras.height, job.scene.cameras.width),
        scene=job.scene.name,
        source=job.scene.source,
        backend=job.backend,
        field=job.field_name,
        preset=job.config.preset,
        step=step,
    )
    run_folder.write_json(job.run_dir / run_folder.EVAL_FILE, summary)
    _remove_other_views(job.run_dir / run_folder.RENDERS_FOLDER, split.test)
    print(
        f"mean of {len(scores)} held-out views: PSNR {summary['psnr']:.2f} dB, "
        f"SSIM {summary['ssim']:.4f}"
    )
    render_video(job, params, render_chunk)
    return summary


def train(job: Job, params: Params | None, loop_config: loop.LoopConfig) -> tuple[Params, int]:
    """Trains, or goes on training where the run folder holds a state.

    Args:
      job: what is trained.
      params: where to start; None for fresh parameters.
      loop_config: when to stop and what to write.

    Returns:
      The parameters and the number of steps behind them.

    Raises:
      UserError: if the checkpoint cannot be read, or training ends in a number that is not finite;
        what was saved before stays.
    """
    scene, config = job.scene, job.config
    train_indices = np.array(job.scene.split(config.train.holdout).train)
    views = TrainingViews(
        jnp.asarray(scene.images[train_indices]),
        jnp.asarray(scene.cameras.camtoworlds[train_indices]),
        jnp.asarray(scene.bounds[train_indices]),
    )
    step_fn = make_step(
        job.field,
        config,
        scene.cameras,
        ndc=scene.ndc,
        rays_per_piece=choose_rays_per_piece(config.train.num_rays),
        debug=job.debug,
    )
    state = init_state(job.field, config, jax.random.key(job.seed), params)
    with interrupt_between_steps() as should_stop, Checkpoints(job.run_dir) as checkpoints:
        if checkpoints.latest_step is not None:
            state = checkpoints.restore(state)
            print(f"going on at step {int(state.step)} of {config.train.num_steps}")
        first_step = int(state.step)
        run_folder.write_json(job.run_dir / run_folder.CONFIG_FILE, job.record("train"))
        run_folder.cut_metrics(job.run_dir / loop.METRICS_FILE, first_step)
        print(f"training on {views.images[..., 0].size:,} rays of {len(train_indices)} views")

        def on_save(state: TrainState) -> None:
            _save_params(job, jax.device_get(state.params), int(state.step))

        state = loop.train(
            step_fn,
            state,
            views,
            num_rays=config.train.num_rays,
            run_dir=job.run_dir,
            checkpoints=checkpoints,
            config=loop_config,
            on_save=on_save,
            should_stop=should_stop,
        )
    params, step = jax.device_get(state.params), int(state.step)
    if step == first_step:  # nothing was left to do; a run that was killed may lack the file
        _save_params(job, params, step)
    return params, step


def _save_params(job: Job, params: Params, step: int) -> None:
    """Writes `params.safetensors`.

    Raises:
      UserError: if a parameter is not finite; nothing is written then.
    """
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise UserError(
            f"a parameter is no longer finite at step {step}: try a smaller --lr; states saved "
            f"before are in {job.run_dir}"
        )
    parameters.save(job.run_dir / parameters.FILE_NAME, params, job.header(step))


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
    with _pixel_bar(f"video, {num_frames} frames", height * width * num_frames) as bar:
        for number, (file, pose) in enumerate(zip(files, poses, strict=True)):
            view = (cameras._replace(camtoworlds=pose), bounds)
            picture = _render(job, render_chunk, params, view, number, bar)
            pictures.write_png(file, picture.rgb)
    video = job.run_dir / run_folder.VIDEO_FILE
    pictures.write_video(video, files)
    for file in files:
        file.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
    print(f"video: {video}")


View = tuple[Cameras, npt.NDArray[np.float32]]


def _view(scene: Scene, index: int) -> View:
    camera = scene.cameras._replace(camtoworlds=scene.cameras.camtoworlds[index])
    return camera, scene.bounds[index]


def _render(
    job: Job,
    render_chunk: ChunkFn,
    params: Params,
    view: View,
    number: int,
    bar: "tqdm.tqdm[None]",
) -> Picture:
    camera, bounds = view
    start = time.monotonic()
    done = 0

    def progress(num_done: int, _: int) -> None:
        nonlocal done
        bar.update(num_done - done)
        done = num_done

    picture = render_image(
        render_chunk,
        params,
        camera,
        bounds,
        ndc=job.scene.ndc,
        config=job.config.render,
        progress=progress,
    )
    bar.set_postfix_str(f"no. {number} took {time.monotonic() - start:.1f} s")
    return picture


def _pixel_bar(what: str, num_pixels: int) -> "tqdm.tqdm[None]":
    return tqdm.tqdm(
        total=num_pixels, desc=what, unit="ray", unit_scale=True, dynamic_ncols=True, smoothing=0.1
    )


def _write_view(job: Job, picture: Picture, score: evaluation.ViewScore) -> Path:
    """Writes one held-out view in every form; returns the path of the comparison."""
    stem = job.run_dir / run_folder.RENDERS_FOLDER / f"view_{score.index:03d}"
    depth = pictures.colour_depth(picture.depth)
    truth = job.scene.images[score.index]
    truth_name = "photograph" if job.scene.source == "photographs" else "ray-traced truth"
    near, far = np.percentile(picture.depth, [1.0, 99.0])
    panels = [
        (f"rendered: {score.psnr:.2f} dB, SSIM {score.ssim:.3f}", picture.rgb),
        (f"{truth_name}, view {score.index}", truth),
        (f"depth: {near:.2f} (bright) to {far:.2f} scene units", depth),
    ]
    comparison = stem.with_name(f"{stem.name}_comparison.png")
    pictures.write_png(stem.with_suffix(".png"), picture.rgb)
    pictures.write_png(stem.with_name(f"{stem.name}_depth.png"), depth)
    np.save(stem.with_name(f"{stem.name}_depth.npy"), picture.depth)
    pictures.write_sheet(comparison, pictures.side_by_side(panels))
    return comparison


def _remove_other_views(folder: Path, indices: Sequence[int]) -> None:
    """Removes pictures of views that an earlier run with another split has left."""
    for file in folder.glob("view_*"):
        number = file.name.removeprefix("view_")[:3]
        if number.isdigit() and int(number) not in indices:
            file.unlink()
