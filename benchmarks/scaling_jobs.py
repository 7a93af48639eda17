"""Jobs of several processes on this machine, which `benchmarks.scaling` lets work in turn.

Each process has one core, as far as there are enough, and waits for what to do next, see
`benchmarks.scaling_process`.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.scaling_process import Setup
from nerf.errors import UserError

_ROOT = Path(__file__).parents[1]
_MODULE = "benchmarks.scaling_process"
_SECONDS_TO_END = 10.0


class Layout(NamedTuple):
    """How some devices are shared by processes.

    Attributes:
      num_processes: that the job has.
      num_devices: of each process.
      is_job: whether the processes are a job; one process alone need not be one.
    """

    num_processes: int
    num_devices: int = 1
    is_job: bool = True

    @property
    def name(self) -> str:
        """For tables.

        >>> Layout(2).name, Layout(1, 2, is_job=False).name
        ('2 processes', '1 process, 2 devices, no job')
        """
        each = "" if self.num_devices == 1 else f", {self.num_devices} devices"
        number = "1 process" if self.num_processes == 1 else f"{self.num_processes} processes"
        return f"{number}{each}{'' if self.is_job else ', no job'}"


class Job:
    """The processes of a layout, which do the same at the same time."""

    def __init__(self, layout: Layout, started: Sequence[subprocess.Popen[str]]):
        self.layout = layout
        self._processes = started

    def do(self, what: str, repeats: int) -> float:
        """Returns when all processes have done a piece of work `repeats` times.

        Returns:
          The seconds of CPU time that it took in all processes together.
        """
        self._send(json.dumps({"what": what, "repeats": repeats}))
        return self.wait()

    def wait(self) -> float:
        """Returns when all processes have answered: the sum of what they say.

        Raises:
          UserError: if one of them has ended.
        """
        total = 0.0
        for process in self._processes:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise self._ended()
            total += float(line)
        return total

    def _send(self, line: str) -> None:
        for process in self._processes:
            assert process.stdin is not None
            try:
                print(line, file=process.stdin, flush=True)
            except BrokenPipeError as error:
                raise self._ended() from error

    def _ended(self) -> UserError:
        return UserError(
            f"a process of the layout {self.layout.name!r} ended: what it printed above says why; "
            "try fewer `processes` or smaller settings"
        )


@contextlib.contextmanager
def started(layout: Layout, setup: Setup) -> Iterator[Job]:
    """Within the block, the processes of a layout wait for what to do.

    Args:
      layout: how many processes and devices there are.
      setup: of each process; `job` is filled in here.
    """
    address = f"127.0.0.1:{_free_port()}"
    running: list[subprocess.Popen[str]] = []
    try:
        for number in range(layout.num_processes):
            job = (address, layout.num_processes, number) if layout.is_job else None
            running.append(_start(layout, cores_of(layout, number)))
            own = json.dumps(setup._replace(job=job)._asdict())
            print(own, file=running[-1].stdin, flush=True)
        job_of_all = Job(layout, running)
        job_of_all.wait()
        yield job_of_all
    finally:
        _end(running)


def cores_of(layout: Layout, number: int, usable: Sequence[int] | None = None) -> list[int]:
    """The cores of a process: one for each device; where there are too few, they are shared.

    Args:
      layout: of all processes.
      number: of the process.
      usable: the cores; None for those of this process.

    >>> [cores_of(Layout(4), number, [5, 7]) for number in range(4)]
    [[5], [7], [5], [7]]
    >>> cores_of(Layout(1, 4), 0, [5, 7]), cores_of(Layout(2, 2), 1, [0, 1, 2, 3])
    ([5, 7], [2, 3])
    """
    cores = usable_cores() if usable is None else usable
    first = number * layout.num_devices
    numbers = range(first, first + layout.num_devices)
    return sorted({cores[core % len(cores)] for core in numbers})


def usable_cores() -> list[int]:
    """The cores of this process; all of the machine where the system does not say."""
    try:
        return sorted(os.sched_getaffinity(0))
    except AttributeError:
        return list(range(os.cpu_count() or 1))


def _start(layout: Layout, cores: Sequence[int]) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(layout.num_devices),
    }
    with _pinned(cores):  # a process has the cores of the thread that starts it
        return subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


@contextlib.contextmanager
def _pinned(cores: Sequence[int]) -> Iterator[None]:
    """Within the block, this thread runs on some cores alone, where the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _end(running: Sequence[subprocess.Popen[str]]) -> None:
    """Ends processes: they do so by themselves when nothing more is asked."""
    for process in running:
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
    for process in running:
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
