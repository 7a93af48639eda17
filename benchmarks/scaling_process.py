"""One process of those that `benchmarks.scaling` measures; it does what lines on its input ask for.

The first line is a `Setup` as JSON; each line after it asks for repetitions of one piece of work.
The answer to a line is a line, once the work is done in this process: the seconds of CPU time that
it took, of all threads. What waits for another process takes none, and so does what another program
keeps from a core.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import IO, Any, NamedTuple

import jax
import numpy as np

from benchmarks.synthetic_views import SPACE, make_views
from nerf.config import text as config_text
from nerf.config.settings import Config
from nerf.field import RadianceField, make_field
from nerf.runtime import compile_cache, exchange, fixed_order, global_arrays, parallel, processes
from nerf.training.lockstep import Lockstep
from nerf.training.state import init_state
from nerf.training.step import make_step

Contender = Callable[[int], None]

MEET = "meet"  # of all processes, as after each step
SMALL_BYTES = 4096  # of a sum whose bytes cost nothing


def step_of(num_rays: int) -> str:
    """The name of a training step."""
    return f"step of {num_rays} rays"


def sum_of(num_bytes: int) -> str:
    """The name of a sum of a buffer over all processes."""
    return f"sum of {num_bytes} bytes"


class Setup(NamedTuple):
    """What a process is told first.

    Attributes:
      field, backend: what is trained.
      config: its settings, as JSON.
      rays: numbers of rays of the steps.
      sums: bytes of the buffers that are added.
      job: address, number of processes and number of this one; None without a job.
    """

    field: str
    backend: str
    config: dict[str, Any]
    rays: list[int]
    sums: list[int]
    job: tuple[str, int, int] | None


def make_contenders(setup: Setup) -> dict[str, Contender]:
    """All pieces of work by their names; each compiles what it needs when it is first done."""
    config = config_text.from_json(setup.config)
    field = make_field(setup.backend, setup.field, config.field)
    found: dict[str, Contender] = {}
    for num_rays in setup.rays:
        found[step_of(num_rays)] = _Step(
            field, config_text.override(config, f"train.num_rays={num_rays}")
        )
    for num_bytes in setup.sums:
        found[sum_of(num_bytes)] = _Sum(num_bytes)
    found[MEET] = _meet
    return found


class _Step:
    """A training step as `nerf.train` makes it; in a job, the processes meet after it."""

    def __init__(self, field: RadianceField, config: Config):
        self._field, self._config = field, config
        self._step: Any = None
        self._state: Any = None

    def __call__(self, repeats: int) -> None:
        if self._step is None:
            step = make_step(self._field, self._config, make_views(0), space=SPACE)
            if processes.is_distributed():
                step = Lockstep(lambda: 0, time.monotonic()).step_fn(step)
            self._step = step
            self._state = init_state(self._field, self._config, jax.random.key(0))
        for _ in range(repeats):
            self._state, _ = self._step(self._state, 1)
        jax.block_until_ready(self._state)


class _Sum:
    """The sum of one buffer over all processes, as a step makes it."""

    def __init__(self, num_bytes: int):
        self._num_bytes = num_bytes
        self._sum: Callable[[], jax.Array] | None = None

    def __call__(self, repeats: int) -> None:
        self._sum = self._sum or self._compiled()
        for _ in range(repeats):
            jax.block_until_ready(self._sum())

    def _compiled(self) -> Callable[[], jax.Array]:
        mesh = global_arrays.mesh_of_all(jax.device_count())
        buffer = global_arrays.replicate_on_all(mesh, np.zeros(self._num_bytes // 4, np.float32))
        rays = global_arrays.from_own_rows(np.zeros(len(mesh.local_devices), np.float32), mesh)
        mean = jax.jit(
            fixed_order.mean_in_fixed_order(mesh, lambda buffer, rays: buffer, mesh.size)
        )
        return lambda: mean(buffer, rays)


def _meet(repeats: int) -> None:
    for _ in range(repeats):
        exchange.barrier()


def answer(lines: IO[str], answers: IO[str]) -> None:
    """Reads the setup and does what each line asks for, to the end of the lines."""
    setup = Setup(**json.loads(next(lines)))
    parallel.use_all_cores()  # as the program does; the number of devices is set already
    compile_cache.enable()
    if setup.job is not None:
        exchange.join(processes.JobOptions(False, *setup.job))
    contenders = make_contenders(setup)
    print(json.dumps(time.process_time()), file=answers, flush=True)
    for line in lines:
        asked, began = json.loads(line), time.process_time()
        contenders[asked["what"]](asked["repeats"])
        print(json.dumps(time.process_time() - began), file=answers, flush=True)
    exchange.barrier()
    processes.cancel_exit_report()


def main() -> None:
    """Answers on what was the standard output, to which gloo and XLA write as well."""
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        answer(sys.stdin, answers)


if __name__ == "__main__":
    main()
