"""Progress: a bar on a terminal; in a log file a whole line from time to time."""

import sys
from typing import TextIO

import tqdm

SECONDS_BETWEEN_LINES = 20.0
_LINE = (
    "{desc}: {n_fmt}/{total_fmt} ({percentage:.0f} %), {rate_fmt}, "
    "{elapsed} elapsed, {remaining} left{postfix}"
)


class _LineStream:
    """A stream for tqdm that writes each update on a new line.

    tqdm begins an update with a carriage return, which overwrites the last line of a terminal.
    """

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
    """Makes a progress bar that shows count, rate and time left.

    Args:
      total: the count at the end.
      desc: the name of the work, e.g. `training`.
      unit: what is counted, e.g. `step`.
      initial: the count at the beginning; a resumed run begins at its step.
      unit_scale: whether large counts are shortened, e.g. to 1.2M.
      stream: where the bar is written; None means stderr. A stream that is not a terminal gets
        whole lines: at the beginning, every `SECONDS_BETWEEN_LINES`, and at the end.

    Returns:
      The bar, to be used in a `with` block; `update(n)` adds to the count.
    """
    stream = sys.stderr if stream is None else stream
    bar = {
        "total": total, "desc": desc, "unit": unit, "initial": initial, "unit_scale": unit_scale
    }  # fmt: skip
    if stream.isatty():
        return tqdm.tqdm(**bar, file=stream, dynamic_ncols=True, smoothing=0.1)
    return tqdm.tqdm(
        **bar,
        file=_LineStream(stream),
        ncols=1000,
        bar_format=_LINE,
        mininterval=SECONDS_BETWEEN_LINES,
        maxinterval=float("inf"),
        miniters=1,
        smoothing=0.1,
    )
