"""Jobs of several processes on this machine, on a loopback address; none outlives its test."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import nerf
from tests.support.command_line import CommandResult

REPOSITORY = Path(nerf.__file__).parents[1]
SECONDS = 900  # for a job on a busy machine


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Job(NamedTuple):
    """Processes of one job, by their numbers."""

    processes: list[subprocess.Popen]

    def ends(self, seconds=SECONDS):
        """How all processes ended."""
        ended = []
        for process in self.processes:
            out, err = process.communicate(timeout=seconds)
            ended.append(CommandResult(process.returncode, out, err))
        return ended


@contextlib.contextmanager
def started(cwd, *arguments, num_processes=2, module="nerf.main", only=None, more=(), devices=1):
    """Starts a module in several processes; those that still run at the end are killed.

    Args:
      cwd: where they run.
      arguments: of all.
      num_processes: how many the job has.
      module: what is run.
      only: the numbers of those that are started; None for all.
      more: further arguments of single processes, by their numbers.
      devices: of each process.
    """
    job = [f"--coordinator=127.0.0.1:{free_port()}", f"--num_processes={num_processes}"]
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_ENABLE_COMPILATION_CACHE": "false" if module == "nerf.main" else "true",
    }
    processes = []
    try:
        for number in range(num_processes) if only is None else only:
            own = dict(more).get(number, ())
            processes.append(
                subprocess.Popen(
                    [
                        *(sys.executable, "-m", module),
                        *map(str, arguments),
                        *own,
                        *job,
                        f"--process_id={number}",
                    ],
                    cwd=cwd,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        yield Job(processes)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            with contextlib.suppress(ValueError):  # what `communicate` has closed
                process.communicate()


def run(cwd, *arguments, **options):
    """How all processes of a job ended; see `started`."""
    with started(cwd, *arguments, **options) as job:
        return job.ends()
