"""Training: from a scene and settings to a trained field, in memory or in a run folder."""

import dataclasses
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from nerf import field as field_lib
from nerf.config.settings import Config
from nerf.errors import UserError, listed
from nerf.jobs.load import stored_scene
from nerf.jobs.trained_field import TrainedField
from nerf.jobs.training_run import several_processes
from nerf.jobs.training_run.attempts import TrainingRun
from nerf.jobs.training_run.charts import write_training_charts
from nerf.jobs.training_run.new_field import new_field
from nerf.jobs.training_run.options import DEFAULT_OPTIONS, TrainOptions
from nerf.jobs.training_run.process_consistency import check_processes_agree
from nerf.runs import run_folder
from nerf.runs.run_folder import settings_to_resume
from nerf.runs.store import FolderStore, MemoryStore
from nerf.runtime import devices, exchange
from nerf.runtime.events import Callback, Event, StopTraining, log_event, note
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene
from nerf.training import loop
from nerf.training.loop import LoopConfig

_MIN_EVAL_EVERY = 100  # by default; an image can take as long as some steps


def train(
    scene: Scene,
    config: Config | None = None,
    *,
    backend: str = field_lib.DEFAULT_BACKEND,
    field: str | None = None,
    steps: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    init_from: TrainedField | None = None,
    run_dir: str | Path | None = None,
    callback: Callback = log_event,
    options: TrainOptions = DEFAULT_OPTIONS,
) -> TrainedField:
    """Trains a field on a scene.

    Args:
      scene: from `nerf.load_scene`.
      config: from `nerf.fit_config`; None means that of `init_from`.
      backend: who implements the field: `flax`, `haiku` or `nnx`.
      field: its name; None finds it from the settings.
      steps: the number of steps; None means the preset's, or no limit where `seconds` is given.
      seconds: train for this time, compilation included; the learning rate follows it.
      seed: of the random key.
      init_from: a trained field. One from `nerf.load_run` is resumed with its optimiser and step
        if `run_dir` is given; of any other, training starts anew from the parameters.
      run_dir: a folder for checkpoints, metrics and images, where an interrupted run resumes; None
        keeps everything in memory.
      callback: receives messages, progress and metrics, see `nerf.runtime.events`; it may raise
        `nerf.StopTraining`.
      options: the remaining options, see `nerf.TrainOptions`.

    Returns:
      The trained field. In memory, an interrupt (Ctrl-C) ends training and returns it as it is.

    Raises:
      UserError: if no view is left to train on, training collapses, or `run_dir` cannot be used.
    """
    if seconds is not None and not 0 < seconds < math.inf:
        raise UserError(f"`seconds` must be finite and more than 0, not {seconds}")
    if steps is not None and steps < 0:
        raise UserError(f"`steps` must be at least 0, not {steps}")
    kept_settings: list[str] = []
    started = time.monotonic() if options.started is None else options.started
    heard, was_stopped = _stoppable(callback)
    several_processes.check_debug(debug=options.debug)
    if config is not None and run_dir is not None and options.resume:
        folders = (run_dir, getattr(init_from, "run_dir", None))
        config, kept_settings = several_processes.config_from_first(
            config, lambda asked: _resumed_config(asked, folders)
        )
    fresh = new_field(scene, config, backend, field, init_from, options.precision)
    if steps is not None:
        fresh = dataclasses.replace(fresh, config=_with_steps(fresh.config, steps))
    loop_config = _loop_config(fresh.config, options, steps=steps, seconds=seconds)
    if not fresh.needed_scene().split.test:  # nothing to score
        loop_config = loop_config._replace(eval_every=0)
    run = TrainingRun(scene, fresh, seed, options, loop_config, heard, was_stopped, started)
    check_processes_agree(run.record(), scene)
    with fresh.matmul_precision():
        if run_dir is None:
            return run.train(MemoryStore(), returns_on_interrupt=True)
        folder = Path(run_dir)
        with several_processes.opened_folder(folder):
            resume_from = None if init_from is None else init_from.run_dir
            return _train_in_folder(run, folder, resume_from, kept_settings)


def _resumed_config(
    config: Config, folders: Iterable[str | Path | None]
) -> tuple[Config, list[str]]:
    """The settings to resume with: those of the run in the first folder that holds one.

    Returns:
      The settings, and which of them differ from `config`; see
      `nerf.runs.run_folder.settings_to_resume`.
    """
    for folder in folders:
        settings, kept_settings = (
            (None, []) if folder is None else settings_to_resume(Path(folder), config)
        )
        if settings is not None:
            return settings, list(kept_settings)
    return config, []


