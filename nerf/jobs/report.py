"""`report.html`: the content of a run folder, on one page for people."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nerf import __version__
from nerf.config import presets, text
from nerf.errors import UserError, counted
from nerf.jobs.reports.run_summary import RunSummary, mapping, read_run
from nerf.jobs.reports.videos import run_videos
from nerf.jobs.scoring.view_images import view_contents
from nerf.output.report.content import SCORES, RunContent
from nerf.output.report.run_page import run_page
from nerf.runs import run_folder
from nerf.runtime import atomic
from nerf.runtime.events import Callback, log_event, note, say
from nerf.scenes.scene import truth_name
from nerf.scenes.splits import Holdout, describe_rule

_MODES = {"train": "trained", "evaluate": "scored as given", "render": "drawn as given"}


def write_report(run_dir: str | Path, *, callback: Callback = log_event) -> Path:
    """Writes `report.html` into a run folder: one file that needs no network.

    Runs of `nerf.main` end with it. It can be written again at any time, also for a run of an
    older version.

    Args:
      run_dir: the run folder.
      callback: receives where the file is.

    Returns:
      The path of the file.

    Raises:
      UserError: if it is not a run folder.
      OSError: if the file cannot be written.
    """
    run = read_run(Path(run_dir))
    path = run.folder / run_folder.REPORT_FILE
    atomic.write_text(path, run_page(run_content(run)))
    say(callback, f"report: {path}")
    return path


def try_report(run_dir: Path, callback: Callback) -> None:
    """`write_report` at the end of a run, whose results stay whatever happens: it notes errors."""
    try:
        write_report(run_dir, callback=callback)
    except Exception as error:
        note(
            callback,
            f"the report was not written ({type(error).__name__}: {error}); everything else is in "
            f"{run_dir}, and `nerf.write_report` writes it again",
        )


def run_content(run: RunSummary) -> RunContent:
    """What the page of a run shows."""
    notes = run.record.get("notes")
    return RunContent(
        name=run.scene,
        subtitle=_subtitle(run),
        facts=_facts(run),
        scores={s.key: x for s in SCORES if (x := run.score(s.key)) is not None},
        scored=_scored(run),
        truth_name=truth_name(run.source),
        views=view_contents(run),
        lines=run.lines,
        videos=run_videos(run.folder),
        notes=[str(each) for each in notes] if isinstance(notes, list) else None,
        changed=changed_settings(run),
        settings=_settings(run),
        machine=_machine(run),
        version=__version__,
    )


def _subtitle(run: RunSummary) -> str:
    how = _MODES.get(str(run.record.get("mode")), "run")
    trained = []
    if run.seconds is not None and how == "trained":
        trained.append(f"for {duration(run.seconds)}")
    if run.step is not None:
        trained.append(f"{run.step:,} steps")
    if run.num_rays is not None:
        trained.append(f"{run.num_rays:,} rays")
    done = f"{how} {', '.join(trained)}" if how == "trained" else ", ".join([how, *trained])
    unfinished = " (unfinished)" if run.status == "unfinished" else ""
    return f"Field {run.field} in {run.backend}, preset {run.preset}, {done}{unfinished}"


def _facts(run: RunSummary) -> list[tuple[str, str]]:
    record, values = run.record, []
    values.append(("scene", f"{run.scene}, {run.source}"))
    split = mapping((run.scores or {}).get("split"))
    train, test = (split.get(part) for part in ("train", "test"))
    if isinstance(train, list) and isinstance(test, list):
        values.append(("split", _split_text(train, test, run)))
    size = record.get("resolution")
    if isinstance(size, list) and len(size) == 2:
        values.append(("images", f"{size[1]}x{size[0]} pixels{_sizes_text(record)}"))
    values.append(("space", str(record.get("space", "unknown"))))
    bounds = record.get("bounds")
    if isinstance(bounds, list) and len(bounds) == 2:
        values.append(("bounds", f"{bounds[0]} to {bounds[1]} scene units, the mean of all views"))
    values.append(("parameters", f"from {record.get('init_from', 'unknown')}"))
    known = mapping(record.get("known_depths"))
    if isinstance(known.get("count"), int):
        values.append(("known depths", f"{known['count']:,}, from {known.get('source')}"))
    if run.corrected:
        values.append(("scores", f"the views are corrected for {run.corrected}"))
    notes = record.get("notes")
    if run.source == "procedural":
        pass  # there is no capture to check
    elif not isinstance(notes, list):
        values.append(("check", "what it said is not known: an older version wrote this folder"))
    elif not notes:
        values.append(("check", "the capture was read without a note"))
    return [(name, value.replace("from none", "from scratch")) for name, value in values]


def _sizes_text(record: Mapping[str, Any]) -> str:
    return "; views differ in size" if record.get("sizes") else ""


def _split_text(train: Sequence[int], test: Sequence[int], run: RunSummary) -> str:
    counts = f"{counted(len(train), 'view')} for training, {len(test)} held out"
    config = mapping(run.config.get("train"))
    every = config.get("holdout")
    if config.get("holdout_views"):
        return f"{counts}, by name"
    if not test:
        return counts
    num_views = len(train) + len(test)
    if isinstance(every, int) and every > 0 and list(test) == list(range(0, num_views, every)):
        return f"{counts}: {describe_rule(None, Holdout(every))}"
    return f"{counts}, by the split of the files"


def _scored(run: RunSummary) -> str:
    if run.status == "damaged":
        return "The scores are not known, since eval.json is damaged."
    if run.status == "not scored":
        return "Nothing is scored: this run has drawn a video alone."
    if run.scores is None:
        return "Nothing is scored yet: there is no eval.json."
    if not run.views:
        return "No view is held out, so nothing is scored."
    num = run.scores.get("views_scored", len(run.views))
    renderer = run.scores.get("renderer", run.scores.get("render", "exact"))
    if num == 1:
        return f"Of the one held-out view, which was not trained on; {renderer} renderer."
    return f"Mean of {num} held-out views, none of which was trained on; {renderer} renderer."


def all_settings(run: RunSummary) -> Mapping[str, Any]:
    """The settings of a run by their dotted names; an older run gets the defaults of newer ones."""
    try:
        config = text.to_json(text.from_json(dict(run.config), run.field))
    except (UserError, OverflowError):  # the second is for sizes of hundreds of digits
        config = dict(run.config)
    return text.flatten(config)


def changed_settings(run: RunSummary) -> list[tuple[str, str, str]] | None:
    """Settings that differ from those of the run's preset; None where there is no such preset."""
    try:
        config = text.from_json(dict(run.config), run.field)
        preset = text.flatten(text.to_json(presets.preset(run.preset)))
    except (UserError, OverflowError):  # the second is for sizes of hundreds of digits
        return None
    now = text.flatten(text.to_json(config))
    return [
        (name, setting_text(value), setting_text(preset.get(name)))
        for name, value in now.items()
        if value != preset.get(name)
    ]


