"""Resuming a run of one backend in another: parameters, optimiser, step and random key."""

import shutil
from pathlib import Path
from typing import Any

import jax

from nerf.backends import convert
from nerf.field import Params
from nerf.runs import metrics, run_folder
from nerf.runs.checkpoints import read_state
from nerf.training.state import TrainState


def resumed_state(run_dir: Path, backend: str, like: TrainState) -> TrainState:
    """The newest state of a run, in the layout of `backend`.

    Args:
      run_dir: a run folder of any backend; it is left as it is.
      backend: whose layout the state gets.
      like: a fresh state of `backend`.

    Raises:
      UserError: if there is no state that can be read.
    """
    record = run_folder.read_json(run_dir / run_folder.CONFIG_FILE)
    source, field = str(record.get("backend")), str(record.get("field"))
    state = read_state(run_dir, convert_state(like, field, backend, source))
    return convert_state(state, field, source, backend)


def convert_state(state: TrainState, field: str, source: str, target: str) -> TrainState:
    """A state in another layout: every tree in it that is built as the parameters are is converted.

    Adam's two moments are such trees, so they go along; counts and keys stay as they are.
    """
    structure: Any = jax.tree.structure(state.params)

    def is_like_params(node: object) -> bool:
        return bool(jax.tree.structure(node) == structure)

    def renamed(node: Params) -> Params:
        return convert.convert(node, field, source, target) if is_like_params(node) else node

    return state._replace(
        params=renamed(state.params),
        opt_state=jax.tree.map(renamed, state.opt_state, is_leaf=is_like_params),
    )


def copy_metrics(source: Path, target: Path) -> None:
    """Copies the metrics of one run folder to another, so that the curve continues."""
    if (source / metrics.METRICS_FILE).is_file():
        shutil.copyfile(source / metrics.METRICS_FILE, target / metrics.METRICS_FILE)