def _with_steps(config: Config, steps: int) -> Config:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, num_steps=steps))


def _loop_config(
    config: Config, options: TrainOptions, *, steps: int | None, seconds: float | None
) -> LoopConfig:
    num_steps = config.train.num_steps
    if seconds is not None and steps is None:
        num_steps = loop.UNLIMITED_STEPS
    eval_every = options.eval_every
    if eval_every is None:
        eval_every = max(_MIN_EVAL_EVERY, num_steps // 10)
    return LoopConfig(
        num_steps,
        stop_at=options.stop_at,
        max_seconds=seconds,
        save_every=options.save_every,
        eval_every=eval_every,
        steps_per_call=options.steps_per_call or (1 if devices.default_platform() == "cpu" else 10),
    )


def _train_in_folder(
    run: TrainingRun, folder: Path, resume_from: Path | None, kept_settings: Sequence[str]
) -> TrainedField:
    """Trains, or resumes where the folder holds a training run; the folder is locked.

    Args:
      run: what to train.
      folder: the run folder.
      resume_from: another run folder, which is resumed where this one holds no training.
      kept_settings: settings of the run that differ from those that were asked for; they are
        noted as soon as it is certain that the run may resume.
    """
    store = several_processes.shared_store(
        lambda: _open_store(run, folder, resume_from, kept_settings)
    )
    trained = run.train(store)

    def finish() -> None:
        assert isinstance(store, FolderStore)
        store.save_params(trained.params, trained.step or 0)  # which a killed run may lack
        write_training_charts(folder, trained, run.scene, run.callback)

    exchange.call_on_first(finish)
    return dataclasses.replace(trained, run_dir=folder)


def _open_store(
    run: TrainingRun, folder: Path, resume_from: Path | None, kept_settings: Sequence[str]
) -> FolderStore:
    """The store of a run, after the checks that may refuse to resume it; see `_train_in_folder`."""
    record = run.record()
    if run_folder.holds_training(folder) and not run.options.resume:
        aside = run_folder.set_aside(folder, run_folder.REPLACED)
        run_folder.prepare(folder)
        note(run.callback, f"the earlier training is now in {aside}")
    elif run_folder.has_lost_states(folder):
        aside = run_folder.set_aside(folder, run_folder.REPLACED)
        run_folder.prepare(folder)
        note(
            run.callback,
            f"the folder holds a training without its checkpoints, which cannot resume: it is now "
            f"in {aside}",
        )
    if run_folder.holds_training(folder):
        run_folder.check_same_training(folder, record)
    elif resume_from is not None:
        run_folder.check_same_training(resume_from, record, elsewhere=True)
    if run_folder.holds_training(folder):
        _check_same_scene(folder, run.fresh.needed_scene())
    if kept_settings:
        note(run.callback, f"the run keeps its own {', '.join(kept_settings)}")
    run_folder.write_json(folder / run_folder.SCENE_FILE, run.fresh.needed_scene().to_json())
    return FolderStore(
        folder,
        run.fresh.header(),
        run.callback,
        resume_from=resume_from,
        tensorboard=run.options.tensorboard,
    )


def _check_same_scene(folder: Path, now: SceneRecord) -> None:
    """Refuses to resume a run with other held-out views, e.g. where the files' own split changed,
    or in other coordinates, e.g. where another direction is up.

    Args:
      folder: holds a training run; one of version 0.1.0 says neither.
      now: the scene.

    Raises:
      UserError: with what differs.
    """
    before = stored_scene(folder)
    if before is None:
        return
    if not now.has_coordinates_of(before):
        raise UserError(
            f"{folder} holds a training run in other coordinates: give the same `up`, `near`, "
            "`far` and `space`, and the same poses, to resume, or another `run_dir` or "
            "`resume=False` to start anew"
        )
    if before.test_names == now.test_names:
        return
    old, new = (listed(names) if names else "none" for names in (before.test_names, now.test_names))
    raise UserError(
        f"{folder} holds a training run that held out other views: {old} before, {new} now; give "
        "the same split to resume, or another `run_dir` or `resume=False` to start anew"
    )


def _stoppable(callback: Callback) -> tuple[Callback, loop.ShouldStopFn]:
    """A callback that notes `StopTraining`, and whether it was raised."""
    stops: list[bool] = []

    def call(event: Event) -> None:
        try:
            callback(event)
        except StopTraining:
            stops.append(True)

    return call, lambda: bool(stops)
