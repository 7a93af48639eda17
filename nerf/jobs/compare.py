"""Compares several runs: a table, also as CSV and JSON, and a page with their views."""

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nerf import __version__
from nerf.errors import UserError, listed, printable
from nerf.jobs.comparison.files import check_writable
from nerf.jobs.comparison.settings import differing_settings
from nerf.jobs.comparison.views import view_groups
from nerf.jobs.report import duration
from nerf.jobs.reports.run_summary import DamagedRun, RunSummary, read_run
from nerf.output.report.compare_page import CompareContent, TableCell, compare_page
from nerf.output.report.content import SCORES
from nerf.output.text_table import text_table
from nerf.runs import parameters, run_folder
from nerf.runs.metrics import METRICS_FILE
from nerf.runtime import atomic

Values = dict[str, Any]  # of a run, by the keys of the columns


class Column(NamedTuple):
    """A column of the table.

    Attributes:
      key: its name in CSV and JSON.
      label: for people.
      text: a value for people; of a value that is known.
      is_number: whether its values are numbers.
      is_better_high: whether more is better; None where neither is.
    """

    key: str
    label: str
    text: Callable[[Any], str] = str
    is_number: bool = False
    is_better_high: bool | None = None


COLUMNS = (
    Column("run", "run"),
    Column("scene", "scene"),
    *(Column(s.key, s.label, s.text, True, s.is_better_high) for s in SCORES),
    Column("steps", "steps", "{:,}".format, True),
    Column("seconds", "time", duration, True),
    Column("rays", "rays", "{:,}".format, True),
    Column("field", "field"),
    Column("backend", "backend"),
    Column("preset", "preset"),
    Column("status", "status"),
    Column("views", "views", str, True),
    Column("source", "source"),
    Column("resolution", "size"),
    Column("renderer", "renderer"),
    Column("device", "device"),
)
SORT_KEYS = ("run", "scene", "steps", "seconds", "rays", *(score.key for score in SCORES))


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The comparison of several runs.

    Attributes:
      runs: what their folders say.
      labels: a short name of each, in the same order.
      notes: remarks on the folders that were given.
      faults: which files of them are damaged.
    """

    runs: tuple[RunSummary, ...]
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def rows(self) -> list[Values]:
        """The values of each run by the keys of `COLUMNS`; None where one is not known."""
        found = [
            {"run": label, **_values(run)}
            for label, run in zip(self.labels, self.runs, strict=True)
        ]
        return [{column.key: values[column.key] for column in COLUMNS} for values in found]

    def sorted_by(self, sort: str) -> "Comparison":
        """The same with the best run first, by one of `SORT_KEYS`; unknown values come last.

        Raises:
          UserError: if there is no such key.
        """
        if sort not in SORT_KEYS:
            raise UserError(f"unknown `sort` {sort!r}: choose one of {', '.join(SORT_KEYS)}")
        column = next(column for column in COLUMNS if column.key == sort)
        rows = self.rows
        known = [n for n, row in enumerate(rows) if row[sort] is not None]
        known.sort(key=lambda n: rows[n][sort], reverse=column.is_better_high is True)
        order = known + [n for n, row in enumerate(rows) if row[sort] is None]
        runs, labels = tuple(self.runs[n] for n in order), tuple(self.labels[n] for n in order)
        return dataclasses.replace(self, runs=runs, labels=labels)

    def table(self) -> str:
        """The table for a terminal, without columns that have no known value."""
        rows = self.rows
        columns = _used_columns(rows)
        texts = [[printable(_text(column, row)) for column in columns] for row in rows]
        return text_table(
            [column.label for column in columns], texts, [column.is_number for column in columns]
        )

    def csv(self) -> str:
        """The table as CSV, with numbers as they are; an unknown value is empty."""
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, [column.key for column in COLUMNS], lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {key: printable(x) if isinstance(x, str) else x for key, x in row.items()}
            for row in self.rows
        )
        return buffer.getvalue()

    def json(self) -> str:
        """The table as JSON: a list of objects; an unknown value is null."""
        return json.dumps(self.rows, indent=2) + "\n"

    def page(self) -> str:
        """One HTML file with the table, the views of all runs, and the settings that differ."""
        rows = self.rows
        columns, same = _split_columns(_used_columns(rows), rows)
        cells = [[_cell(column, row, rows) for column in columns] for row in rows]
        groups, remarks = view_groups(self.runs, self.labels)
        return compare_page(
            CompareContent(
                columns=[(column.label, column.is_number) for column in columns],
                rows=cells,
                groups=groups,
                same=[(column.label, _text(column, rows[0])) for column in same],
                remarks=[*self.notes, *self.faults, *remarks],
                labels=self.labels,
                differences=differing_settings(self.runs),
                version=__version__,
            )
        )

    def write(
        self,
        *,
        csv: str | Path | None = None,
        json: str | Path | None = None,
        page: str | Path | None = None,
    ) -> None:
        """Writes the forms for which a file is named.

        Raises:
          UserError: if a file cannot be written where it is named.
        """
        forms = {"csv": (csv, self.csv), "json": (json, self.json), "out": (page, self.page)}
        named = {
            name: Path(file).expanduser() for name, (file, _) in forms.items() if file is not None
        }
        check_writable(named, [run.folder for run in self.runs])
        for name, path in named.items():
            atomic.write_text(path, forms[name][1]())


def compare_runs(folders: Sequence[str | Path]) -> Comparison:
    """Reads several run folders, which are not changed.

    Args:
      folders: of runs of any scenes and versions. An unfinished run is listed as such.
        Other folders are left out, with a note.

    Raises:
      UserError: if a path does not exist, or fewer than two of the folders are of runs.
    """
    if not folders:
        raise UserError("no run is named: give two run folders or more")
    paths = list({Path(folder).resolve(): Path(folder) for folder in folders}.values())
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise UserError(f"there is no {listed(missing)}: give folders of runs, e.g. runs/*")
    runs, reasons, damaged = [], [], []
    for path in paths:
        try:
            runs.append(read_run(path))
        except DamagedRun as error:
            damaged.append(f"left out, since its settings are not known: {error}")
        except UserError as error:
            reasons.append(str(error))
    if not runs:
        raise UserError(f"none of these is a run: {listed([*reasons, *damaged])}")
    if len(runs) == 1:
        raise UserError(_one_alone(runs[0], len(folders) - len(paths), [*reasons, *damaged]))
    labels = _labels([run.folder for run in runs])
    notes = [f"left out, since it is not a run: {listed(reasons)}"] if reasons else []
    waiting = [n for n, run in zip(labels, runs, strict=True) if run.status == "unfinished"]
    if waiting:
        notes.append(f"unfinished, since there is no {run_folder.EVAL_FILE}: {listed(waiting)}")
    notes += _notes_on_corrections(runs, labels)
    notes += _notes_on_sizes(runs, labels)
    return Comparison(tuple(runs), tuple(labels), tuple(notes), (*damaged, *_faults(runs, labels)))


def _notes_on_corrections(runs: Sequence[RunSummary], labels: Sequence[str]) -> list[str]:
    """A note if some runs are scored after a correction of the views and others are not."""
    scored = [
        (run.corrected or "", label) for run, label in zip(runs, labels, strict=True) if run.scores
    ]
    notes = []
    for kind in ("exposure", "poses"):
        names = [label for corrected, label in scored if kind in corrected]
        if 0 < len(names) < len(scored):
            notes.append(
                f"the views of {listed(names)} are corrected for {kind} before they are scored, "
                f"those of the others are not: evaluate these with `{kind}=on` to compare them"
            )
    return notes


def _notes_on_sizes(runs: Sequence[RunSummary], labels: Sequence[str]) -> list[str]:
    """A note for each scene whose runs have images of different sizes, as bundled scenes may."""
    by_scene: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for run, label in zip(runs, labels, strict=True):
        name = run.scene.partition("@")[0] if run.source == "procedural" else run.scene
        size = _values(run)["resolution"]
        if size is not None:
            by_scene.setdefault((name, run.source), []).append((label, size))
    return [
        f"the runs of {name} ({source}) have images of different sizes, whose scores do not "
        f"compare: {listed([f'{label} {size}' for label, size in members])}"
        for (name, source), members in by_scene.items()
        if len({size for _, size in members}) > 1
    ]


def _one_alone(run: RunSummary, num_again: int, reasons: Sequence[str]) -> str:
    """The error where there is nothing to compare a run with."""
    again = " (given more than once)" if num_again else ""
    others = f"; left out, since it is not a run: {listed(reasons)}" if reasons else ""
    report = run.folder / run_folder.REPORT_FILE
    own = f"; {report} is the page of it alone" if report.is_file() else ""
    return f"{run.folder}{again} is the only run: give two run folders or more{others}{own}"


def _faults(runs: Sequence[RunSummary], labels: Sequence[str]) -> list[str]:
    """Which files are damaged, and which values are therefore unknown."""
    faults = []
    lost = {
        run_folder.EVAL_FILE: "scores are not known",
        METRICS_FILE: "the time and a part of the curves are not known",
        run_folder.SCENE_FILE: "the run can be neither drawn nor exported",
        parameters.FILE_NAME: "the run can be neither drawn nor exported",
    }
    for file, what in lost.items():
        names = [name for name, run in zip(labels, runs, strict=True) if file in run.damaged]
        if names:
            faults.append(f"{file} is damaged, so {what}: {listed(names)}")
    return faults


def _labels(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that tell them apart."""
    whole = [folder.resolve() for folder in folders]
    parts = [path.parts[1:] or path.parts for path in whole]
    longest = max(len(each) for each in parts)
    for length in range(1, longest + 1):
        ends = ["/".join(each[-length:]) for each in parts]
        if len(set(ends)) == len(ends):
            return ends
    return [str(path) for path in whole]


