"""Charts of a run: loss and PSNR over steps."""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nerf.runtime import atomic

_MAX_SMOOTH_POINTS = 60  # of the smooth line
_FAINT, _STRONG, _HELD_OUT = "#9ecae1", "#08519c", "#d94801"

Series = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def write_training_chart(path: Path, lines: Sequence[Mapping[str, Any]], title: str) -> None:
    """Draws loss and PSNR over steps, from the lines of `metrics.jsonl`.

    Args:
      path: the PNG file to write. It is replaced as a whole.
      lines: readings, with `step`, `loss` and `psnr`, and held-out scores, with `test_psnr`.
      title: the title of the chart, e.g. scene, backend and field.
    """
    from matplotlib.figure import Figure  # takes a second to load

    figure = Figure(figsize=(12, 5), dpi=100, layout="constrained")
    figure.suptitle(title, parse_math=False)  # a name may contain $
    loss_axes, psnr_axes = figure.subplots(1, 2)
    _draw(loss_axes, series(lines, "loss"), "training batch")
    loss_axes.set(title="Loss", xlabel="step", ylabel="loss", yscale="log")
    _draw(psnr_axes, series(lines, "psnr"), "training batch")
    steps, scores = series(lines, "test_psnr")
    if len(steps):
        psnr_axes.plot(steps, scores, "o-", color=_HELD_OUT, markersize=5, label="held-out view")
    psnr_axes.set(title="PSNR", xlabel="step", ylabel="dB")
    for axes in (loss_axes, psnr_axes):
        axes.grid(alpha=0.25, which="both")
        axes.spines[["top", "right"]].set_visible(False)
    if psnr_axes.lines:
        psnr_axes.legend(loc="lower right", frameon=False)
    with atomic.replacing(path) as partial, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # in the name of a scene
        figure.savefig(partial, format="png")


def series(lines: Sequence[Mapping[str, Any]], name: str) -> Series:
    """Steps and values of the lines that have a finite number under `name`."""
    found = [
        (line["step"], line[name])
        for line in lines
        if isinstance(line.get(name), int | float) and math.isfinite(line[name])
    ]
    array = np.array(found, np.float64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def smooth(steps: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> Series:
    """Smooths a curve: medians of groups of neighbouring readings, at the mean step of each group.

    Args:
      steps, values: `[num_readings]`, at least one.

    Returns:
      Steps and medians, at most `_MAX_SMOOTH_POINTS` of each.
    """
    num_groups = min(_MAX_SMOOTH_POINTS, max(1, len(steps) // 3))
    groups = np.array_split(np.arange(len(steps)), num_groups)
    return (
        np.array([steps[group].mean() for group in groups]),
        np.array([np.median(values[group]) for group in groups]),
    )


def _draw(axes: Any, points: Series, label: str) -> None:
    steps, values = points
    if len(steps):
        axes.plot(steps, values, color=_FAINT, linewidth=0.8, marker=".", markersize=2)
        axes.plot(*smooth(steps, values), color=_STRONG, linewidth=1.8, label=label)
