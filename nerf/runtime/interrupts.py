"""Ctrl-C and SIGTERM: training saves the current step and ends; everything else ends at once."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

_SECONDS_BETWEEN_LOOKS = 0.1
SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Interrupted(KeyboardInterrupt):
    """A signal asked the program to stop.

    Attributes:
      status: the exit status by the convention of shells, 128 plus the signal's number.
    """

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.status = 128 + number


@contextlib.contextmanager
def interrupt_at_once() -> Iterator[None]:
    """Within the block, Ctrl-C and SIGTERM raise `Interrupted` immediately."""

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        raise Interrupted(number, "stopped: everything saved so far is kept")

    with _handled_by(stop):
        yield


@contextlib.contextmanager
def interrupt_between_steps(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Within the block, the first Ctrl-C or SIGTERM is only recorded; a second one raises.

    The training loop asks between two steps whether there was one. An exception in the middle of a
    step would leave a state whose buffers are donated already, and one in the middle of a save half
    a checkpoint.

    Args:
      say: receives a sentence when the first signal comes.

    Yields:
      A function that says whether a signal has arrived.

    Raises:
      Interrupted: at the end of the block if one signal has arrived, immediately at a second.
    """
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if received:
            raise Interrupted(number, "stopped at once: everything saved so far is kept")
        received.append(number)
        name = SIGNALS[signal.Signals(number)]
        say(f"{name}: stopping after this step; a second one stops at once")

    with _handled_by(handle):
        yield lambda: bool(received)
    if received:
        raise Interrupted(received[0], "stopped: the last step is saved")


def wait_for_interrupt() -> None:
    """Never returns; Ctrl-C and SIGTERM raise `Interrupted` here, and nowhere else.

    A handler that raises can do so in a callback of another library, which swallows the exception.
    """
    received: list[int] = []
    with _handled_by(lambda number, frame: received.append(number)):
        while not received:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    raise Interrupted(received[0], "stopped")


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Installs a handler for both signals; afterwards the previous handlers are back."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    previous = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number in SIGNALS:
            signal.signal(number, handler)
        yield
    finally:
        for number, old_handler in previous.items():
            signal.signal(number, old_handler)
