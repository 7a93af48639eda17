"""Training: from a scene and settings to a trained field, in memory or in a run folder."""

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from nerf import field as field_lib
from nerf.config import settings
from nerf.config.settings import Config
from nerf.errors import UserError
from nerf.jobs import load, training_record
from nerf.jobs.preview import Preview
from nerf.jobs.trained_field import TrainedField
from nerf.jobs.training_charts import write_training_charts
from nerf.runs import parameters, run_folder
from nerf.runs.store import FolderStore, MemoryStore, OpenStore, Store
from nerf.runtime import devices
from nerf.runtime.events import Callback, Event, StopTraining, log_event, note, say
from nerf.runtime.interrupts import Interrupted, interrupt_between_steps
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene
from nerf.training import loop
from nerf.training.batch import TrainingViews
from nerf.training.health import TrainingCollapsed
from nerf.training.loop import LoopConfig
from nerf.training.step import StepFn, TrainState, init_state, make_step

MAX_RESTARTS = 5
RENDERERS = (None, "exact", "fast")
_MIN_EVAL_EVERY = 100  # by default; an image can take as long as some steps


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """How a run is trained, apart from what it computes.

    Attributes:
      save_every: the most steps that can be lost, in a run folder.
      eval_every: steps between two held-out scores, 0 for none; None means a tenth of the run.
      stop_at: a step to stop at before the run is complete; it resumes later.
      steps_per_call: steps that the device is given at once; None means 1 on a CPU, else 10.
      rays_per_microbatch: the most rays that go through a device at once; None chooses by device.
      on_collapse: whether a collapsed run stops, or restarts from another key.
      tensorboard: whether metrics and images also go to TensorBoard, in a run folder.
      resume: whether to resume the training that a run folder holds; else it is set aside first.
      renderer: of previews, `exact` or `fast`; None means fast where that pays.
      precision: of matrix products, see `nerf.config.settings.PRECISIONS`.
      debug: whether values are checked as well as shapes.
      started: `time.monotonic()` when the time of the run began; None means now.
      record: further entries of `config.json`.
    """

    save_every: int = 500
    eval_every: int | None = None
    stop_at: int | None = None
    steps_per_call: int | None = None
    rays_per_microbatch: int | None = None
    on_collapse: Literal["stop", "restart"] = "stop"
    tensorboard: bool = False
    resume: bool = True
    renderer: Literal["exact", "fast"] | None = None
    precision: str = "float32"
    debug: bool = False
    started: float | None = None
    record: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, known in (("on_collapse", ("stop", "restart")), ("renderer", RENDERERS)):
            if getattr(self, name) not in known:
                names = ", ".join(str(value) for value in known)
                value = getattr(self, name)
                raise UserError(f"unknown `{name}` {value!r}: choose one of {names}")
        for name, least in (("save_every", 1), ("eval_every", 0), ("stop_at", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"`{name}` must be at least {least}, not {value}")


DEFAULT_OPTIONS = TrainOptions()


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
      options: all else.

    Returns:
      The trained field. In memory, an interrupt (Ctrl-C) ends training and returns it as it is.

    Raises:
      UserError: if no view is left to train on, training collapses, or `run_dir` cannot be used.
    """
    if seconds is not None and not 0 < seconds < math.inf:
        raise UserError(f"`seconds` must be finite and more than 0, not {seconds}")
    if steps is not None and steps < 0:
        raise UserError(f"`steps` must be at least 0, not {steps}")
    started = time.monotonic() if options.started is None else options.started
    fresh = new_field(scene, config, backend, field, init_from, options.precision)
    if steps is not None:
        fresh = dataclasses.replace(fresh, config=_with_steps(fresh.config, steps))
    loop_config = _loop_config(fresh.config, options, steps=steps, seconds=seconds)
    heard, was_stopped = _stoppable(callback)
    run = _Run(scene, fresh, init_from, seed, options, loop_config, heard, was_stopped, started)
    with fresh.matmul_precision():
        if run_dir is None:
            return run.train(MemoryStore())
        folder = Path(run_dir)
        run_folder.prepare(folder)
        with run_folder.locked(folder):
            return _train_in_folder(run, folder)


def new_field(
    scene: Scene,
    config: Config | None,
    backend: str,
    field: str | None,
    init_from: TrainedField | None,
    precision: str,
) -> TrainedField:
    """The field before training; its parameters are those of `init_from`, or None.

    Raises:
      UserError: if names are unknown, no view is left to train on, or neither settings nor
        parameters are given.
    """
    if isinstance(init_from, str | Path):
        raise UserError("`init_from` is a trained field: open it with nerf.load_params or load_run")
    if config is None:
        if init_from is None:
            raise UserError("give `config` (see nerf.fit_config) or `init_from`")
        config = init_from.config
    if not isinstance(config, Config):
        raise UserError(f"`config` is a Config, not {config!r}: make one with nerf.fit_config")
    name = field or (init_from.field_name if init_from else field_lib.name_of(config.field))
    if name is None:
        raise UserError("which field these settings are for is not known: give `field`")
    spec = field_lib.spec(name)
    if spec is not None and not isinstance(config.field, spec.config):
        raise UserError(f"these settings are not for the field {name!r}: fit others to the scene")
    if precision not in settings.PRECISIONS:
        known = ", ".join(settings.PRECISIONS)
        raise UserError(f"unknown `precision` {precision!r}: choose one of {known}")
    dtype = settings.compute_dtype(precision)
    config = dataclasses.replace(
        config, field=dataclasses.replace(config.field, compute_dtype=dtype)
    )
    if init_from is not None and init_from.backend != backend:
        init_from = load.in_backend(init_from, backend)
    made = field_lib.make_field(backend, name, config.field)
    if init_from is not None:
        parameters.check(init_from.params, made, config, init_from.origin)
    record = SceneRecord.of(scene, config.train.holdout)
    if not record.split.train:
        raise UserError(
            f"the scene {scene.name} has no view to train on: it has {scene.num_views}, and every "
            f"{config.train.holdout}th from view 0 on is held out; at least two are needed"
        )
    return TrainedField(
        backend=backend,
        field_name=name,
        field=made,
        params=None if init_from is None else init_from.params,
        config=config,
        step=None,
        space=scene.space,
        scene=record,
        scene_name=scene.name,
        source=scene.source,
        provenance=_provenance(init_from),
        origin="from scratch" if init_from is None else init_from.origin,
        precision=precision,
    )


def _provenance(init_from: TrainedField | None) -> str:
    """Where training started, without a path, which would not outlive a move."""
    if init_from is None:
        return "none"
    if init_from.run_dir is not None:
        return f"the run {init_from.run_dir.resolve().name}"
    if init_from.is_pretrained:
        return init_from.provenance
    return f"parameters with the checksum {parameters.checksum(init_from.params):08x}"


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


def _train_in_folder(run: "_Run", folder: Path) -> TrainedField:
    """Trains, or resumes where the folder holds a training run; the folder is locked."""
    record = run.record()
    if run_folder.holds_training(folder) and not run.options.resume:
        aside = run_folder.set_aside(folder, run_folder.REPLACED)
        run_folder.prepare(folder)
        note(run.callback, f"the earlier training is now in {aside}")
    resume_from = None if run.init_from is None else run.init_from.run_dir
    if run_folder.holds_training(folder):
        run_folder.check_same_training(folder, record)
    elif resume_from is not None:
        run_folder.check_same_training(resume_from, record, elsewhere=True)
    run_folder.write_json(folder / run_folder.SCENE_FILE, run.fresh.needed_scene().to_json())
    store = FolderStore(
        folder,
        run.fresh.header(),
        run.callback,
        resume_from=resume_from,
        tensorboard=run.options.tensorboard,
    )
    trained = run.train(store, folder)
    if run.num_steps_taken == 0:  # a run that was killed may lack the file
        store.save_params(trained.params, trained.step or 0)
    write_training_charts(folder, trained, run.scene, run.callback)
    return dataclasses.replace(trained, run_dir=folder)


class _Run:
    """One call of `train`, everything decided."""

    def __init__(
        self,
        scene: Scene,
        fresh: TrainedField,
        init_from: TrainedField | None,
        seed: int,
        options: TrainOptions,
        loop_config: LoopConfig,
        callback: Callback,
        was_stopped: loop.AskFn,
        started: float,
    ):
        self.scene = scene
        self.fresh = fresh
        self.init_from = init_from
        self.seed = seed
        self.options = options
        self.loop_config = loop_config
        self.callback = callback
        self.was_stopped = was_stopped
        self.started = started
        self.num_steps_taken = 0

    def record(self) -> dict[str, Any]:
        """What `config.json` holds."""
        return training_record.run_record(self.fresh, self.scene, mode="train", seed=self.seed) | {
            "loop": self.loop_config._asdict(),
            "on_collapse": self.options.on_collapse,
            "renderer": self.options.renderer or "default",
            **self.options.record,
        }

    def train(self, store: Store, folder: Path | None = None) -> TrainedField:
        """Trains until the run is complete; restarts it where it collapses, if that is asked for.

        Raises:
          UserError: if training collapses for good.
          Interrupted: after an interrupt, where the store keeps what was trained.
        """
        views = self._training_views()
        step_fn = self._make_step()
        while True:
            restarts = store.num_restarts
            try:
                state = self._attempt(store, step_fn, views, keeps=folder is not None)
                break
            except TrainingCollapsed as collapse:
                if self.options.on_collapse == "stop" or restarts == MAX_RESTARTS:
                    raise UserError(_collapse_message(collapse, folder, restarts)) from collapse
                where = store.set_aside_collapsed()
                note(
                    self.callback,
                    f"{collapse}. Restarting from another key, restart {restarts + 1} of "
                    f"{MAX_RESTARTS}; what collapsed is {where}",
                )
        return self.fresh.with_params(jax.device_get(state.params), int(state.step))

    def _training_views(self) -> TrainingViews:
        scene = self.scene
        indices = np.array(self.fresh.needed_scene().split.train)
        views = TrainingViews(
            jnp.asarray(scene.images[indices]),
            jax.tree.map(lambda x: jnp.asarray(x[indices]), scene.cameras),
            None if scene.alpha is None else jnp.asarray(scene.alpha[indices]),
        )
        num_rays = views.images[..., 0].size
        say(self.callback, f"training on {num_rays:,} rays of {len(indices)} views")
        return views

    def _make_step(self) -> StepFn:
        return make_step(
            self.fresh.field,
            self.fresh.config,
            space=self.scene.space,
            rays_per_microbatch=self.options.rays_per_microbatch,
            debug=self.options.debug,
        )

    def _attempt(
        self, store: Store, step_fn: StepFn, views: TrainingViews, *, keeps: bool
    ) -> TrainState:
        """One attempt, from the first or the newest stored state on."""
        callback, config = self.callback, self.loop_config
        ended: list[TrainState] = []
        record = {**self.record(), "restarts": store.num_restarts}
        try:
            with (
                interrupt_between_steps(lambda text: note(self.callback, text)) as interrupted,
                store.open(record) as opened,
            ):
                state = opened.first_state(self._fresh_state(store.num_restarts), config.goal)
                first_step, before = int(state.step), opened.metrics_before()

                def should_stop() -> bool:
                    return interrupted() or self.was_stopped()

                state = loop.train(
                    step_fn,
                    state,
                    views,
                    num_rays=self.fresh.config.train.num_rays,
                    log=opened,
                    config=config,
                    hooks=loop.Hooks(
                        opened.save,
                        opened.wait,
                        self._preview(opened, callback, should_stop),
                        should_stop,
                    ),
                    callback=callback,
                    seconds_before=_seconds_before(before, self.started),
                    evaluate_first=self._evaluates_first(first_step, before),
                )
                ended.append(state)
                self.num_steps_taken = int(state.step) - first_step
        except Interrupted:
            if keeps or not ended:
                raise
        return ended[-1]

    def _preview(self, opened: OpenStore, callback: Callback, should_stop: loop.AskFn) -> Any:
        options = self.options
        return Preview(
            self.fresh,
            self.scene,
            opened,
            callback,
            should_stop,
            renderer=options.renderer,
            debug=options.debug,
        ).evaluate

    def _evaluates_first(self, first_step: int, before: Sequence[Mapping[str, Any]]) -> bool:
        given = first_step > 0 or self.fresh.params is not None
        is_scored = any(loop.TEST_PSNR in line and line["step"] == first_step for line in before)
        return given and not is_scored

    def _fresh_state(self, restarts: int) -> TrainState:
        key = jax.random.key(self.seed)
        key = jax.random.fold_in(key, restarts) if restarts else key
        return init_state(self.fresh.field, self.fresh.config, key, self.fresh.params)


def _stoppable(callback: Callback) -> tuple[Callback, loop.AskFn]:
    """A callback that notes `StopTraining`, and whether it was raised."""
    stops: list[bool] = []

    def call(event: Event) -> None:
        try:
            callback(event)
        except StopTraining:
            stops.append(True)

    return call, lambda: bool(stops)


def _seconds_before(metrics: Sequence[Mapping[str, Any]], started: float) -> float:
    """What the run has taken up to now: earlier processes up to what was saved, and this one."""
    recorded = float(metrics[-1].get("seconds") or 0.0) if metrics else 0.0
    return recorded + time.monotonic() - started


def _collapse_message(collapse: TrainingCollapsed, folder: Path | None, restarts: int) -> str:
    tried = f" (also after {restarts} restarts)" if restarts else ""
    saved = f"; states saved before are in {folder}" if folder else ""
    return (
        f'{collapse}{tried}. `on_collapse="restart"` restarts from another key, `resume=False` '
        f"starts anew with other settings{saved}"
    )
