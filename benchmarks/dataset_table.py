"""The table of a suite: means and spread over the seeds, by scene and over all scenes.

A run is a dictionary with `scene`, `seed` and `state`:

    trained    the run folder holds it, its held-out views are not scored yet
    scored     with the figures of `benchmarks.finished_run`
    failed     with an `error`, one sentence; `seed` is None if the scene cannot be read
"""

import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.published import Scores
from benchmarks.suites import Suite
from nerf.errors import listed

Run = dict[str, Any]
Spread = dict[str, float | None]  # `mean` and `sd`, the standard deviation
_FIGURES = ("psnr", "ssim", "train_seconds", "steps", "rays", "rays_per_second")
_HEADS = ("scene", "size", "views", "seeds", "PSNR", "SSIM", "seconds", "steps", "rays", "rays/s")


def with_run(runs: Sequence[Run], run: Run) -> list[Run]:
    """The runs with one more, in place of an earlier one of the same scene and seed."""
    others = [
        other
        for other in runs
        if other["scene"] != run["scene"] or other["seed"] not in (run["seed"], None)
    ]
    return sorted([*others, run], key=lambda run: (run["scene"], run["seed"] or 0))


def find(runs: Iterable[Run], scene: str, seed: int) -> Run | None:
    """The run of a scene and seed, if there is one."""
    return next((run for run in runs if (run["scene"], run["seed"]) == (scene, seed)), None)


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """Means and standard deviations: `scenes`, one entry for each, and `mean`, over them.

    The standard deviation of `mean` is that of the seeds' means over all scenes. It is None where
    fewer than two seeds are scored (on every scene, for `mean`).
    """
    scored = [run for run in runs if run["state"] == "scored"]
    by_scene = {
        name: list(group) for name, group in itertools.groupby(scored, lambda run: run["scene"])
    }
    scenes = [
        {
            "scene": name,
            "resolution": group[0]["resolution"],
            "num_views": group[0]["num_views"],
            "seeds": [run["seed"] for run in group],
            **{figure: _spread([run[figure] for run in group]) for figure in _FIGURES},
        }
        for name, group in by_scene.items()
    ]
    return {"scenes": scenes, "mean": _mean(scenes, list(by_scene.values()))}


def _mean(scenes: Sequence[dict[str, Any]], groups: Sequence[Sequence[Run]]) -> dict[str, Any]:
    """Of all scenes; empty if there are none."""
    if not scenes:
        return {}
    common = set.intersection(*({run["seed"] for run in group} for group in groups))

    def of_figure(figure: str) -> Spread:
        by_seed = [
            _average([run[figure] for group in groups for run in group if run["seed"] == seed])
            for seed in sorted(common)
        ]
        mean = _average([scene[figure]["mean"] for scene in scenes])
        return {"mean": mean, "sd": _spread(by_seed)["sd"]}

    return {"num_scenes": len(scenes), **{figure: of_figure(figure) for figure in _FIGURES}}


def _spread(values: Sequence[float | None]) -> Spread:
    finite = [value for value in values if value is not None]
    has_deviation = len(finite) == len(values) > 1
    return {"mean": _average(values), "sd": statistics.stdev(finite) if has_deviation else None}


def _average(values: Sequence[float | None]) -> float | None:
    """The mean; None if a value is not finite, which JSON writes as null."""
    finite = [value for value in values if value is not None]
    return statistics.fmean(finite) if len(finite) == len(values) > 0 else None


def failures(runs: Sequence[Run]) -> list[str]:
    """A name for each run that failed."""
    return [_name(run) for run in runs if run["state"] == "failed"]


def line(run: Run) -> str:
    """One run on one line."""
    if run["state"] == "failed":
        return f"{_name(run)}: {run['error']}"
    return (
        f"{_name(run)}: {_number(run['psnr'], '.2f')} dB, SSIM {_number(run['ssim'], '.3f')} after "
        f"{run['train_seconds']:.0f} s, {run['steps']:,} steps, {run['rays']:,} rays"
    )


