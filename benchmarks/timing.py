"""Timing: stages of compilation separately, contenders in turn, readings with their spread."""

import contextlib
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.monitoring

_COMPILED = "/jax/core/compile/backend_compile_duration"

Contender = Callable[[int], None]  # does its work `repeats` times and waits for the last result


class Stages(NamedTuple):
    """Seconds that the stages take from a Python function to a program for the device."""

    trace: float
    lower: float
    compile: float


class Spread(NamedTuple):
    """Median, smallest and largest of `n` readings."""

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
    """The stages as they are written to the file.

    >>> stage_seconds(Stages(1.0, 2.0, 3.0))
    {'trace_seconds': 1.0, 'lower_seconds': 2.0, 'compile_seconds': 3.0}
    """
    return {f"{name}_seconds": value for name, value in stages._asdict().items()}


def compile_in_stages(
    jitted: jax.stages.Wrapped, *arguments: Any
) -> tuple[Stages, jax.stages.Lowered, jax.stages.Compiled]:
    """Traces, lowers and compiles, and times each stage.

    JAX's caches are cleared first: they would make the second of two similar functions look faster
    to trace than the first. The compiled program never traces again; it refuses other shapes.
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
    """Memory in bytes that one device needs for a program, as XLA plans it; None if unknown.

    Arguments, results and temporaries; a buffer that an argument donates to a result counts once.
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
    """Mean seconds of one of `repeats` repetitions without a pause."""
    start = time.perf_counter()
    contender(repeats)
    return (time.perf_counter() - start) / repeats


def choose_repeats(once: float, window: float) -> int:
    """How often work of `once` seconds must be repeated to last `window` seconds, at most 1000.

    An accelerator runs asynchronously: the time of one short piece of work alone would be that of
    its dispatch.

    >>> choose_repeats(0.03, 0.1), choose_repeats(5.0, 0.1)
    (4, 1)
    """
    return max(1, min(1000, -int(-window // max(once, 1e-9))))


class Counter:
    """A count that increases."""

    def __init__(self) -> None:
        self.count = 0


@contextlib.contextmanager
def counting_compilations() -> Iterator[Counter]:
    """Counts JAX's compilations within the block; there must be none while something is timed."""
    counter, active = Counter(), True

    def listen(event: str, duration_secs: float, **details: str | int) -> None:
        counter.count += active and event == _COMPILED

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield counter
    finally:
        active = False


def take_turns(
    contenders: Mapping[str, Contender], repeats: Mapping[str, int], rounds: int
) -> dict[str, list[float]]:
    """Times each contender once a round, A B A B ..., so that drift affects all alike."""
    readings: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            readings[name].append(seconds(contender, repeats[name]))
    return readings
