"""One training run: attempts, restarts after a collapse, and the loop's arguments."""

import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from nerf.config.settings import PROPOSAL
from nerf.corrections.record import CorrectionRecord
from nerf.errors import UserError
from nerf.jobs.trained_field import TrainedField
from nerf.jobs.training_run import several_processes
from nerf.jobs.training_run.options import TrainOptions
from nerf.jobs.training_run.preview import PreviewRenderer, preview_index, size_before
from nerf.jobs.training_run.record import run_record
from nerf.jobs.training_run.views import corrections_in_words, depths_in_words, training_views
from nerf.runs import run_folder
from nerf.runs.store import OpenStore, Store
from nerf.runtime import exchange, fixed_order, global_arrays, processes
from nerf.runtime.events import Callback, note, say
from nerf.runtime.interrupts import Interrupted, interrupt_between_steps
from nerf.scenes.scene import Scene
from nerf.scenes.visual_hull import visual_hull
from nerf.training import loop
from nerf.training.health import TrainingCollapsed
from nerf.training.loop import LoopConfig
from nerf.training.state import TrainState, carve_state, init_state
from nerf.training.step import StepFn, make_step

MAX_RESTARTS = 5


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """One call of `nerf.train`, with all its arguments checked.

    Attributes:
      scene: with the images.
      fresh: the field before training; its parameters are None or where training starts.
      seed: of the random key.
      options: how it is trained.
      loop_config: when the loop stops, and how often it reads, saves and scores.
      callback: receives events.
      was_stopped: whether the callback asked to stop.
      started: `time.monotonic()` when the time of the run began.
    """

    scene: Scene
    fresh: TrainedField
    seed: int
    options: TrainOptions
    loop_config: LoopConfig
    callback: Callback
    was_stopped: loop.ShouldStopFn
    started: float

    def record(self) -> dict[str, Any]:
        """What `config.json` holds."""
        return run_record(self.fresh, self.scene, mode="train", seed=self.seed) | {
            "loop": self.loop_config._asdict(),
            "on_collapse": self.options.on_collapse,
            "renderer": self.options.renderer or "default",
            **self.options.record,
        }

    def train(self, store: Store, *, returns_on_interrupt: bool = False) -> TrainedField:
        """Trains until the run is complete; restarts it if it collapses and the options say so.

        Args:
          store: where the results go.
          returns_on_interrupt: whether an interrupt (Ctrl-C) ends training as if it were complete.

        Raises:
          UserError: if training collapses and is not restarted.
          Interrupted: after an interrupt, otherwise.
        """
        step_fn = self._make_step()
        while True:
            restarts = store.num_restarts
            try:
                state = self._attempt(store, step_fn, returns_on_interrupt)
                break
            except TrainingCollapsed as collapse:
                if self.options.on_collapse == "stop" or restarts == MAX_RESTARTS:
                    raise UserError(_collapse_message(collapse, store, restarts)) from collapse
                where = store.set_aside_collapsed()
                note(
                    self.callback,
                    f"{collapse}. Restarting from another key, restart {restarts + 1} of "
                    f"{MAX_RESTARTS}; what collapsed is {where}",
                )
        state = global_arrays.local(state)
        trained = self.fresh.with_params(jax.device_get(state.params), int(state.step))
        return dataclasses.replace(trained, corrections=self._corrections(state))

    def _corrections(self, state: TrainState) -> CorrectionRecord | None:
        """The corrections of the training views in a state; None without corrections."""
        if state.corrections is None:
            return None
        record = self.fresh.needed_scene()
        views = sorted(record.split.train)
        names = [record.view_names[index] for index in views]
        values = jax.device_get(state.corrections.values)
        return CorrectionRecord.of(values, names, record.cameras[np.array(views)])

    def _write_corrections(self, opened: OpenStore, state: TrainState) -> None:
        corrections = self._corrections(state)
        if corrections is not None:
            opened.write_json(run_folder.CORRECTIONS_FILE, corrections.to_json())

    def _make_step(self) -> StepFn:
        indices, config = self.fresh.needed_scene().split.train, self.fresh.config
        num_strata = fixed_order.num_shards(config.train.num_rays, jax.device_count())
        views = exchange.call_on_all(
            lambda: training_views(self.scene, indices, num_strata=num_strata)
        )
        num_views = len(views.layout.offsets)
        shared = "" if views.share is None else ", of which each process reads its own"
        say(self.callback, f"training on {views.num_rays:,} rays of {num_views} views{shared}")
        if self.fresh.config.train.depth == "on":
            say(self.callback, depths_in_words(self.scene, views, self.fresh.config.train))
        for text in corrections_in_words(self.fresh.config):
            say(self.callback, text)
        return make_step(
            self.fresh.field,
            self.fresh.config,
            views,
            space=self.scene.space,
            rays_per_microbatch=self.options.rays_per_microbatch,
            image_memory=self.options.image_memory,
            debug=self.options.debug,
        )

    def _attempt(self, store: Store, step_fn: StepFn, returns_on_interrupt: bool) -> TrainState:
        """One attempt, from the newest stored state or a new one to its end."""
        state: TrainState | None = None
        record = {**self.record(), "restarts": store.num_restarts}
        try:
            with (
                interrupt_between_steps(lambda text: note(self.callback, text)) as interrupted,
                store.open(record) as opened,
            ):
                fresh = self._fresh_state(store)
                first = opened.first_state(fresh, self.loop_config.goal)
                first = self._carved(first) if first is fresh else first
                first = several_processes.broadcast_state(first)
                self._write_corrections(opened, first)
                state = self._loop(opened, step_fn, first, interrupted)
        except Interrupted:
            if state is None or not returns_on_interrupt:
                raise
        return state

    def _loop(
        self,
        opened: OpenStore,
        step_fn: StepFn,
        state: TrainState,
        interrupted: loop.ShouldStopFn,
    ) -> TrainState:
        """The training loop, with this run's store, preview and callback."""
        before = exchange.broadcast_value(opened.metrics_before())

        def should_stop() -> bool:
            return interrupted() or self.was_stopped()

        def save(state: TrainState, score: float | None) -> None:
            opened.save(state, score)
            self._write_corrections(opened, state)

        synchronized = None
        if processes.count() > 1:
            synchronized = several_processes.SynchronizedLoop(
                interrupted, self.was_stopped, self.started
            )
        preview = PreviewRenderer(
            self.fresh,
            self.scene,
            opened,
            self.callback,
            should_stop if synchronized is None else synchronized.should_stop_drawing,
            self.options,
            size_before(before, self.scene.cameras[preview_index(self.fresh.needed_scene())]),
        )
        hooks = loop.Hooks(
            save,
            opened.wait,
            preview.evaluate,
            preview.plan,
            should_stop,
            lambda state, step: self.options.watch(state.params, step),
        )
        if synchronized is not None:
            step_fn, hooks = synchronized.step_fn(step_fn), synchronized.hooks(hooks)
        state = loop.train(
            step_fn,
            state,
            num_rays=self.fresh.config.train.num_rays,
            log=opened,
            config=self.loop_config,
            hooks=hooks,
            callback=self.callback,
            seconds_before=exchange.broadcast_value(_seconds_before(before, self.started)),
            evaluate_first=self._evaluates_first(int(state.step), before),
        )
        if synchronized is not None:
            synchronized.check_interrupted()
        return state

    def _evaluates_first(self, first_step: int, before: Sequence[Mapping[str, Any]]) -> bool:
        given = first_step > 0 or self.fresh.params is not None
        is_scored = any(loop.TEST_PSNR in line and line["step"] == first_step for line in before)
        return given and not is_scored

    def _fresh_state(self, store: Store) -> TrainState:
        key = jax.random.key(self.seed)
        key = jax.random.fold_in(key, store.num_restarts) if store.num_restarts else key
        num_views = len(self.fresh.needed_scene().split.train)
        return init_state(
            self.fresh.field, self.fresh.config, key, self.fresh.params, num_views=num_views
        )

    def _carved(self, state: TrainState) -> TrainState:
        """A state before its first step, whose proposal stores what is empty in this scene."""
        occupied = self._occupied
        return state if occupied is None else carve_state(self.fresh.field, state, occupied)

    @functools.cached_property
    def _occupied(self) -> npt.NDArray[np.bool_] | None:
        """The cells of the proposal grid that the scene may occupy: those in the visual hull, or
        all cells of a scene without one. None if the field's proposal does not store them.
        """
        config, scene = self.fresh.config, self.scene
        proposal = self.fresh.field.proposal
        if config.render.networks != PROPOSAL or proposal is None or proposal.carve is None:
            return None
        grid = config.field.proposal
        nx, ny, nz = (count - 1 for count in grid.resolution)
        all_occupied = np.ones((nx, ny, nz), np.bool_)
        if not scene.has_hull:
            return all_occupied  # given parameters may know what is empty in another scene
        views = self.fresh.needed_scene().split.train
        occupied = visual_hull(
            scene.cameras,
            scene.images,
            views,
            (grid.low, grid.high),
            (nx, ny, nz),
            are_exact=config.train.poses == "off",
        )
        if not occupied.any():
            note(
                self.callback,
                "no point is opaque in every view that sees it: the poses may be "
                "wrong; empty space is not skipped",
            )
            return all_occupied
        share = f"{occupied.mean():.0%} of the box"
        say(
            self.callback,
            f"the transparent pixels show that the object is within {share}; only this part is "
            "sampled",
        )
        return occupied


def _seconds_before(metrics: Sequence[Mapping[str, Any]], started: float) -> float:
    """The run's seconds up to now: of earlier processes, up to what they saved, and of this one."""
    recorded = float(metrics[-1].get("seconds") or 0.0) if metrics else 0.0
    return recorded + time.monotonic() - started


def _collapse_message(collapse: TrainingCollapsed, store: Store, restarts: int) -> str:
    tried = f" (also after {restarts} restarts)" if restarts else ""
    saved = f"; states saved before are in {store.folder}" if store.folder else ""
    return (
        f'{collapse}{tried}. `on_collapse="restart"` restarts from another key, `resume=False` '
        f"starts anew with other settings{saved}"
    )
