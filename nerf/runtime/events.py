"""What long work reports on its way: one callback that receives messages, progress and scores.

Library functions neither print nor draw progress bars. Each takes a `callback`, a function of one
event; `log_event`, the default, passes events to Python's `logging` under the name `nerf`.

>>> received = []
>>> with Progress.of(received.append, "frames", total=2, unit="frame") as progress:
...     progress.advance(1)
...     progress.advance(1)
>>> [(event.task, event.done, event.is_last) for event in received]
[('frames', 0, False), ('frames', 1, False), ('frames', 2, False), ('frames', 2, True)]
"""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

LOGGER = logging.getLogger("nerf")
_SECONDS_BETWEEN_LOG_LINES = 20.0


@dataclasses.dataclass(frozen=True)
class Message:
    """One sentence or line.

    Attributes:
      text: what is said.
      is_note: whether it is something that the user should know, and not only a report.
    """

    text: str
    is_note: bool = False


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a task is.

    Attributes:
      task: what is done, e.g. `training`.
      done, total: counts, in `unit`.
      unit: what is counted, e.g. `step`.
      detail: the latest figures as text, may be empty.
      is_last: whether the task has ended, complete or not.
    """

    task: str
    done: int
    total: int
    unit: str
    detail: str = ""
    is_last: bool = False

    @staticmethod
    @contextlib.contextmanager
    def of(
        callback: "Callback", task: str, *, total: int, unit: str, done: int = 0
    ) -> Iterator["ProgressReporter"]:
        """Reports the progress of a task from its beginning to its end, also where it fails."""
        reporter = ProgressReporter(callback, Progress(task, done, total, unit))
        reporter.report()
        try:
            yield reporter
        finally:
            reporter.report(is_last=True)


class ProgressReporter:
    """Sends the progress of one task to a callback; see `Progress.of`."""

    def __init__(self, callback: "Callback", progress: Progress):
        self._callback = callback
        self._progress = progress

    @property
    def done(self) -> int:
        return self._progress.done

    def advance(self, count: int) -> None:
        """Adds to what is done."""
        self.move_to(self._progress.done + count)

    def move_to(self, done: int) -> None:
        """Sets what is done, at most the total."""
        done = min(done, self._progress.total)
        self._progress = dataclasses.replace(self._progress, done=done)
        self.report()

    def set_detail(self, detail: str) -> None:
        """Text for the next reports."""
        self._progress = dataclasses.replace(self._progress, detail=detail)

    def report(self, *, is_last: bool = False) -> None:
        self._callback(dataclasses.replace(self._progress, is_last=is_last))


@dataclasses.dataclass(frozen=True)
class StepMetrics:
    """A reading of training.

    Attributes:
      step: number of steps done.
      values: `loss`, `psnr` in dB of the batch, `grad_norm`, `acc`, `rays_per_second`, `seconds`.
    """

    step: int
    values: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Preview:
    """A held-out view, drawn and scored while the field is trained.

    Attributes:
      step: number of steps done.
      view: index of the view.
      image: `[height, width, 3]`, sRGB in [0, 1].
      psnr: dB.
      ssim: at most 1.
    """

    step: int
    view: int
    image: npt.NDArray[np.float32]
    psnr: float
    ssim: float


Event = Message | Progress | StepMetrics | Preview
Callback = Callable[[Event], None]


class StopTraining(Exception):
    """Raised by a callback to end training after the step that is running; the result is kept."""


def say(callback: Callback, text: str) -> None:
    """Sends a report."""
    callback(Message(text))


def note(callback: Callback, text: str) -> None:
    """Sends something that the user should know."""
    callback(Message(text, is_note=True))


class _EventLogger:
    """Events as lines of Python's logging; progress every 20 seconds, and at its end."""

    def __init__(self) -> None:
        self._last_line = time.monotonic()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Message):
            level = logging.WARNING if event.is_note else logging.INFO
            LOGGER.log(level, "%s", event.text)
        elif isinstance(event, Preview):
            LOGGER.info(
                "step %d: held-out view %d: PSNR %.2f dB, SSIM %.4f",
                event.step, event.view, event.psnr, event.ssim,
            )  # fmt: skip
        elif isinstance(event, Progress):
            now = time.monotonic()
            if event.is_last or now - self._last_line >= _SECONDS_BETWEEN_LOG_LINES:
                self._last_line = now
                LOGGER.info(
                    "%s: %d of %d %ss %s",
                    event.task, event.done, event.total, event.unit, event.detail,
                )  # fmt: skip


log_event: Callback = _EventLogger()


def ignore_event(event: Event) -> None:
    """A callback that does nothing."""
    del event
