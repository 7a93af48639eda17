"""The training loop: steps, progress, metrics, checkpoints."""

import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import jax
import tqdm

from nerf.errors import UserError
from nerf.training.checkpoint import Checkpoints
from nerf.training.step import Metrics, StepFn, TrainingViews, TrainState

METRICS_FILE = "metrics.jsonl"


class LoopConfig(NamedTuple):
    """When the loop stops and what it writes on its way.

    Attributes:
      num_steps: the step at which the run is complete.
      max_seconds: stop earlier after this much time, compilation included; None for no limit.
      log_every: steps between two lines of `metrics.jsonl`.
      save_every: steps between two checkpoints.
    """

    num_steps: int
    max_seconds: float | None = None
    log_every: int = 10
    save_every: int = 500


def train(
    step_fn: StepFn,
    state: TrainState,
    views: TrainingViews,
    *,
    num_rays: int,
    run_dir: Path,
    checkpoints: Checkpoints,
    config: LoopConfig,
    on_save: Callable[[TrainState], None],
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainState:
    """Runs steps until the run is complete, its time is over, or it is told to stop.

    Args:
      step_fn: from `nerf.training.step.make_step`; it takes over the state's buffers.
      state: where to go on from.
      views: what to draw rays from.
      num_rays: rays a step, for the rate.
      run_dir: `metrics.jsonl` is written here.
      checkpoints: where states go, at intervals and at the end.
      config: see `LoopConfig`.
      on_save: called with every state that is saved, before it is.
      should_stop: asked between two steps.

    Returns:
      The last state.

    Raises:
      UserError: if the loss is no longer a finite number; the last checkpoint stays.
    """
    first_step = int(state.step)
    start = time.monotonic()

    def save(state: TrainState) -> None:
        on_save(state)  # first, since it may refuse the state
        checkpoints.save(state)

    with (
        (run_dir / METRICS_FILE).open("a", encoding="utf-8") as log,
        _progress_bar(first_step, config.num_steps) as bar,
    ):
        timer = _Timer(start, first_step)
        for step in _steps(first_step, start, config):
            state, metrics = step_fn(state, views)
            is_last = step == config.num_steps
            if step == first_step + 1 or step % config.log_every == 0 or is_last:
                values = jax.device_get(metrics)
                _check_finite(values, step, run_dir)
                rate = num_rays * timer.steps_per_second(step)
                _log(log, step, values, rate, time.monotonic() - start)
                bar.set_postfix_str(f"PSNR {values.psnr:.2f} dB, {rate:,.0f} rays/s")
            bar.update()
            if should_stop():
                break
            if step % config.save_every == 0 and not is_last:
                save(state)
    if int(state.step) > first_step:
        save(state)
    return state


class _Timer:
    """The rate since the reading before; the first covers the compilation."""

    def __init__(self, now: float, step: int):
        self._last = (now, step)

    def steps_per_second(self, step: int) -> float:
        (then, last_step), now = self._last, time.monotonic()
        self._last = (now, step)
        return (step - last_step) / max(now - then, 1e-9)


def _steps(first_step: int, start: float, config: LoopConfig) -> Iterator[int]:
    for step in range(first_step + 1, config.num_steps + 1):
        if config.max_seconds is not None and time.monotonic() - start > config.max_seconds:
            return
        yield step


def _progress_bar(first_step: int, num_steps: int) -> "tqdm.tqdm[None]":
    return tqdm.tqdm(
        total=num_steps, initial=first_step, desc="training", unit="step", dynamic_ncols=True
    )


def _log(log: IO[str], step: int, metrics: Metrics, rate: float, seconds: float) -> None:
    line = {
        "step": step,
        "loss": float(metrics.loss),
        "psnr": float(metrics.psnr),
        "grad_norm": float(metrics.grad_norm),
        "rays_per_second": round(rate, 1),
        "seconds": round(seconds, 3),
    }
    log.write(json.dumps(line) + "\n")
    log.flush()


def _check_finite(metrics: Metrics, step: int, run_dir: Path) -> None:
    if not math.isfinite(metrics.loss) or not math.isfinite(metrics.grad_norm):
        raise UserError(
            f"the loss or its gradient is not finite at step {step} (loss {metrics.loss}, gradient "
            f"norm {metrics.grad_norm}): try a smaller --lr; states saved before are in {run_dir}"
        )