def markdown(result: Mapping[str, Any], suite: Suite) -> str:
    """The whole result as Markdown.

    Args:
      result: with `settings`, `runs` and what `summary` returns.
      suite: the protocol.
    """
    settings, runs = result["settings"], result["runs"]
    given = ", ".join(
        f"`--{name}={value}`"
        for name, values in settings.items()
        for value in (values if isinstance(values, list | tuple) else [values])
        if value is not None
    )
    parts = [
        f"# {settings['suite']}: {suite.protocol}",
        f"Means over the held-out views. Settings: {given}.",
        "\n".join(_table(result, runs)),
        *_published_table(result, suite),
        "\n".join(_measured(runs)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(result: Mapping[str, Any], runs: Sequence[Run]) -> list[str]:
    failed = [run for run in runs if run["state"] == "failed"]
    rows = [_scene_row(scene) for scene in result["scenes"]]
    rows += [[_name(run), _escaped(run["error"]), *[""] * 8] for run in failed]
    if mean := result["mean"]:
        rows.append([f"mean of {mean['num_scenes']}", "", "", "", *_cells(mean)])
    return _lines(_HEADS, rows)


def _scene_row(scene: Mapping[str, Any]) -> list[str]:
    height, width = scene["resolution"]
    views = scene["num_views"]
    return [
        _escaped(scene["scene"]),
        f"{width}x{height}",
        f"{views['train']} + {views['test']}",
        f"{len(scene['seeds'])}",
        *_cells(scene),
    ]


def _cells(figures: Mapping[str, Any]) -> list[str]:
    formats = (".2f", ".4f", ",.0f", ",.0f", ",.0f", ",.0f")
    return [_cell(figures[name], form) for name, form in zip(_FIGURES, formats, strict=True)]


def _cell(spread: Spread, form: str) -> str:
    deviation = spread["sd"]
    more = "" if deviation is None else f" ± {deviation:{form}}"
    return f"{_number(spread['mean'], form)}{more}"


def _number(value: float | None, form: str) -> str:
    return "not finite" if value is None else f"{value:{form}}"


def _published_table(result: Mapping[str, Any], suite: Suite) -> list[str]:
    """A second table with the published scores of the same scenes, and their sources."""
    published = suite.published
    ours = {
        scene["scene"]: Scores(scene["psnr"]["mean"], scene["ssim"]["mean"])
        for scene in result["scenes"]
        if scene["psnr"]["mean"] is not None
    }
    known = [name for name in ours if all(name in method.scores for method in published)]
    if not published or not known:
        return []
    columns = [ours, *(method.scores for method in published)]
    rows = [[name, *(_pair(column[name]) for column in columns)] for name in known]
    means = [_mean_scores([column[name] for name in known]) for column in columns]
    rows.append([f"mean of {len(known)}", *map(_pair, means)])
    heads = ["PSNR / SSIM", "this run", *(method.name for method in published)]
    return [
        "Beside published scores, which were reached on GPUs or TPUs in minutes to days:",
        "\n".join(_lines(heads, rows)),
        f"Sources: {_sources(suite)}.",
        _other_sizes(result, suite, known),
    ]


def _sources(suite: Suite) -> str:
    names: dict[str, list[str]] = {}
    for method in suite.published:
        names.setdefault(method.source, []).append(method.name)
    return "; ".join(f"{', '.join(methods)}: {source}" for source, methods in names.items())


def _other_sizes(result: Mapping[str, Any], suite: Suite, known: Sequence[str]) -> str:
    """Which scenes cannot be compared, since their images have another size; else empty."""
    others = [
        scene["scene"]
        for scene in result["scenes"]
        if scene["scene"] in known and tuple(scene["resolution"]) != suite.size
    ]
    if not others or suite.size is None:
        return ""
    height, width = suite.size
    return f"Not comparable, since the published scores are of {width}x{height}: {listed(others)}."


def _pair(scores: Scores) -> str:
    return f"{scores.psnr:.2f}" + ("" if scores.ssim is None else f" / {scores.ssim:.3f}")


def _mean_scores(scores: Sequence[Scores]) -> Scores:
    psnr = statistics.fmean(score.psnr for score in scores)
    return Scores(psnr, _average([score.ssim for score in scores]))


def _measured(runs: Sequence[Run]) -> list[str]:
    """Each machine that a run was measured on, with versions and days."""
    days: dict[str, set[str]] = {}
    for run in runs:
        if machine := run.get("machine"):
            versions = ", ".join(f"{name} {value}" for name, value in machine["versions"].items())
            text = (
                f"{machine['num_devices']} x {machine['device']}, {machine['processor']}, "
                f"{machine['cores']} usable cores; {versions}"
            )
            days.setdefault(text, set()).add(run["date"][:10])
    return [f"Measured on {text}; {', '.join(sorted(on))}." for text, on in days.items()]


def _name(run: Run) -> str:
    return str(run["scene"]) if run["seed"] is None else f"{run['scene']} (seed {run['seed']})"


def _lines(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    table = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(cells)} |" for cells in table]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