def _settings(run: RunSummary) -> dict[str, list[tuple[str, str]]]:
    """All settings by their part, and how the run was made."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, value in text.flatten(dict(run.config)).items():
        part, _, rest = name.partition(".")
        if rest:
            groups.setdefault(part, []).append((rest, setting_text(value)))
    loop = mapping(run.record.get("loop"))
    how = {**loop, **{k: run.record[k] for k in ("seed", "on_collapse") if k in run.record}}
    if how:
        groups["training"] = [(name, setting_text(value)) for name, value in how.items()]
    video = mapping(run.record.get("video"))
    if video:
        groups["video"] = [(name, setting_text(value)) for name, value in video.items()]
    return groups


def _machine(run: RunSummary) -> list[tuple[str, str]]:
    record = run.record
    machine = mapping(record.get("machine"))
    device = str(record.get("device", "unknown"))
    if machine.get("devices"):
        device = f"{machine['devices']} x {device}"
    values = [("device", device)]
    if machine:
        cores = machine.get("cpu_cores")
        values.append(("processor", f"{machine.get('processor')}, {cores} cores"))
        values.append(("system", str(machine.get("system"))))
    values.append(("precision", str(record.get("precision", "unknown"))))
    versions = mapping(record.get("versions"))
    if versions:
        values.append(("versions", ", ".join(f"{k} {v}" for k, v in versions.items())))
    return values


def setting_text(value: Any) -> str:
    """A setting for people.

    >>> (
    ...     setting_text([48, 36, 24]),
    ...     setting_text(0.00015),
    ...     setting_text(True),
    ...     setting_text(None),
    ...     setting_text(2147483647),
    ... )
    ('48, 36, 24', '0.00015', 'yes', 'none', 'no limit')
    """
    if isinstance(value, list):
        return ", ".join(setting_text(each) for each in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value == 2**31 - 1:
        return "no limit"
    return "none" if value is None else str(value)


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(60.04), duration(754.0), duration(9000.0)
    ('60 s', '12 min 34 s', '2 h 30 min')
    """
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
