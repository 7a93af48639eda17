"""One clock and one decision to stop for all processes of a job.

Each process runs the whole training loop, and the loops must take the same decisions: how many
steps, which learning rate, whether to score, to save, to stop. They depend on the time and on
signals. So the time is that of the first process, and it moves only where all processes meet: after
each call of the device, after a score, after a save. There each also says whether it was asked to
stop.
"""

import time
from collections.abc import Callable, Mapping

import numpy as np

from nerf.runtime import exchange
from nerf.training.loop import Hooks
from nerf.training.optimizer import TimeBudget
from nerf.training.state import TrainState
from nerf.training.step import Metrics, StepFn


class Lockstep:
    """What the processes agree on.

    Args:
      stop_request: whether this process was asked to stop: 0 if not, any other number if so.
      started: `time.monotonic()` when the time of the run began; that of the first process counts.
    """

    def __init__(self, stop_request: Callable[[], int], started: float):
        self._own_stop_request = stop_request
        self._started = started
        self.stop_request = 0  # the largest number of all processes
        self._now = 0.0
        self.synchronize()

    def clock(self) -> float:
        """Seconds since the run began, at the last meeting."""
        return self._now

    def should_stop(self) -> bool:
        """Whether any process was asked to stop before the last meeting."""
        return self.stop_request > 0

    def synchronize(self) -> None:
        """Waits for the other processes, and takes over the time and any request to stop."""
        own = np.array([time.monotonic() - self._started, float(self._own_stop_request())])
        everyones = exchange.all_gather(own)
        self._now = float(everyones[0, 0])
        self.stop_request = max(self.stop_request, int(everyones[:, 1].max()))

    def step_fn(self, step_fn: StepFn) -> StepFn:
        """A training step after which the processes meet."""

        def step(
            state: TrainState, num_steps: int = 1, budget: TimeBudget | None = None, /
        ) -> tuple[TrainState, Metrics]:
            result = step_fn(state, num_steps, budget)
            self.synchronize()
            return result

        return step

    def hooks(self, hooks: Hooks) -> Hooks:
        """Hooks after which the processes meet; they take the time and the stop from here."""

        def save(state: TrainState, score: float | None) -> None:
            hooks.save(state, score)
            self.synchronize()

        def evaluate(state: TrainState) -> Mapping[str, float] | None:
            scores = hooks.evaluate(state)
            self.synchronize()
            return scores

        def plan(rays_per_second: float, seconds: float) -> float:
            return float(exchange.broadcast_value(hooks.plan(rays_per_second, seconds)))

        return hooks._replace(
            save=save,
            evaluate=evaluate,
            plan=plan,
            should_stop=self.should_stop,
            clock=self.clock,
        )
