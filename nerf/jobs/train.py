"""The job `train`: where to begin or go on, what to do on the way, what to leave behind."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from nerf.captures.image_files import read_images
from nerf.errors import UserError
from nerf.field import Params
from nerf.jobs.job import Job
from nerf.jobs.renderers import preview_renderer
from nerf.jobs.views import render_view
from nerf.output import charts, images
from nerf.output.tensorboard import TensorboardWriter, open_writer
from nerf.render import image_metrics
from nerf.render.images import ChunkFn
from nerf.runs import metrics, parameters, resume, run_folder
from nerf.runs.checkpoints import Checkpoints
from nerf.runtime.interrupts import interrupt_between_steps
from nerf.training import loop
from nerf.training.batch import TrainingViews
from nerf.training.health import TrainingCollapsed
from nerf.training.step import StepFn, TrainState, init_state, make_step

MAX_RESTARTS = 5
ON_COLLAPSE = ("stop", "restart")


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """How a run is trained, apart from what it computes.

    Attributes:
      loop: when to stop, read, save and score.
      on_collapse: whether a collapsed run stops, or begins again from another key.
      tensorboard: whether readings and pictures also go to TensorBoard.
      rays_per_microbatch: rays per microbatch and device at most; None chooses by device.
      continue_from: a run folder whose training state, of any backend, goes on in this one.
      started: what `time.monotonic` was when this process's part of the run's time began.
    """

    loop: loop.LoopConfig
    on_collapse: Literal["stop", "restart"] = "stop"
    tensorboard: bool = False
    rays_per_microbatch: int | None = None
    continue_from: Path | None = None
    started: float = dataclasses.field(default_factory=time.monotonic)


def train(job: Job, params: Params | None, options: TrainOptions) -> tuple[Params, int]:
    """Trains, or goes on training where the run folder holds a state.

    Args:
      job: what is trained.
      params: where to start; None for fresh parameters.
      options: see `TrainOptions`.

    Returns:
      The parameters and the number of steps behind them.

    Raises:
      UserError: if no state can be read or written, or the training collapses; what was saved
        before stays.
    """
    views = _training_views(job)
    step_fn = make_step(
        job.field,
        job.config,
        space=job.scene.space,
        rays_per_microbatch=options.rays_per_microbatch,
        debug=job.debug,
    )
    while True:
        restarts = run_folder.num_set_aside(job.run_dir, run_folder.COLLAPSED)
        try:
            state, num_trained = _train_once(job, params, options, step_fn, views, restarts)
            break
        except TrainingCollapsed as collapse:
            if options.on_collapse == "stop" or restarts == MAX_RESTARTS:
                raise UserError(_collapse_message(collapse, job.run_dir, restarts)) from collapse
            folder = run_folder.set_aside(job.run_dir, run_folder.COLLAPSED)
            run_folder.prepare(job.run_dir)
            print(
                f"note: {collapse}. Beginning again from another key, restart {restarts + 1} of "
                f"{MAX_RESTARTS}; what collapsed is in {folder}"
            )
    params, step = jax.device_get(state.params), int(state.step)
    if num_trained == 0:  # nothing was left to do; a run that was killed may lack the file
        _save_params(job, params, step)
    _write_charts(job)
    return params, step


def _training_views(job: Job) -> TrainingViews:
    scene = job.scene
    indices = np.array(scene.split(job.config.train.holdout).train)
    views = TrainingViews(
        jnp.asarray(scene.images[indices]),
        jax.tree.map(jnp.asarray, scene.cameras[indices]),
        None if scene.alpha is None else jnp.asarray(scene.alpha[indices]),
    )
    print(f"training on {views.images[..., 0].size:,} rays of {len(indices)} views")
    return views


def _train_once(
    job: Job,
    params: Params | None,
    options: TrainOptions,
    step_fn: StepFn,
    views: TrainingViews,
    restarts: int,
) -> tuple[TrainState, int]:
    """One attempt, from the first or the last saved step on; also the number of steps it took."""
    with interrupt_between_steps() as should_stop, Checkpoints(job.run_dir) as checkpoints:
        state = _first_state(job, params, options, checkpoints, restarts)
        first_step = int(state.step)
        metrics.cut(job.run_dir, first_step)
        before = metrics.read(job.run_dir)
        record = {
            **job.record("train"),
            "loop": options.loop._asdict(),
            "on_collapse": options.on_collapse,
            "restarts": restarts,
        }
        run_folder.write_json(job.run_dir / run_folder.CONFIG_FILE, record)
        given = first_step > 0 or params is not None
        is_scored = any(loop.TEST_PSNR in line and line["step"] == first_step for line in before)

        def save(state: TrainState, score: float | None) -> None:
            _save_params(job, jax.device_get(state.params), int(state.step))
            checkpoints.save(state, score)

        with (
            _tensorboard_writer(job, options, first_step) as board,
            metrics.MetricsLog(job.run_dir, board) as log,
        ):
            preview = _PreviewRenderer(job, board, should_stop)
            state = loop.train(
                step_fn,
                state,
                views,
                num_rays=job.config.train.num_rays,
                log=log,
                config=options.loop,
                hooks=loop.Hooks(save, checkpoints.wait, preview.evaluate, should_stop),
                seconds_before=_seconds_before(before, options.started),
                evaluate_first=given and not is_scored,
            )
    return state, int(state.step) - first_step


def _seconds_before(readings: Sequence[Mapping[str, float]], started: float) -> float:
    """What the run has taken up to now: earlier processes up to what was saved, and this one."""
    recorded = float(readings[-1].get("seconds") or 0.0) if readings else 0.0
    return recorded + time.monotonic() - started


def _first_state(
    job: Job,
    params: Params | None,
    options: TrainOptions,
    checkpoints: Checkpoints,
    restarts: int,
) -> TrainState:
    """The state saved in the run folder; else that of another run; else a new one."""
    key = jax.random.key(job.seed)
    state = init_state(
        job.field, job.config, jax.random.fold_in(key, restarts) if restarts else key, params
    )
    goal = options.loop.goal
    if checkpoints.latest_step is not None:
        state, notice = checkpoints.restore(state)
        if notice:
            print(f"note: {notice}")
        print(f"going on at step {int(state.step)} of {goal}")
    elif options.continue_from is not None:
        state = resume.continued(options.continue_from, job.backend, state)
        if restarts:
            state = state._replace(key=jax.random.fold_in(state.key, restarts))
        resume.copy_metrics(options.continue_from, job.run_dir)
        print(f"going on from {options.continue_from} at step {int(state.step)} of {goal}")
    return state


def _collapse_message(collapse: TrainingCollapsed, run_dir: Path, restarts: int) -> str:
    tried = f" (also after {restarts} restarts)" if restarts else ""
    return (
        f'{collapse}{tried}. `on_collapse="restart"` begins again from another key, `resume=False` '
        f"begins with other settings; states saved before are in {run_dir}"
    )


def _tensorboard_writer(
    job: Job, options: TrainOptions, first_step: int
) -> contextlib.AbstractContextManager[TensorboardWriter | None]:
    if not options.tensorboard:
        return contextlib.nullcontext()
    return open_writer(job.run_dir / run_folder.TENSORBOARD_FOLDER, first_step)


class _PreviewRenderer:
    """Scores and draws one held-out view, the middle one, while the run is trained."""

    def __init__(self, job: Job, board: TensorboardWriter | None, should_stop: loop.AskFn):
        self._job = job
        self._tensorboard_writer = board
        self._should_stop = should_stop
        self._prepare: Callable[[Params], ChunkFn] | None = None

    def evaluate(self, state: TrainState) -> dict[str, float] | None:
        """Held-out PSNR and SSIM of one view; None if it was told to stop."""
        index, step = preview_view(self._job), int(state.step)
        camera = self._job.scene.cameras[index]
        if self._prepare is None:
            self._prepare = preview_renderer(self._job, camera)

        def check_stop(_: int) -> None:
            if self._should_stop():
                raise InterruptedError

        try:
            render_chunk = self._prepare(state.params)
            picture = render_view(self._job, render_chunk, state.params, camera, check_stop)
        except InterruptedError:
            return None
        path = self._job.run_dir / run_folder.PROGRESS_FOLDER / f"step_{step:07d}.png"
        path.parent.mkdir(exist_ok=True)
        images.write_png(path, picture.rgb)
        score = image_metrics.score(index, picture, self._job.scene.images[index])
        if self._tensorboard_writer is not None:
            self._tensorboard_writer.image(f"view_{index}", step, picture.rgb)
        tqdm.tqdm.write(
            f"step {step}: held-out view {index}: PSNR {score.psnr:.2f} dB, "
            f"SSIM {score.ssim:.4f}, {path}"
        )
        return {loop.TEST_PSNR: score.psnr, "test_ssim": score.ssim}


def preview_view(job: Job) -> int:
    """The index of the held-out view that is drawn during training."""
    held_out = job.scene.split(job.config.train.holdout).test
    return held_out[len(held_out) // 2]


def _write_charts(job: Job) -> None:
    """The loss curve, and the pictures of the preview in their order, with the truth behind."""
    lines = metrics.read(job.run_dir)
    if not lines:
        return
    title = f"{job.scene.name} ({job.scene.source}), {job.backend} {job.field_name}"
    chart = job.run_dir / run_folder.CHART_FILE
    charts.write_training_chart(chart, lines, title)
    print(f"loss curve: {chart}")
    scores = {line["step"]: line[loop.TEST_PSNR] for line in lines if loop.TEST_PSNR in line}
    files = {
        step: job.run_dir / run_folder.PROGRESS_FOLDER / f"step_{step:07d}.png" for step in scores
    }
    panels = [
        (f"step {step}: {scores[step]:.2f} dB", read_images([file])[0])
        for step, file in files.items()
        if file.is_file()
    ]
    if panels:
        index = preview_view(job)
        truth = (f"{job.truth_name}, view {index}", job.scene.images[index])
        sheet = job.run_dir / run_folder.CONTACT_SHEET_FILE
        images.write_sheet(sheet, images.contact_sheet([*panels, truth]))
        print(f"pictures over time: {sheet}")


def _save_params(job: Job, params: Params, step: int) -> None:
    """Writes `params.safetensors`.

    Raises:
      UserError: if a parameter is not finite, when nothing is written; or the disk is full.
    """
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise UserError(
            f"a parameter is no longer finite at step {step}: try a smaller "
            f"`train.learning_rate`; states saved before are in {job.run_dir}"
        )
    try:
        parameters.save(job.run_dir / parameters.FILE_NAME, params, job.header(step))
    except OSError as error:
        raise UserError(
            f"the parameters of step {step} could not be saved in {job.run_dir} "
            f"({error.strerror}): make room, then the same command goes on from the last state "
            "that was saved"
        ) from error
