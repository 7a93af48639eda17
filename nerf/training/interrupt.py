"""Ctrl-C during training: finish the step, save, then stop."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def interrupt_between_steps() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C into a question that the training loop asks between two steps.

    An exception in the middle of a step or of a save would leave a state whose buffers are gone,
    or half a checkpoint. A second Ctrl-C interrupts at once.

    Yields:
      A function that says whether Ctrl-C was pressed; after the block, if so, KeyboardInterrupt is
      raised.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread hears signals
        return
    pressed = threading.Event()
    usual = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        del number, frame
        pressed.set()
        signal.signal(signal.SIGINT, usual)
        print("\nstopping after this step; press again to stop at once", file=sys.stderr)

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, usual)
    if pressed.is_set():
        raise KeyboardInterrupt
