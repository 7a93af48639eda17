"""The clock: stages of compilation apart, contenders in turn, readings with their spread."""

import contextlib
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.monitoring

_COMPILED = "/jax/core/compile/backend_compile_duration"

Contender = Callable[[int], None]  # does its work so many times, and waits for the last result


class Stages(NamedTuple):
    """Seconds from a Python function to a program for the device."""

    trace: float
    lower: float
    compile: float


class Spread(NamedTuple):
    """The middle and the ends of some readings."""

    median: float
    min: float
    max: float
    n: int


def spread(readings: Sequence[float]) -> Spread:
    """Summarises readings.

    >>> spread([3.0, 1.0, 2.0])
    Spread(median=2.0, min=1.0, max=3.0, n=3)
    """
    return Spread(statistics.median(readings), min(readings), max(readings), len(readings))


def stage_seconds(stages: Stages) -> dict[str, Any]:
    """The stages as they are written.

    >>> stage_seconds(Stages(1.0, 2.0, 3.0))
    {'trace_seconds': 1.0, 'lower_seconds': 2.0, 'compile_seconds': 3.0}
    """
    return {f"{name}_seconds": value for name, value in stages._asdict().items()}


def compile_in_stages(
    jitted: jax.stages.Wrapped, *arguments: Any
) -> tuple[Stages, jax.stages.Lowered, jax.stages.Compiled]:
    """Traces, lowers and compiles, with the clock read in between.

    JAX's caches are dropped first: they would make the second of two similar functions look
    quicker to trace than the first. The result never traces again, it refuses other shapes.
    """
    jax.clear_caches()
    times = [time.perf_counter()]
    traced = jitted.trace(*arguments)
    times.append(time.perf_counter())
    lowered = traced.lower()
    times.append(time.perf_counter())
    compiled = lowered.compile()
    times.append(time.perf_counter())
    return (
        Stages(*(after - before for before, after in itertools.pairwise(times))),
        lowered,
        compiled,
    )


def peak_bytes(compiled: jax.stages.Compiled) -> int | None:
    """Memory that one device needs for a program, as XLA plans it; None where it does not tell.

    Arguments, results and everything in between; what the arguments leave to the results counts
    once.
    """
    plan = compiled.memory_analysis()
    if plan is None:
        return None
    return int(
        plan.argument_size_in_bytes
        + plan.output_size_in_bytes
        + plan.temp_size_in_bytes
        - plan.alias_size_in_bytes
    )


def seconds(contender: Contender, repeats: int) -> float:
    """Seconds for one repetition, the mean over `repeats` that run without a pause."""
    start = time.perf_counter()
    contender(repeats)
    return (time.perf_counter() - start) / repeats


def choose_repeats(once: float, window: float) -> int:
    """How often work of `once` seconds must be done to fill a window, at most a thousand times.

    An accelerator's work is handed over while the work before still runs; a window of one short
    piece of work would time the handing over.

    >>> choose_repeats(0.03, 0.1), choose_repeats(5.0, 0.1)
    (4, 1)
    """
    return max(1, min(1000, -int(-window // max(once, 1e-9))))


class Count:
    """A number that grows."""

    def __init__(self) -> None:
        self.count = 0


@contextlib.contextmanager
def counting_compilations() -> Iterator[Count]:
    """Counts what JAX compiles within; there should be nothing while a clock runs."""
    found, within = Count(), True

    def listen(event: str, duration_secs: float, **details: str | int) -> None:
        found.count += within and event == _COMPILED

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        within = False


def take_turns(
    contenders: Mapping[str, Contender], repeats: Mapping[str, int], rounds: int
) -> dict[str, list[float]]:
    """One reading of each contender a round, A B A B ..., so that a drift meets all alike."""
    readings: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            readings[name].append(seconds(contender, repeats[name]))
    return readings
