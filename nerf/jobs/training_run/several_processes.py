"""What differs in a training job that several processes share.

The first process owns the run folder: it locks it, decides whether a run resumes, reads and writes
all files. The others learn what they need from it, and keep everything in memory. With one process,
each function here does nothing else than what it is given.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from nerf.config import text
from nerf.config.settings import Config
from nerf.errors import UserError
from nerf.jobs.training_run.process_consistency import check_processes_agree
from nerf.runs import run_folder
from nerf.runs.store import MemoryStore, Store
from nerf.runtime import exchange, global_arrays, processes
from nerf.runtime.interrupts import Interrupted
from nerf.training.lockstep import Lockstep
from nerf.training.loop import Hooks, ShouldStopFn
from nerf.training.state import TrainState
from nerf.training.step import StepFn

_STOPPED, _INTERRUPTED = 1, 2  # what a process was asked, by its callback or by a signal
_TILES_BETWEEN_MEETINGS = 8  # of a preview; the processes meet in milliseconds


class SecondaryStore(MemoryStore):
    """The store of a process that is not the first one: it writes nothing."""

    def __init__(self, num_restarts: int) -> None:
        super().__init__()
        self.num_restarts = num_restarts


def check_debug(*, debug: bool) -> None:
    """Refuses value checks in a job, which work on one device."""
    if debug and processes.is_distributed():
        raise UserError(
            "`debug=True` checks values on one device: leave it out, or use one process"
        )


@contextlib.contextmanager
def opened_folder(folder: Path) -> Iterator[None]:
    """Within the block, the first process has made and locked the run folder.

    Raises:
      UserError: in all processes, see `nerf.runs.run_folder.prepare` and `locked`.
    """
    with contextlib.ExitStack() as stack:

        def open_folder() -> None:
            run_folder.prepare(folder)
            stack.enter_context(run_folder.locked(folder))

        exchange.call_on_first(open_folder)
        yield


def config_from_first(
    config: Config, find: Callable[[Config], tuple[Config, list[str]]]
) -> tuple[Config, list[str]]:
    """The settings that the first process finds in its run folder, and its remarks on them.

    Args:
      config: what this process is asked for, the same in all.
      find: what they become, and what differs from what was asked for.

    Raises:
      UserError: in all processes, if one is asked for other settings.
    """
    if processes.count() == 1:
        return find(config)
    check_processes_agree({"config": text.to_json(config)})

    def settings() -> tuple[dict[str, Any], list[str]]:
        found, kept_settings = find(config)
        return text.to_json(found), kept_settings

    values, kept_settings = exchange.broadcast_value(exchange.call_on_first(settings))
    return text.from_json(values), kept_settings


def shared_store(make: Callable[[], Store]) -> Store:
    """The store that the first process opens, and one in memory for the others."""
    store = exchange.call_on_first(make)
    restarts = exchange.broadcast_value(None if store is None else store.num_restarts)
    return SecondaryStore(restarts) if store is None else store


def broadcast_state(state: TrainState) -> TrainState:
    """The state that the first process starts from, bit for bit."""
    if processes.count() == 1:
        return state
    key = state.key
    tree = state._replace(key=jax.random.key_data(key))
    shared: TrainState = exchange.broadcast_tree(jax.device_get(tree))
    return shared._replace(key=jax.random.wrap_key_data(shared.key, impl=jax.random.key_impl(key)))


class SynchronizedLoop:
    """The training loops of all processes as one.

    Args:
      interrupted: whether a signal has arrived here.
      was_stopped: whether the callback here has asked to stop.
      started: see `nerf.training.lockstep.Lockstep`.
    """

    def __init__(self, interrupted: ShouldStopFn, was_stopped: ShouldStopFn, started: float):
        self._interrupted = interrupted

        def stop_request() -> int:
            return _INTERRUPTED if interrupted() else _STOPPED if was_stopped() else 0

        self.lockstep = Lockstep(stop_request, started)
        self._num_tiles = 0

    def should_stop_drawing(self) -> bool:
        """Whether to give up a preview; all processes ask this after each of its tiles."""
        self._num_tiles += 1
        if self._num_tiles % _TILES_BETWEEN_MEETINGS == 0:
            self.lockstep.synchronize()
        return self.lockstep.should_stop()

    def step_fn(self, step_fn: StepFn) -> StepFn:
        return self.lockstep.step_fn(step_fn)

    def hooks(self, hooks: Hooks) -> Hooks:
        """The hooks of a loop, given those of one process; all processes call each of them."""

        def here(state: TrainState) -> TrainState:
            return global_arrays.local(state)

        return self.lockstep.hooks(
            hooks._replace(
                save=lambda state, score: hooks.save(here(state), score),
                evaluate=lambda state: hooks.evaluate(here(state)),
                watch=lambda state, step: hooks.watch(here(state), step),
            )
        )

    def check_interrupted(self) -> None:
        """Raises `Interrupted` where a signal has stopped another process."""
        if self.lockstep.stop_request == _INTERRUPTED and not self._interrupted():
            raise Interrupted(
                signal.SIGTERM, "stopped, as another process of the run was: the last step is saved"
            )
