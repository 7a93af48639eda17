"""The training loop: steps, progress, metrics, health, held-out scores, checkpoints."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

import jax

from nerf.runtime.events import Callback, Progress, ProgressReporter, StepMetrics, ignore_event
from nerf.training import health
from nerf.training.meter import Meter, PlanFn
from nerf.training.state import TrainState
from nerf.training.step import Metrics, StepFn

TEST_PSNR = "test_psnr"
UNLIMITED_STEPS = 2**31 - 1  # number of steps of a run that ends with its time alone
_SCORES_OF_TIMED_RUN = 10


class LoopConfig(NamedTuple):
    """When the loop stops, and how often it reads, saves and scores.

    Attributes:
      num_steps: the step at which the run is complete; `UNLIMITED_STEPS` where only time limits it.
      stop_at: a step at which to stop before that; None for none.
      max_seconds: the run is complete after this time, compilation and images included,
        and the learning rate follows the time; scores and saving take at most a tenth of it, by
        what they are measured to cost. None for no limit.
      log_every: steps between two readings.
      save_every: the most steps that can be lost. States are written in the background, two in
        each interval, so that this holds even if the process ends during a write; fewer where
        time is limited and saving would take too much of it.
      eval_every: steps between two held-out scores, 0 for none; where `num_steps` is
        `UNLIMITED_STEPS`, any other number means ten scores over the time, or fewer.
      steps_per_call: the most steps in one call of the device; clock and interrupts are checked
        between calls.
    """

    num_steps: int
    stop_at: int | None = None
    max_seconds: float | None = None
    log_every: int = 10
    save_every: int = 500
    eval_every: int = 0
    steps_per_call: int = 1

    @property
    def last_step(self) -> int:
        """The step at which the loop stops, unless the time ends before."""
        return self.num_steps if self.stop_at is None else min(self.stop_at, self.num_steps)

    def saves_at(self, step: int) -> bool:
        return step % max(1, self.save_every // 2) == 0

    @property
    def is_timed(self) -> bool:
        """Whether the time alone decides when the run is complete."""
        return self.max_seconds is not None and self.num_steps == UNLIMITED_STEPS

    @property
    def goal(self) -> str:
        """The end of the run for messages, e.g. `60 s` or `1000`."""
        return f"{self.max_seconds:g} s" if self.is_timed else f"{self.num_steps}"

    def evaluates_at(self, step: int) -> bool:
        return not self.is_timed and self.eval_every > 0 and step % self.eval_every == 0

    def score_number(self, seconds: float) -> int:
        """The number of scores that are due in a timed run after some seconds."""
        if not self.is_timed or self.max_seconds is None or self.eval_every == 0:
            return 0
        return int(_SCORES_OF_TIMED_RUN * min(seconds / self.max_seconds, 1.0))

    def next_stop(self, step: int) -> int:
        """The next step after which the loop has something to do."""
        intervals = [self.log_every, max(1, self.save_every // 2), self.eval_every]
        events = [step + n - step % n for n in intervals if n > 0]
        return min([step + self.steps_per_call, self.last_step, *events])


ShouldStopFn = Callable[[], bool]


class MetricsWriter(Protocol):
    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Stores metrics of a training step, or held-out scores."""


class SaveFn(Protocol):
    def __call__(self, state: TrainState, score: float | None) -> None:
        """Saves a state in the background, with its held-out PSNR where there is one."""


class Hooks(NamedTuple):
    """Functions that the loop calls.

    Attributes:
      save: see `SaveFn`.
      wait: returns when what was saved is on disk.
      evaluate: held-out scores of a state, `test_psnr` among them; None if it was interrupted.
      plan: see `nerf.training.meter.PlanFn`.
      should_stop: asked between two steps.
      watch: receives the state and its step after each call of the device, which takes over the
        state's buffers at the next: what it keeps it must copy.
      clock: the time in seconds; None means `time.monotonic`.
    """

    save: SaveFn
    wait: Callable[[], None] = lambda: None
    evaluate: Callable[[TrainState], Mapping[str, float] | None] = lambda state: None
    plan: PlanFn = lambda rays_per_second, seconds: 0.0
    should_stop: ShouldStopFn = lambda: False
    watch: Callable[[TrainState, int], None] = lambda state, step: None
    clock: Callable[[], float] | None = None


