"""The training state on disk, by Orbax: atomic, the last few kept, exact."""

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from nerf.errors import UserError
from nerf.training.step import TrainState

FOLDER = "checkpoints"
_KEPT = 3


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

    @property
    def latest_step(self) -> int | None:
        """The newest step on disk, or None."""
        step: int | None = self._manager.latest_step()
        return step

    def save(self, state: TrainState) -> None:
        """Saves the state under its step, in the background; a step saved before is left alone."""
        step = int(state.step)
        if step != self.latest_step:
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
        try:
            tree = self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
        except (ValueError, KeyError, TypeError, OSError) as error:
            first_line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise UserError(
                f"the checkpoint of step {step} in {self._folder} cannot be read ({first_line}); "
                "start again with another --run_dir"
            ) from error
        return _from_tree(tree, like)


def _to_tree(state: TrainState) -> dict[str, Any]:
    """Orbax stores plain arrays, so the random key goes as its bits."""
    return {**state._asdict(), "key": jax.random.key_data(state.key)}


def _from_tree(tree: dict[str, Any], like: TrainState) -> TrainState:
    key = jax.random.wrap_key_data(tree["key"], impl=jax.random.key_impl(like.key))
    return TrainState(**{**tree, "key": key})
