"""The time of a run: its rate, and the share of a limited time for scores and saving."""

import contextlib
import time
from collections.abc import Callable, Iterator

from nerf.training.optimizer import TimeBudget

# Fractions of a run's seconds, where these are limited: a tenth in all.
_MAX_SCORE_FRACTION = 0.07  # with the saving of what was scored
_MAX_SAVE_FRACTION = 0.03
_RENDERER = 0.5  # of the first step's seconds, which compiling a renderer takes at most
_ONE_SCORE = 0.2  # the most that one score may take of the time for all scores
_STEPS_BEFORE_SCORES = 10  # of each process, which shows first that it trains

# Plans a held-out score: given a rate in rays a second, which rendering exceeds, and the seconds
# that the score may take, returns the seconds that it takes at that rate.
PlanFn = Callable[[float, float], float]


class Costs:
    """Measured seconds of work other than training.

    Attributes:
      limit: seconds that this process may take; None for no limit.
      first_call: of the first step, which compiles it; None before.
      scoring: of all scores, and of saving their states.
      saving: of saving other states.
      last_save: of the last state that was saved.
      last_scores: of each score.
    """

    def __init__(self, limit: float | None):
        self.limit = limit
        self.first_call: float | None = None
        self.scoring = self.saving = self.last_save = 0.0
        self.last_scores: list[float] = []

    def allow_score(self, plan: PlanFn, rays_per_second: float, *, is_last: bool) -> bool:
        """Whether there is time for a score and, unless it is the last one, for the last one too.

        A step renders its rays and then goes back through all of that; so compiling a renderer is
        assumed to take at most half of what the first step took, and a ray no longer than in
        training. From the third score on, each is assumed to take as long as the one before.
        """
        budget = _MAX_SCORE_FRACTION * (self.limit or 0.0)
        compiling = _RENDERER * (self.first_call or 0.0)
        seconds = plan(rays_per_second, max(0.0, _ONE_SCORE * (budget - compiling)))
        if self.last_scores:  # the first one's time included compilation
            last = self.last_scores[-1]
            least = last if len(self.last_scores) > 1 else last - compiling
            seconds = min(last, max(least, seconds))
        seconds += self.last_save
        num_scores = 1 if is_last else 2
        compiling = 0.0 if self.last_scores else compiling
        return self.scoring + compiling + num_scores * seconds <= budget


class Meter:
    """Time of the run, and the rate since the last reading.

    The first step of a process compiles it, so its reading has no rate.
    """

    def __init__(
        self,
        num_rays: int,
        step: int,
        seconds_before: float,
        max_seconds: float | None,
        clock: Callable[[], float] | None = None,
    ):
        self._clock = clock or time.monotonic
        self._num_rays, self._first_step = num_rays, step
        self._max_seconds = max_seconds
        self._start = self._clock()
        self._before = seconds_before
        self._last_step, self._last_time = step, self._start
        self._last_done: float | None = None
        self._costs = Costs(None if max_seconds is None else max_seconds - seconds_before)

    @property
    def seconds(self) -> float:
        """Of the whole run, over all its processes, without lost steps."""
        return self._before + self._clock() - self._start

    def time_budget(self, before: int, step: int, num_steps: int) -> TimeBudget | None:
        """How far a run of limited time is at the steps from `before` to `step`.

        Each step is assumed to take as long as the last ones. If the number of steps is limited as
        well, the limit that is nearer counts.
        """
        if self._max_seconds is None:
            return None
        done = max(self.seconds / self._max_seconds, before / num_steps)
        last, self._last_done = self._last_done, done
        per_step = 0.0 if last is None else (done - last) / (step - before)
        return TimeBudget(min(done, 1.0), per_step)

    def rate(self, step: int) -> dict[str, float]:
        """Steps and rays a second since the last call; nothing at the first step."""
        now = self._clock()
        if step == self._first_step + 1:
            self._last_step, self._last_time = step, now
            return {}
        steps = (step - self._last_step) / max(now - self._last_time, 1e-9)
        self._last_step, self._last_time = step, now
        return {"rays_per_second": round(self._num_rays * steps, 1), "steps_per_second": steps}

    def note_call(self) -> None:
        """Notes that a call of the device has returned; the first has compiled the step."""
        if self._costs.first_call is None:
            self._costs.first_call = self._clock() - self._start

    def may_score(self, plan: PlanFn, step: int, *, is_last: bool) -> bool:
        """Whether one more held-out score keeps all of them within their part of limited time.

        That part is of the whole time, so that the first images come early; but the first steps
        come before, and the last image has its share.
        """
        costs, steps = self._costs, step - self._first_step
        if costs.limit is None:
            return True
        if steps < _STEPS_BEFORE_SCORES and not is_last:
            return False
        spent = self._clock() - self._start - costs.scoring - costs.saving
        if steps > 1:
            spent, steps = spent - (costs.first_call or 0.0), steps - 1
        return costs.allow_score(plan, self._num_rays * steps / max(spent, 1e-9), is_last=is_last)

    def may_save(self) -> bool:
        """Whether the limited time so far leaves room to save one more state and the last one."""
        costs = self._costs
        seconds = self._clock() - self._start
        return costs.limit is None or (
            costs.saving + 2 * costs.last_save <= _MAX_SAVE_FRACTION * seconds
        )

    @contextlib.contextmanager
    def saving(self, *, scored: bool) -> Iterator[None]:
        """Measures the time to save a state; that of a scored one counts as scoring."""
        start = self._clock()
        yield
        seconds = self._clock() - start
        self._costs.last_save = seconds
        if scored:
            self._costs.scoring += seconds
        else:
            self._costs.saving += seconds

    def note_score(self, seconds: float) -> None:
        """Notes the time of a score, and excludes it from the next rate."""
        self._last_time += seconds
        self._costs.scoring += seconds
        self._costs.last_scores.append(seconds)
