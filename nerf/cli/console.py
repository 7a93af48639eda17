"""What the library reports, on a terminal: lines on stdout, progress on stderr."""

import io
import sys
from typing import TextIO

import tqdm
from absl import flags

from nerf.cli.messages import as_flags
from nerf.runtime.events import Event, Message, Preview, Progress
from nerf.runtime.progress import progress_bar

_LARGE_COUNT = 100_000  # shown as 1.2M


def print_anything() -> None:
    r"""Lets stdout and stderr print every name: characters outside their encoding become escapes.

    A file name may be any bytes, which need not be UTF-8 (`caf\udce9.png`), and a terminal or a
    file may take few letters (`\u5199.png`).
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # another program may have replaced it
            stream.reconfigure(errors="backslashreplace")


class Console:
    """A callback that prints messages and draws one progress bar at a time.

    Args:
      stream: for progress, see `nerf.runtime.progress`; None means stderr.
      defined: the flags that messages may name.

    Attributes:
      is_silent: whether nothing is printed, as in all processes of a job but the first.
    """

    def __init__(self, stream: TextIO | None = None, defined: flags.FlagValues = flags.FLAGS):
        self._stream = stream
        self._defined = defined
        self._bar: tqdm.tqdm[None] | None = None
        self._task = ""
        self.is_silent = False

    def __call__(self, event: Event) -> None:
        if self.is_silent:
            return
        if isinstance(event, Message):
            self.print(f"note: {event.text}" if event.is_note else event.text)
        elif isinstance(event, Progress):
            self._show(event)
        elif isinstance(event, Preview):
            self.print(event.text)

    def print(self, text: str) -> None:
        """Prints a line above the bar."""
        if self.is_silent:
            return
        tqdm.tqdm.write(as_flags(text, self._defined), file=sys.stdout)
        sys.stdout.flush()

    def _show(self, event: Progress) -> None:
        if self._bar is not None and event.task != self._task:
            self._close()
        if self._bar is None:
            self._task = event.task
            self._bar = progress_bar(
                total=event.total,
                desc=event.task,
                unit=event.unit,
                initial=event.done,
                unit_scale=event.total > _LARGE_COUNT,
                stream=self._stream,
            )
        if event.detail:
            self._bar.set_postfix_str(event.detail, refresh=False)
        self._bar.update(event.done - self._bar.n)
        if event.is_last:
            self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None
