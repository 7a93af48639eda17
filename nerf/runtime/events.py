"""Events: messages, progress, metrics and previews, which the library reports to a callback.

Library functions neither print nor draw progress bars. They take a `callback`, a function of one
event. The default, `log_event`, passes events to Python's `logging` under the name `nerf`.

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
import math
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

LOGGER = logging.getLogger("nerf")
_SECONDS_BETWEEN_LOG_LINES = 20.0


@dataclasses.dataclass(frozen=True)
class Message:
    """One line of text.

    Attributes:
      text: the line.
      is_note: whether it is a note that the user should read, and not only a report.
    """

    text: str
    is_note: bool = False


@dataclasses.dataclass(frozen=True)
class Progress:
    """The progress of a task.

    Attributes:
      task: its name, e.g. `training`.
      done, total: counts, in `unit`.
      unit: what is counted, e.g. `step`.
      detail: the latest figures as text; may be empty.
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
        """Reports the start and the end of a task, also if it fails; yields its reporter."""
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
        """Adds to the count and reports it."""
        self.move_to(self._progress.done + count)

    def move_to(self, done: int) -> None:
        """Sets the count, at most the total, and reports it."""
        done = min(done, self._progress.total)
        self._progress = dataclasses.replace(self._progress, done=done)
        self.report()

    def set_detail(self, detail: str) -> None:
        """Sets the text of the next reports."""
        self._progress = dataclasses.replace(self._progress, detail=detail)

    def report(self, *, is_last: bool = False) -> None:
        self._callback(dataclasses.replace(self._progress, is_last=is_last))


@dataclasses.dataclass(frozen=True)
class StepMetrics:
    """Metrics of a training step.

    Attributes:
      step: the number of steps done.
      values: `loss`, `psnr` in dB of the batch, `grad_norm`, `acc`, `rays_per_second`, `seconds`;
        no rate at the first step, which is compiled.
    """

    step: int
    values: Mapping[str, float]


def ssim_text(value: float, digits: int = 4) -> str:
    """SSIM in words; NaN, which JSON has as null, is that of images smaller than its window.

    >>> ssim_text(0.51234), ssim_text(float("nan"))
    ('SSIM 0.5123', 'SSIM not defined (a side is below 11 pixels)')
    """
    if math.isnan(value):
        return "SSIM not defined (a side is below 11 pixels)"
    return f"SSIM {value:.{digits}f}"


@dataclasses.dataclass(frozen=True)
class Preview:
    """A held-out view, rendered and scored during training.

    Attributes:
      step: number of steps done.
      view: index of the view.
      image: `[height, width, 3]`, sRGB in [0, 1]; smaller than the view where that is large.
      psnr: in dB, against the view's own image, scaled down by area to the same size.
      ssim: at most 1; NaN where a side of the image is below 11 pixels.
      view_size: height and width of the view itself.
      name: of the view.
    """

    step: int
    view: int
    image: npt.NDArray[np.float32]
    psnr: float
    ssim: float
    view_size: tuple[int, int]
    name: str = ""

    @property
    def text(self) -> str:
        """The scores in one line, with the size where the image is smaller than the view."""
        height, width = self.image.shape[:2]
        size = f" at {width}x{height}" if (height, width) != self.view_size else ""
        named = f" ({self.name})" if self.name else ""
        return (
            f"step {self.step}: held-out view {self.view}{named}{size}: PSNR {self.psnr:.2f} dB, "
            f"{ssim_text(self.ssim)}"
        )


Event = Message | Progress | StepMetrics | Preview
Callback = Callable[[Event], None]


class StopTraining(Exception):
    """Raised by a callback to end training after the current step; the result is kept."""


def say(callback: Callback, text: str) -> None:
    """Reports a line."""
    callback(Message(text))


def note(callback: Callback, text: str) -> None:
    """Reports a note that the user should read."""
    callback(Message(text, is_note=True))


class _EventLogger:
    """Writes events to Python's logging; progress every 20 seconds and at its end."""

    def __init__(self) -> None:
        self._last_line = time.monotonic()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Message):
            level = logging.WARNING if event.is_note else logging.INFO
            LOGGER.log(level, "%s", event.text)
        elif isinstance(event, Preview):
            LOGGER.info("%s", event.text)
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
