"""Ctrl-C and SIGTERM: training finishes and saves its step first, all else ends at once."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Interrupted(KeyboardInterrupt):
    """The program was told to stop; `status` is its exit status, as shells count it."""

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.status = 128 + number


@contextlib.contextmanager
def interrupt_at_once() -> Iterator[None]:
    """Within the block, Ctrl-C and SIGTERM raise `Interrupted` wherever the program is."""

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        raise Interrupted(number, "stopped: what was saved before stays")

    with _handled_by(stop):
        yield


@contextlib.contextmanager
def interrupt_between_steps() -> Iterator[Callable[[], bool]]:
    """Turns the first signal into a question that the training loop asks between two steps.

    An exception in the middle of a step or of a save would leave a state whose buffers are gone,
    or half a checkpoint. A second signal interrupts at once.

    Yields:
      A function that says whether there was a signal; after the block, if so, `Interrupted` is
      raised.
    """
    heard: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if heard:
            raise Interrupted(number, "stopped at once: what was saved before stays")
        heard.append(number)
        print(
            f"\n{SIGNALS[signal.Signals(number)]}: stopping after this step, once more stops at "
            "once",
            file=sys.stderr,
        )

    with _handled_by(note):
        yield lambda: bool(heard)
    if heard:
        raise Interrupted(heard[0], "stopped: the last step is saved")


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Installs a handler for both signals, and afterwards those from before."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears signals
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number in SIGNALS:
            signal.signal(number, handler)
        yield
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)
