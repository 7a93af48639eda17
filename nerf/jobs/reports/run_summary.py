"""What a run folder records, read without its parameters: settings, curves, scores."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nerf.errors import UserError, printable
from nerf.output.report.content import finite
from nerf.runs import metrics, parameters, run_folder
from nerf.scenes.record import SceneRecord

RENDER_MODE = "render"  # which scores nothing


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """A run as its folder records it; older versions and killed runs record less.

    Attributes:
      folder: the run folder.
      record: of `config.json`.
      scores: of `eval.json`; None if it is missing or cannot be read.
      lines: of `metrics.jsonl`; none where nothing was trained in the folder.
      damaged: names of files that are there and cannot be read, or end too early.
    """

    folder: Path
    record: Mapping[str, Any]
    scores: Mapping[str, Any] | None
    lines: tuple[Mapping[str, Any], ...]
    damaged: tuple[str, ...] = ()

    @property
    def scene(self) -> str:
        return self._named("scene")

    @property
    def source(self) -> str:
        return self._named("source")

    @property
    def backend(self) -> str:
        return self._named("backend")

    @property
    def field(self) -> str:
        return self._named("field")

    @property
    def preset(self) -> str:
        return str(self.config.get("preset", "unknown"))

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings, as JSON has them."""
        return mapping(self.record.get("config"))

    @property
    def status(self) -> str:
        """`finished`, `unfinished`, `damaged`, or `not scored`, where its mode makes no scores."""
        if self.scores is not None:
            return "finished"
        if run_folder.EVAL_FILE in self.damaged:
            return "damaged"
        return "not scored" if self.record.get("mode") == RENDER_MODE else "unfinished"

    @property
    def step(self) -> int | None:
        """The step whose parameters are scored; of an unfinished run, the last one that is known.

        None where it is not known.
        """
        scored = finite((self.scores or {}).get("step"))
        last = finite(self.lines[-1].get("step")) if self.lines else None
        found = last if scored is None else scored
        return None if found is None else int(found)

    @property
    def seconds(self) -> float | None:
        """The seconds of training up to `step`; None where it was not trained in this folder, or
        the file ends too early.
        """
        step = self.step
        if self.lines and _end_early(self.lines, self.scores):
            return None
        upto = [line for line in self.lines if step is None or (finite(line["step"]) or 0) <= step]
        known = [s for line in upto if (s := finite(line.get("seconds"))) is not None]
        return known[-1] if known else None

    @property
    def num_rays(self) -> int | None:
        """The rays that the training has used up to `step`; None as for `seconds`."""
        of_step = finite(mapping(self.config.get("train")).get("num_rays"))
        if self.step is None or of_step is None or not self.lines:
            return None
        return int(self.step * of_step)

    @property
    def corrected(self) -> str | None:
        """What was corrected before the views were scored; None without corrections."""
        found = (self.scores or {}).get("corrected")
        return printable(found) if isinstance(found, str) and found else None

    @property
    def views(self) -> list[Mapping[str, Any]]:
        """The scores of each view, as `eval.json` has them; none for an unfinished run."""
        views = (self.scores or {}).get("views")
        found = views if isinstance(views, list) else []
        return [v for v in found if isinstance(v, dict) and isinstance(v.get("index"), int)]

    def score(self, name: str) -> float | None:
        """A mean score by its name in `eval.json`; None where it is not known."""
        return finite((self.scores or {}).get(name))

    def _named(self, name: str) -> str:
        for values in (self.record, self.scores or {}):
            if isinstance(values.get(name), str):
                return str(values[name])
        return "unknown"


class DamagedRun(UserError):
    """The settings of a run cannot be read."""


def read_run(folder: Path) -> RunSummary:
    """Reads a run folder, which is not changed.

    Raises:
      UserError: with the reason, if it is not a run folder, or its settings cannot be read.
    """
    try:
        return _read(folder)
    except OSError as error:  # e.g. of a folder without the right to read it
        raise UserError(f"{folder} cannot be read ({error.strerror})") from error


def _read(folder: Path) -> RunSummary:
    if not folder.exists():
        raise UserError(f"{folder} does not exist")
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder")
    if not (folder / run_folder.CONFIG_FILE).is_file():
        raise UserError(f"{folder} has no {run_folder.CONFIG_FILE}")
    record = _object(folder / run_folder.CONFIG_FILE)
    if record is None:
        raise DamagedRun(f"{folder} has a {run_folder.CONFIG_FILE} that is damaged")
    if not isinstance(record.get("scene"), str) or not mapping(record.get("config")):
        raise UserError(f"{folder} has a {run_folder.CONFIG_FILE} that was not written by a run")
    scores = _object(folder / run_folder.EVAL_FILE)
    if scores is not None and not isinstance(scores.get("views"), list):
        scores = None
    lines = _lines(folder)
    is_damaged = {
        run_folder.EVAL_FILE: scores is None,
        metrics.METRICS_FILE: not lines or _end_early(lines, scores),
        run_folder.SCENE_FILE: not _is_scene(folder / run_folder.SCENE_FILE),
        parameters.FILE_NAME: not parameters.is_complete(folder / parameters.FILE_NAME),
    }
    damaged = tuple(
        name for name, is_lost in is_damaged.items() if is_lost and _holds(folder / name)
    )
    return RunSummary(folder, record, scores, lines, damaged)


def _object(path: Path) -> Mapping[str, Any] | None:
    """An object of JSON; None where the file is missing or holds no such thing."""
    try:
        return run_folder.read_json(path)
    except (UserError, RecursionError):
        return None


def _is_scene(path: Path) -> bool:
    """Whether a file is the record of a scene."""
    values = _object(path)
    try:
        return values is not None and bool(SceneRecord.from_json(values).view_names)
    except UserError:
        return False


def _lines(folder: Path) -> tuple[Mapping[str, Any], ...]:
    """The lines of `metrics.jsonl`; none where it cannot be read."""
    try:
        return tuple(metrics.read(folder))
    except (OSError, RecursionError):
        return ()


def _end_early(lines: Sequence[Mapping[str, Any]], scores: Mapping[str, Any] | None) -> bool:
    """Whether metrics end before the step that is scored, as in a truncated file."""
    scored = finite((scores or {}).get("step"))
    return scored is not None and (finite(lines[-1].get("step")) or 0) < scored


def _holds(path: Path) -> bool:
    """Whether there is something other than an empty file, which a killed run may leave."""
    return path.exists() and not (path.is_file() and path.stat().st_size == 0)


def view_name(view: Mapping[str, Any]) -> str:
    """The name of a view's image; version 0.1.0 wrote its index alone.

    >>> view_name({"index": 16, "name": "IMG_4026"}), view_name({"index": 16})
    ('IMG_4026', 'view 16')
    """
    name = view.get("name")
    return printable(name) if isinstance(name, str) and name else f"view {view['index']}"


def mapping(value: Any) -> Mapping[str, Any]:
    """An object of JSON as it is; an empty one for anything else."""
    return value if isinstance(value, dict) else {}
