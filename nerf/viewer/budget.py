"""The share of time that all windows together may draw while something else needs it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SLICE = 0.05  # seconds, after which a wait looks whether it still has a purpose
_LONGEST_REST = 2.0  # seconds, after a drawing that includes compilation


class DrawingBudget:
    """Lets one thread draw at a time, and makes all of them rest after it.

    A drawing of s seconds is followed by a rest of at least

        s (1 - share) / share

    before the next one, so that drawing takes at most this share of the time, from any moment when
    it begins. A drawing that answers a movement has a larger share than one that refines an image,
    shows new parameters, or makes a video. The first drawing includes compilation, which does not
    hold up a movement.

    Args:
      moving, still: the shares, in (0, 1]; 1 for no rest.
      clock: returns the time in seconds.
      sleep: waits for some seconds.
    """

    def __init__(
        self,
        moving: float = 1.0,
        still: float = 1.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self._factors = {True: (1.0 - moving) / moving, False: (1.0 - still) / still}
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._free = {True: -float("inf"), False: -float("inf")}  # when the next one may begin
        self._has_drawn = False

    @property
    def is_limited(self) -> bool:
        """Whether there are rests at all."""
        return any(factor > 0 for factor in self._factors.values())

    @contextmanager
    def turn(self, *, is_moving: bool, should_stop: Callable[[], bool]) -> Iterator[bool]:
        """Waits for its turn to draw, and keeps it during the block.

        Args:
          is_moving: whether it answers a movement.
          should_stop: whether nobody needs the drawing any more, which ends the wait.

        Yields:
          Whether it may draw; False where `should_stop` ended the wait.
        """
        while True:
            with self._lock:
                start = self._clock()
                left = self._free[is_moving] - start
                if left <= 0:
                    try:
                        yield True
                    finally:
                        self._rest(self._clock() - start)
                    return
            if should_stop():
                yield False
                return
            self._sleep(min(left, _SLICE))

    def _rest(self, seconds: float) -> None:
        now = self._clock()
        if self._has_drawn:
            rests = {kind: factor * seconds for kind, factor in self._factors.items()}
        else:
            rests = {True: 0.0, False: min(self._factors[False] * seconds, _LONGEST_REST)}
        self._has_drawn = True
        self._free = {kind: max(self._free[kind], now + rest) for kind, rest in rests.items()}
