"""The training state on disk, by Orbax: atomic, the last few kept, exact."""

import contextlib
import gc
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from nerf.errors import UserError
from nerf.training.step import TrainState

FOLDER = "checkpoints"
_KEPT = 3
_COMMIT_FILE = "commit_success.txt"  # Orbax's mark of a complete checkpoint
_MAX_REASON = 160  # characters of Orbax's own message


class Checkpoints:
    """The checkpoints of one run folder; a context manager that ends with all writes done."""

    def __init__(self, run_dir: Path):
        self._folder = (run_dir / FOLDER).absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=_KEPT, create=True)
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.wait_until_finished()
        self._manager.close()
        _forget_paths(self._folder)

    @property
    def latest_step(self) -> int | None:
        """The newest step on disk, or None."""
        step: int | None = self._manager.latest_step()
        return step

    def save(self, state: TrainState) -> None:
        """Saves the state under its step, in the background; a step saved before is left alone."""
        step = int(state.step)
        if step != self.latest_step:
            _forget_paths(self._folder)
            self._manager.save(step, args=ocp.args.StandardSave(_to_tree(state)))

    def restore(self, like: TrainState) -> TrainState:
        """The newest state on disk.

        Args:
          like: a state of the same structure and shapes.

        Raises:
          UserError: if it cannot be read, or is of another structure.
        """
        step = self.latest_step
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, _to_tree(like))
        reason, tree = "", {}
        with _orbax_silent():
            try:
                tree = self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
            except Exception as error:  # a damaged file can raise nearly anything
                reason = (str(error).strip() or repr(error)).splitlines()[0][:_MAX_REASON]
            if reason:
                gc.collect()  # now, since the reads that Orbax gave up complain when they go
        if reason:
            raise UserError(
                f"the checkpoint of step {step} in {self._folder} cannot be read ({reason}): "
                f"remove its folder {step} to go on from the one before, or give another --run_dir"
            )
        return _from_tree(tree, like)


def _forget_paths(folder: Path) -> None:
    """Rewrites Orbax's marks, whose text is an absolute path; only that they are there counts."""
    for mark in (*folder.glob(f"*/{_COMMIT_FILE}"), *folder.glob(f"*/*/{_COMMIT_FILE}")):
        is_complete = mark.relative_to(folder).parts[0].isdigit()
        if is_complete and str(folder) in mark.read_text(encoding="utf-8", errors="replace"):
            mark.write_text("complete\n", encoding="utf-8")


@contextlib.contextmanager
def _orbax_silent() -> Iterator[None]:
    """Orbax logs what it also raises, and reports it once more from abandoned reads."""
    logger = logging.getLogger("absl")
    level, report = logger.level, sys.unraisablehook
    logger.setLevel(logging.CRITICAL)
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = report
        logger.setLevel(level)


def _to_tree(state: TrainState) -> dict[str, Any]:
    """Orbax stores plain arrays, so the random key goes as its bits."""
    return {**state._asdict(), "key": jax.random.key_data(state.key)}


def _from_tree(tree: dict[str, Any], like: TrainState) -> TrainState:
    key = jax.random.wrap_key_data(tree["key"], impl=jax.random.key_impl(like.key))
    return TrainState(**{**tree, "key": key})