def train(
    step_fn: StepFn,
    state: TrainState,
    *,
    num_rays: int,
    log: MetricsWriter,
    config: LoopConfig,
    hooks: Hooks,
    callback: Callback = ignore_event,
    seconds_before: float = 0.0,
    evaluate_first: bool = False,
) -> TrainState:
    """Runs steps until the run is complete, its time is over, or a hook asks it to stop.

    Args:
      step_fn: from `nerf.training.step.make_step`; it takes over the state's buffers.
      state: the state to start from.
      num_rays: rays a step, for the rate.
      log: where readings and scores go.
      config: see `LoopConfig`.
      hooks: see `Hooks`.
      callback: receives progress and readings.
      seconds_before: how long the run has taken up to `state`.
      evaluate_first: whether `state` gets a held-out score if it falls on the interval.

    Returns:
      The last state.

    Raises:
      TrainingCollapsed: if it leads nowhere any more; the states saved before stay.
      UserError: from the hooks.
    """
    first_step, score = int(state.step), None
    meter = Meter(num_rays, first_step, seconds_before, config.max_seconds, hooks.clock)
    scores_done = config.score_number(meter.seconds)
    with _progress(callback, config, first_step, meter) as progress:
        if evaluate_first and config.evaluates_at(first_step) and config.max_seconds is None:
            _evaluate(state, hooks, log, meter)
        for before, step in _calls(first_step, config, meter):
            budget = meter.time_budget(before, step, config.num_steps)
            state, metrics = step_fn(state, step - before, budget)
            meter.note_call()
            hooks.watch(state, step)
            due = config.score_number(meter.seconds)
            is_last = step == config.last_step or due == _SCORES_OF_TIMED_RUN
            evaluates = (config.evaluates_at(step) or due > scores_done) and meter.may_score(
                hooks.plan, step, is_last=is_last
            )
            scores_done = due if evaluates else scores_done
            saves = evaluates or (config.saves_at(step) and meter.may_save())
            if step == first_step + 1 or step % config.log_every == 0 or saves or is_last:
                latest_metrics = _read(state, metrics, meter)
                log.write(step, latest_metrics)
                progress.set_detail(_detail(config, step, latest_metrics))
                callback(StepMetrics(step, latest_metrics))
            progress.move_to(_progress_count(config, step, meter))
            if hooks.should_stop():
                break
            if evaluates:
                score = _evaluate(state, hooks, log, meter)
            if saves and not is_last:
                with meter.saving(scored=evaluates):
                    hooks.save(state, score)
                    if config.save_every == 1:
                        hooks.wait()
                score = None
    if int(state.step) > first_step:
        hooks.save(state, score)
    return state


def _progress(
    callback: Callback, config: LoopConfig, step: int, meter: Meter
) -> contextlib.AbstractContextManager[ProgressReporter]:
    """Progress in steps, or in seconds where the time alone ends the run."""
    return Progress.of(
        callback,
        "training",
        total=math.ceil((config.max_seconds or 0.0) if config.is_timed else config.num_steps),
        unit="s" if config.is_timed else "step",
        done=_progress_count(config, step, meter),
    )


def _progress_count(config: LoopConfig, step: int, meter: Meter) -> int:
    return int(meter.seconds) if config.is_timed else step


def _calls(first_step: int, config: LoopConfig, meter: Meter) -> Iterator[tuple[int, int]]:
    """Steps before and after each call of the device; the first one is one step, and compiles."""
    step = first_step
    while step < config.last_step:
        if config.max_seconds is not None and meter.seconds >= config.max_seconds:
            return
        before, step = step, step + 1 if step == first_step else config.next_stop(step)
        yield before, step


def _read(state: TrainState, metrics: Metrics, meter: Meter) -> dict[str, float]:
    """Fetches the metrics of the last step and checks the health of the run."""
    values, health_values = jax.device_get((metrics, state.health))
    step = int(state.step)
    health.check(health_values, step)
    values_by_name = {name: float(value) for name, value in values._asdict().items()}
    return {**values_by_name, **meter.rate(step), "seconds": round(meter.seconds, 3)}


def _evaluate(state: TrainState, hooks: Hooks, log: MetricsWriter, meter: Meter) -> float | None:
    """Writes the held-out scores of a state; returns the PSNR, or None without one."""
    clock = hooks.clock or time.monotonic
    start = clock()
    scores = hooks.evaluate(state)
    meter.note_score(clock() - start)
    if scores is None:
        return None
    log.write(int(state.step), {**scores, "seconds": round(meter.seconds, 3)})
    return scores[TEST_PSNR]


def _detail(config: LoopConfig, step: int, metrics: Mapping[str, float]) -> str:
    rate = metrics.get("rays_per_second")
    return (
        f"{f'step {step}, ' if config.is_timed else ''}loss {metrics['loss']:.4f}, "
        f"PSNR {metrics['psnr']:.2f} dB{'' if rate is None else f', {rate:,.0f} rays/s'}"
    )
