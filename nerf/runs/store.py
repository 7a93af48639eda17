"""Where a training run puts what it makes: in memory alone, or in a run folder.

The training job is the same for both. In a run folder every state is written by Orbax, metrics go
to `metrics.jsonl`, parameters to `params.safetensors`, and a run that was stopped resumes exactly.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
import numpy.typing as npt

from nerf.errors import UserError
from nerf.field import Params
from nerf.output import images
from nerf.output.tensorboard import TensorboardWriter, open_writer
from nerf.runs import metrics, parameters, resume, run_folder
from nerf.runs.checkpoints import Checkpoints
from nerf.runs.parameters import Header
from nerf.runtime.events import Callback, note, say
from nerf.training.state import TrainState


class Store(Protocol):
    """The place where a training job puts its results."""

    @property
    def folder(self) -> Path | None:
        """The run folder; None where nothing is stored."""

    @property
    def num_restarts(self) -> int:
        """How often the run has collapsed and was restarted."""

    def open(self, record: dict[str, Any]) -> contextlib.AbstractContextManager["OpenStore"]:
        """Opens the store for one attempt; `record` is what `config.json` holds."""

    def set_aside_collapsed(self) -> str:
        """Makes room for another attempt; returns where the collapsed one is, for people."""


class OpenStore(Protocol):
    """A store while a run is trained."""

    def first_state(self, fresh: TrainState, goal: str) -> TrainState:
        """The state to train from: the newest stored one, else `fresh`."""

    def metrics_before(self) -> list[dict[str, Any]]:
        """The metrics of earlier processes of the same run."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Stores metrics of a step."""

    def save(self, state: TrainState, score: float | None) -> None:
        """Stores a state and its parameters, with its held-out PSNR where there is one."""

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        """Stores a JSON file of the run, in the place of an earlier one of that name."""

    def wait(self) -> None:
        """Returns when all that was saved is stored."""

    def write_preview(self, step: int, view: int, image: npt.NDArray[np.float32]) -> None:
        """Stores a held-out view as it is at a step."""


class MemoryStore:
    """Keeps metrics in memory, and nothing else; it is its own open store."""

    folder: Path | None = None

    def __init__(self) -> None:
        self.num_restarts = 0
        self.metrics: list[dict[str, Any]] = []

    def open(self, record: dict[str, Any]) -> contextlib.AbstractContextManager["MemoryStore"]:
        del record
        return contextlib.nullcontext(self)

    def set_aside_collapsed(self) -> str:
        self.num_restarts += 1
        self.metrics = []
        return "gone"

    def first_state(self, fresh: TrainState, goal: str) -> TrainState:
        del goal
        return fresh

    def metrics_before(self) -> list[dict[str, Any]]:
        return self.metrics

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self.metrics.append({"step": step, **values})

    def save(self, state: TrainState, score: float | None) -> None:
        del state, score

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        del name, values

    def wait(self) -> None:
        pass

    def write_preview(self, step: int, view: int, image: npt.NDArray[np.float32]) -> None:
        del step, view, image


@dataclasses.dataclass(frozen=True)
class FolderStore:
    """A run folder, which must exist and be locked.

    Attributes:
      folder: the run folder.
      header: what `params.safetensors` says about itself, but for the step.
      callback: receives notes.
      resume_from: a run folder of any backend whose state is resumed where this one has no state.
      tensorboard: whether metrics and images also go to TensorBoard.
    """

    folder: Path
    header: Header
    callback: Callback
    resume_from: Path | None = None
    tensorboard: bool = False

    @property
    def num_restarts(self) -> int:
        return run_folder.num_set_aside(self.folder, run_folder.COLLAPSED)

    @contextlib.contextmanager
    def open(self, record: dict[str, Any]) -> Iterator["OpenStore"]:
        """See `Store.open`."""
        with contextlib.ExitStack() as stack:
            checkpoints = stack.enter_context(Checkpoints(self.folder))
            yield _OpenFolder(self, checkpoints, stack, record)

    def set_aside_collapsed(self) -> str:
        folder = run_folder.set_aside(self.folder, run_folder.COLLAPSED)
        run_folder.prepare(self.folder)
        return f"in {folder}"

    def save_params(self, params: Params, step: int) -> None:
        """Writes `params.safetensors`.

        Raises:
          UserError: if a parameter is not finite, when nothing is written; or the disk is full.
        """
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
            raise UserError(
                f"a parameter is no longer finite at step {step}: try a smaller "
                f"`train.learning_rate`; states saved before are in {self.folder}"
            )
        try:
            parameters.save(self.folder / parameters.FILE_NAME, params, self.header.at_step(step))
        except OSError as error:
            raise UserError(
                f"the parameters of step {step} could not be saved in {self.folder} "
                f"({error.strerror}): make room, then the same command resumes from the last "
                "state that was saved"
            ) from error


class _OpenFolder:
    def __init__(
        self,
        store: FolderStore,
        checkpoints: Checkpoints,
        stack: contextlib.ExitStack,
        record: dict[str, Any],
    ):
        self._store = store
        self._checkpoints = checkpoints
        self._stack = stack
        self._record = record
        self._folder = store.folder
        self._log: metrics.MetricsLog | None = None
        self._tensorboard: TensorboardWriter | None = None
        self._before: list[dict[str, Any]] = []

    def first_state(self, fresh: TrainState, goal: str) -> TrainState:
        callback, source = self._store.callback, self._store.resume_from
        state = fresh
        if self._checkpoints.latest_step is not None:
            state, notice = self._checkpoints.restore(fresh)
            if notice:
                note(callback, notice)
            say(callback, f"resuming at step {int(state.step)} of {goal}")
        elif source is not None:
            state = resume.resumed_state(source, self._store.header.layout, fresh)
            if self._store.num_restarts:
                key = jax.random.fold_in(state.key, self._store.num_restarts)
                state = state._replace(key=key)
            resume.copy_metrics(source, self._folder)
            say(callback, f"resuming from {source} at step {int(state.step)} of {goal}")
        self._open_logs(int(state.step))
        return state

    def _open_logs(self, first_step: int) -> None:
        metrics.truncate(self._folder, first_step)
        self._before = metrics.read(self._folder)
        run_folder.write_json(self._folder / run_folder.CONFIG_FILE, self._record)
        if self._store.tensorboard:
            folder = self._folder / run_folder.TENSORBOARD_FOLDER
            self._tensorboard = self._stack.enter_context(open_writer(folder, first_step))
        log = metrics.MetricsLog(self._folder, self._tensorboard)
        self._log = self._stack.enter_context(log)

    def metrics_before(self) -> list[dict[str, Any]]:
        return self._before

    def write(self, step: int, values: Mapping[str, float]) -> None:
        assert self._log is not None
        self._log.write(step, values)

    def save(self, state: TrainState, score: float | None) -> None:
        self._store.save_params(jax.device_get(state.params), int(state.step))
        self._checkpoints.save(state, score)

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        run_folder.write_json(self._folder / name, values)

    def wait(self) -> None:
        self._checkpoints.wait()

    def write_preview(self, step: int, view: int, image: npt.NDArray[np.float32]) -> None:
        path = run_folder.preview_file(self._folder, step)
        path.parent.mkdir(exist_ok=True)
        images.write_png(path, image)
        if self._tensorboard is not None:
            self._tensorboard.image(f"view_{view}", step, image)