def _values(run: RunSummary) -> Values:
    scores = run.scores or {}
    size = scores.get("resolution", run.record.get("resolution"))
    has_size = isinstance(size, list) and len(size) == 2
    machine = run.record.get("machine")
    processor = machine.get("processor") if isinstance(machine, dict) else None
    device = run.record.get("device")
    return {
        "scene": run.scene,
        "source": run.source,
        "field": run.field,
        "backend": run.backend,
        "preset": run.preset,
        "status": run.status,
        "steps": run.step,
        "seconds": run.seconds,
        "rays": run.num_rays,
        **{score.key: run.score(score.key) for score in SCORES},
        "views": len(run.views) if run.scores is not None else None,
        "resolution": f"{size[1]}x{size[0]}" if has_size else None,
        "renderer": scores.get("renderer", scores.get("render")),
        "device": processor if device == "cpu" and processor else device,
    }


def _used_columns(rows: Sequence[Values]) -> list[Column]:
    return [column for column in COLUMNS if any(row[column.key] is not None for row in rows)]


def _split_columns(
    columns: Sequence[Column], rows: Sequence[Values]
) -> tuple[list[Column], list[Column]]:
    """Columns that tell runs apart or hold numbers, and those with one text for all runs."""
    same = [c for c in columns if not c.is_number and len({_text(c, row) for row in rows}) == 1]
    return [column for column in columns if column not in same], same


def _text(column: Column, row: Values) -> str:
    value = row[column.key]
    return "-" if value is None else column.text(value)


def _cell(column: Column, row: Values, rows: Sequence[Values]) -> TableCell:
    """A cell of the page; the best score of each scene is marked where it has several runs."""
    value, scene = row[column.key], (row["scene"], row["source"])
    rivals = [r[column.key] for r in rows if (r["scene"], r["source"]) == scene]
    known = [rival for rival in rivals if rival is not None]
    is_best = (
        column.is_better_high is not None
        and value is not None
        and len(known) > 1
        and value == (max(known) if column.is_better_high else min(known))
    )
    return TableCell(_text(column, row), value, is_best)
