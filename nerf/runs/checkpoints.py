"""The training state on disk, by Orbax: atomic, the last and the best few kept, exact, checked.

A state is written in the background under `checkpoints/STEP` and appears there only when it is
complete; one that goes with a held-out score is also written under `best/STEP`, where the scores
decide what stays. With the arrays goes their checksum, so that a flipped bit is found even where
the file's own format does not notice it. A state that is damaged is put aside, and the one before
it serves.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from nerf.errors import UserError, listed
from nerf.runs import parameters
from nerf.runs.orbax_messages import abandoned_reads_silent, collect_abandoned, orbax_silent
from nerf.runtime import processes
from nerf.training.state import TrainState

FOLDER = "checkpoints"
BEST_FOLDER = "best"
DAMAGED_FOLDER = "damaged"
_NUM_LATEST = 3
_NUM_BEST = 2
_SCORE = "test_psnr"
_COMMIT_FILE = "commit_success.txt"  # Orbax's mark of a complete checkpoint
_MAX_REASON = 90  # characters of Orbax's own message


class Restored(NamedTuple):
    """A state from disk, and a remark for the user where it is not the newest."""

    state: TrainState
    notice: str | None


class Checkpoints:
    """The checkpoints of one run folder; a context manager that ends with all writes done."""

    def __init__(self, run_dir: Path):
        self._run_dir = run_dir
        self._folder = (run_dir / FOLDER).absolute()
        self._best_folder = (run_dir / BEST_FOLDER).absolute()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=_NUM_LATEST, **_of_one_process(self._folder)
        )
        self._silence = contextlib.ExitStack()  # what goes wrong is raised as well
        self._silence.enter_context(orbax_silent())
        self._manager = ocp.CheckpointManager(self._folder, options=options)
        self._best: ocp.CheckpointManager | None = None
        self._unsaved: int | None = None  # the step that is being written

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # What goes wrong here must not hide what went wrong before.
        with self._silence:
            if kind:
                self._silence.callback(collect_abandoned)
            with contextlib.suppress(UserError) if kind else contextlib.nullcontext():
                self.wait()
            for manager in self._managers():
                with contextlib.suppress(Exception) if kind else contextlib.nullcontext():
                    manager.close()
            _forget_paths(self._folder)
            _forget_paths(self._best_folder)

    @property
    def latest_step(self) -> int | None:
        """The newest step on disk, or None."""
        step: int | None = self._manager.latest_step()
        return step

    def wait(self) -> None:
        """Returns when all that was saved is on disk.

        Raises:
          UserError: if it could not be written.
        """
        with self._explained():
            for manager in self._managers():
                manager.wait_until_finished()
        self._unsaved = None

    def save(self, state: TrainState, score: float | None = None) -> None:
        """Saves the state under its step, in the background; a step saved before is left alone.

        Args:
          state: what to save.
          score: a held-out PSNR that decides whether it is among the best; None without one.

        Raises:
          UserError: if this state or the one before could not be written.
        """
        self.wait()
        step = int(state.step)
        if step == self.latest_step:
            return
        _forget_paths(self._folder)
        tree = ocp.args.StandardSave(_to_tree(state))
        self._unsaved = step
        with self._explained():
            self._manager.save(step, args=ocp.args.Composite(state=tree))
            if score is not None:
                self._best_manager().save(
                    step, args=ocp.args.Composite(state=tree), metrics={_SCORE: score}
                )

    def restore(self, like: TrainState) -> Restored:
        """The newest state on disk that is whole; damaged ones are moved to `damaged/`.

        Args:
          like: a state of the same structure and shapes.

        Raises:
          UserError: if none can be read; all of them then stay where they are.
        """
        state, damaged = _newest_complete(self._manager, self._folder, like)
        if not damaged:
            return Restored(state, None)
        (self._run_dir / DAMAGED_FOLDER).mkdir(exist_ok=True)
        for step in damaged:
            _move_aside(self._folder / str(step), self._run_dir / DAMAGED_FOLDER)
        self._manager.reload()
        steps, reasons = listed(damaged), listed(dict.fromkeys(damaged.values()))
        return Restored(
            state,
            f"the state of step {steps} is damaged ({reasons}) and was moved to "
            f"{self._run_dir / DAMAGED_FOLDER}; the state of step {int(state.step)} is used",
        )

    def _managers(self) -> tuple[ocp.CheckpointManager, ...]:
        return (self._manager,) if self._best is None else (self._manager, self._best)

    def _best_manager(self) -> ocp.CheckpointManager:
        if self._best is None:
            options = ocp.CheckpointManagerOptions(
                max_to_keep=_NUM_BEST,
                best_fn=lambda metrics: metrics[_SCORE],
                **_of_one_process(self._best_folder),
            )
            self._best = ocp.CheckpointManager(self._best_folder, options=options)
        return self._best

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns whatever a write raises into a UserError, and removes what it left."""
        try:
            yield
        except Exception as error:  # Orbax and TensorStore raise nearly anything
            for folder in (self._folder, self._best_folder):
                for part in folder.glob("*orbax-checkpoint-tmp*"):
                    shutil.rmtree(part, ignore_errors=True)
            raise UserError(
                f"the state of step {self._unsaved} could not be saved in {self._folder} "
                f"({_write_reason(error)}): make room, then the same command resumes from the "
                "last state that was saved"
            ) from error


