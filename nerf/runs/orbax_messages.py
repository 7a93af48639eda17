"""Keeps Orbax from logging errors that it also raises, and reads and writes that it abandoned."""

import asyncio
import contextlib
import gc
import logging
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

_MAX_SECONDS_ABANDONED = 5.0


@contextlib.contextmanager
def orbax_silent() -> Iterator[None]:
    """Within the block, Orbax does not log errors that it also raises.

    Its reads and writes that were given up complain when they are collected, on threads of its
    own; so after a failure they are collected before the block ends, and everything is then as it
    was before. Where nothing failed, nothing was given up, and no time is spent on looking for it.
    """
    logger, asyncio_logger = logging.getLogger("absl"), logging.getLogger("asyncio")
    level, hook = logger.level, sys.unraisablehook
    logger.setLevel(logging.CRITICAL)
    asyncio_logger.addFilter(_is_relevant_log_record)

    def report(unraisable: Any) -> None:
        if "Event loop is closed" not in str(unraisable.exc_value):
            hook(unraisable)

    sys.unraisablehook = report
    try:
        yield
    except BaseException:
        collect_abandoned()
        raise
    finally:
        sys.unraisablehook = hook
        asyncio_logger.removeFilter(_is_relevant_log_record)
        logger.setLevel(level)


def _is_relevant_log_record(record: logging.LogRecord) -> bool:
    """Drops records of the other errors where several writes fail at once and one is raised."""
    return "exception was never retrieved" not in record.getMessage()


@contextlib.contextmanager
def abandoned_reads_silent() -> Iterator[None]:
    """Where one read fails, Orbax gives up the others, which complain when they are collected.

    Who reads calls `collect_abandoned` within the block once the error is no longer held.
    """
    report: Callable[[Any], Any] = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        try:
            yield
        finally:
            sys.unraisablehook = report


def collect_abandoned() -> None:
    """Collects what Orbax gave up; TensorStore may hold it some milliseconds longer.

    To be called after a failure. It looks at every object of the process several times, which
    takes a second in a large one.
    """
    deadline = time.monotonic() + _MAX_SECONDS_ABANDONED
    gc.collect()
    while _orbax_coroutines() and time.monotonic() < deadline:
        time.sleep(0.01)
        gc.collect()
    _look_at_failed_futures()


def _look_at_failed_futures() -> None:
    """Looks at the errors of futures whose loop has ended, or asyncio logs them at the very end."""
    for each in gc.get_objects():
        is_failed = isinstance(each, asyncio.Future) and each.done() and not each.cancelled()
        if is_failed and each.get_loop().is_closed():
            each.exception()


def _orbax_coroutines() -> int:
    coroutines = (each for each in gc.get_objects() if isinstance(each, types.CoroutineType))
    return sum("orbax" in each.cr_code.co_filename for each in coroutines)
