"""Progress on a terminal as a bar, in a log file as whole lines now and then."""

import sys
from typing import TextIO

import tqdm

SECONDS_BETWEEN_LINES = 20.0
_LINE = (
    "{desc}: {n_fmt}/{total_fmt} ({percentage:.0f} %), {rate_fmt}, "
    "{elapsed} gone, {remaining} left{postfix}"
)


class _WholeLines:
    """What tqdm writes to: a carriage return before a text becomes a new line behind it."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        stripped = text.strip("\r\n ")
        if stripped:
            self._stream.write(f"{stripped}\n")
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


def progress_bar(
    *,
    total: int,
    desc: str,
    unit: str,
    initial: int = 0,
    unit_scale: bool = False,
    stream: TextIO | None = None,
) -> "tqdm.tqdm[None]":
    """A bar that shows count, rate and time left.

    Args:
      total: the count at the end.
      desc: what goes on.
      unit: what is counted.
      initial: the count at the beginning.
      unit_scale: whether large counts are shown as 1.2M.
      stream: where to; None for stderr. If it is no terminal, there is a line at the beginning, at
        the end, and every `SECONDS_BETWEEN_LINES`, and nothing is ever written over.
    """
    stream = sys.stderr if stream is None else stream
    bar = {
        "total": total, "desc": desc, "unit": unit, "initial": initial, "unit_scale": unit_scale
    }  # fmt: skip
    if stream.isatty():
        return tqdm.tqdm(**bar, file=stream, dynamic_ncols=True, smoothing=0.1)
    return tqdm.tqdm(
        **bar,
        file=_WholeLines(stream),
        ncols=1000,
        bar_format=_LINE,
        mininterval=SECONDS_BETWEEN_LINES,
        maxinterval=float("inf"),
        miniters=1,
        smoothing=0.1,
    )