def read_state(run_dir: Path, like: TrainState) -> TrainState:
    """The newest whole state of a run folder, which is left as it is.

    Args:
      run_dir: a run folder, or another folder that holds states under `checkpoints/`.
      like: a state of the same structure and shapes.

    Raises:
      UserError: if there is none that can be read.
    """
    folder = (run_dir / FOLDER).absolute()
    options = ocp.CheckpointManagerOptions(read_only=True)
    with orbax_silent(), ocp.CheckpointManager(folder, options=options) as manager:
        return _newest_complete(manager, folder, like)[0]


def _of_one_process(folder: Path) -> dict[str, Any]:
    """Options under which Orbax makes a folder, and in a job does not wait for other processes."""
    if processes.count() == 1:
        return {"create": True}
    folder.mkdir(parents=True, exist_ok=True)
    alone = ocp.options.MultiprocessingOptions(
        primary_host=processes.index(),
        active_processes={processes.index()},
        barrier_sync_key_prefix=folder.name,
    )
    return {"create": False, "multiprocessing_options": alone}


def _newest_complete(
    manager: ocp.CheckpointManager, folder: Path, like: TrainState
) -> tuple[TrainState, dict[int, str]]:
    """A state, and the newer steps that cannot be read, each with the reason."""
    damaged: dict[int, str] = {}
    for step in sorted(manager.all_steps(), reverse=True):
        state, reason = _read(manager, step, like)
        if state is not None:
            return state, damaged
        damaged[step] = reason
    if not damaged:
        raise UserError(f"no training state in {folder}")
    reasons = "; ".join(f"step {step}: {reason}" for step, reason in damaged.items())
    raise UserError(
        f"no training state can be read in {folder} ({reasons}): give another `run_dir`, or "
        "`resume=False` to start anew"
    )


def _read(
    manager: ocp.CheckpointManager, step: int, like: TrainState
) -> tuple[TrainState | None, str]:
    """The state of one step, or None and the reason why it cannot be read."""
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, _to_tree(like))
    arguments = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
    tree, reason = None, ""
    with abandoned_reads_silent():
        try:
            tree = manager.restore(step, args=arguments).state
        except Exception as error:  # a damaged file can raise nearly anything
            reason = _read_reason(error)
        if tree is None:
            collect_abandoned()
    if tree is None:
        return None, reason or "it is empty"
    if int(tree.pop("checksum")) != _checksum(tree) or int(tree["step"]) != step:
        return None, "its checksum is another"
    return _from_tree(tree, like), ""


def _move_aside(source: Path, folder: Path) -> None:
    """Moves a folder into another under its own name, or with a number behind it."""
    names = [source.name, *(f"{source.name}-{n}" for n in range(2, 1000))]
    target = next(folder / name for name in names if not (folder / name).exists())
    source.rename(target)


def _forget_paths(folder: Path) -> None:
    """Rewrites Orbax's marks, whose text is an absolute path; only that they are there counts."""
    for mark in (*folder.glob(f"*/{_COMMIT_FILE}"), *folder.glob(f"*/*/{_COMMIT_FILE}")):
        is_complete = mark.relative_to(folder).parts[0].isdecimal()
        if is_complete and str(folder) in mark.read_text(encoding="utf-8", errors="replace"):
            mark.write_text("complete\n", encoding="utf-8")


def _read_reason(error: BaseException) -> str:
    """What is wrong with a checkpoint: Orbax's reason where a person can read it."""
    first_line = (str(error).strip() or repr(error)).splitlines()[0]
    if "reading array index" in first_line or "DATA_LOSS" in first_line:
        return "a file in it is cut off or damaged"
    return first_line.partition(". See full")[0][:_MAX_REASON]


def _write_reason(error: BaseException) -> str:
    """Why a write failed, in the system's words where they can be found in the error's."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())
    known = (os.strerror(code) for code in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO))
    return next((reason for reason in known if reason.lower() in text.lower()), text[:_MAX_REASON])


def _to_tree(state: TrainState) -> dict[str, Any]:
    """Orbax stores plain arrays, so the random key is stored as its bits; None is left out.

    They are copies on one device: those on several Orbax would cut into slices first.
    """
    given = {name: part for name, part in state._asdict().items() if part is not None}
    tree: dict[str, Any] = jax.device_get({**given, "key": jax.random.key_data(state.key)})
    tree["checksum"] = np.array(_checksum(tree), np.uint32)
    if processes.count() > 1:  # Orbax takes arrays of one process for a mistake
        return tree
    copies: dict[str, Any] = jax.device_put(tree, jax.local_devices()[0])
    return copies


def _checksum(tree: dict[str, Any]) -> int:
    return parameters.checksum(jax.device_get(tree))


def _from_tree(tree: dict[str, Any], like: TrainState) -> TrainState:
    key = jax.random.wrap_key_data(tree["key"], impl=jax.random.key_impl(like.key))
    return TrainState(**{**tree, "key": key})
