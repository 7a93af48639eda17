"""Charts of results, as PNG files."""

import itertools
from pathlib import Path
from typing import Any

from nerf.runtime import atomic

_EXACT, _FAST, _FLOOR, _THIRD = "#08519c", "#d94801", "#bdbdbd", "#2e8b57"


def write_step_chart(path: Path, result: dict[str, Any]) -> None:
    """Seconds a step of each backend, beside the floor that the matrix product sets."""
    groups = []
    for case in result["cases"]:
        floor = case["flop_per_step"] / case["ceiling"]["flop_per_second"]
        bars = [("floor", floor, "", _FLOOR)]
        colours = itertools.cycle((_EXACT, _FAST, _THIRD, "#54278f"))
        for colour, (name, values) in zip(colours, sorted(case["backends"].items()), strict=False):
            share = f"{values['share_of_ceiling']:.0%}"
            bars.append((name, values["step_seconds"]["median"], share, colour))
        label = f"{case['preset']}\n{case['num_rays']} rays, {case['precision']}"
        groups.append((label, bars))
    _write(path, groups, "seconds a training step", result)


def write_render_chart(path: Path, result: dict[str, Any]) -> None:
    """Seconds an image, exact and fast, beside the floor of the exact renderer."""
    groups = []
    for case in result["cases"]:
        exact, fast = (case["methods"][name] for name in ("exact", "fast"))
        seconds = exact["image_seconds"]["median"]
        groups.append(
            (
                f"{case['scene']}\n{case['source']}, {case['backend']}",
                [
                    ("floor of exact", seconds * exact["share_of_ceiling"], "", _FLOOR),
                    ("exact", seconds, f"{exact['share_of_ceiling']:.0%}", _EXACT),
                    (
                        "fast",
                        fast["image_seconds"]["median"],
                        f"{case['exact_to_fast']['median']:.1f} x",
                        _FAST,
                    ),
                ],
            )
        )
    size = f"{result['cases'][0]['width']}x{result['cases'][0]['height']}"
    _write(path, groups, f"seconds an image of {size}", result)


def write_growth_chart(path: Path, result: dict[str, Any]) -> None:
    """Log-log: how the seconds grow with each quantity, and how the work does."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(12, 3.6), dpi=100, layout="constrained")
    axes_row = figure.subplots(1, len(result["curves"]), squeeze=False)[0]
    for axes, curve in zip(axes_row, result["curves"], strict=True):
        values = [point["value"] for point in curve["points"]]
        seconds = [point["seconds"]["median"] for point in curve["points"]]
        work = [
            point["flop"] / curve["points"][-1]["flop"] * seconds[-1] for point in curve["points"]
        ]
        axes.loglog(values, work, "--", color=_FLOOR, label="proportional to the work")
        axes.loglog(values, seconds, "o-", color=_EXACT, label="measured")
        axes.set_xticks(values, [str(value) for value in values])
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.set(title=curve["name"], xlabel=curve["unit"], ylabel=curve["what"])
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    axes_row[0].legend(frameon=False)
    _save(figure, path)


def write_quality_chart(path: Path, result: dict[str, Any]) -> None:
    """Held-out PSNR above SSIM over seconds, a column for each scene, a line for each field."""
    from matplotlib.figure import Figure

    scenes = result["scenes"]
    figure = Figure(figsize=(4.0 * len(scenes) + 1.0, 6.4), dpi=100, layout="constrained")
    rows = figure.subplots(2, len(scenes), squeeze=False, sharex="col")
    names = list(dict.fromkeys(curve["field"] for scene in scenes for curve in scene["curves"]))
    colours = dict(zip(names, itertools.cycle((_FAST, _EXACT, _THIRD)), strict=False))
    lines: dict[str, Any] = {}
    measures = (("psnr", "held-out PSNR, dB", ".1f"), ("ssim", "held-out SSIM", ".2f"))
    for axes_row, (key, label, digits) in zip(rows, measures, strict=True):
        for axes, scene in zip(axes_row, scenes, strict=True):
            for curve in scene["curves"]:
                name, seconds = curve["field"], [point["limit"] for point in curve["points"]]
                values = [point[key] for point in curve["points"]]
                (lines[name],) = axes.semilogx(seconds, values, "o-", color=colours[name])
                for x, y in zip(seconds, values, strict=True):
                    axes.annotate(
                        f"{y:{digits}}", (x, y), (0, 6), textcoords="offset points", ha="center"
                    )
            axes.set(ylabel=label)
            axes.margins(x=0.1, y=0.2)
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
    for above, below, scene in zip(*rows, scenes, strict=True):
        limits = {point["limit"] for curve in scene["curves"] for point in curve["points"]}
        above.set_title(f"{scene['scene']} ({scene['source']})")
        below.set_xticks(sorted(limits), [f"{value:g}" for value in sorted(limits)])
        below.minorticks_off()
        below.set_xlabel("seconds from the start of the process")
    figure.legend(
        lines.values(), lines.keys(), loc="outside upper center", ncols=len(lines), frameon=False
    )
    _save(figure, path)


def _write(
    path: Path,
    groups: list[tuple[str, list[tuple[str, float, str, str]]]],
    ylabel: str,
    result: dict[str, Any],
) -> None:
    from matplotlib.figure import Figure  # takes a second to load

    figure = Figure(figsize=(max(6.0, 2.2 * len(groups) + 1.5), 4.2), dpi=100, layout="constrained")
    axes = figure.subplots()
    named: set[str] = set()
    for position, (_, bars) in enumerate(groups):
        width = 0.8 / len(bars)
        for number, (name, height, note, colour) in enumerate(bars):
            x = position + (number - (len(bars) - 1) / 2) * width
            label = name if name not in named else None
            named.add(name)
            axes.bar(x, height, 0.92 * width, color=colour, label=label)
            text = f"{height:.2f}" + (f"\n{note}" if note else "")
            axes.annotate(text, (x, height), ha="center", va="bottom", fontsize=8)
    axes.set_xticks(range(len(groups)), [label for label, _ in groups])
    axes.set(ylabel=ylabel)
    axes.set_title(f"{result['processor']}, {result['cores']} cores", loc="left", fontsize=10)
    axes.margins(y=0.15)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper right", ncols=len(named), frameon=False, fontsize=9)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    with atomic.replacing(path) as partial:
        figure.savefig(partial, format="png")
