"""The settings in which runs differ."""

from collections.abc import Mapping, Sequence

from nerf.jobs.report import all_settings, setting_text
from nerf.jobs.reports.run_summary import RunSummary

_RECORDED = ("seed", "precision", "init_from", "space")  # beside the settings


def differing_settings(runs: Sequence[RunSummary]) -> list[tuple[str, list[str]]]:
    """The settings that are not the same in all runs: name, and value of each run."""
    known: list[Mapping[str, str]] = [_settings(run) for run in runs]
    names = dict.fromkeys(name for settings in known for name in settings)
    rows = [(name, [settings.get(name, "-") for settings in known]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _settings(run: RunSummary) -> Mapping[str, str]:
    """How a run was made: its settings by their dotted names, and what else decides the result."""
    own = {name: setting_text(run.record[name]) for name in _RECORDED if name in run.record}
    return own | {name: setting_text(value) for name, value in all_settings(run).items()}
