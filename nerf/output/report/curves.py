"""Curves of a run as SVG: loss, PSNR and rays per second, over seconds and over steps."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.output.charts import smooth
from nerf.output.report.content import finite
from nerf.output.report.markup import Markup, element, joined

Points = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]

_WIDTH, _HEIGHT = 380, 230  # units of the drawing
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 12, 34
_MAX_FAINT = 400  # points of the faint line
_NUM_TICKS = 4


class Curve(NamedTuple):
    """What one chart shows.

    Attributes:
      title: above it.
      unit: of its values.
      name: of its values in `metrics.jsonl`.
      held_out: of the held-out values there; None for none.
      is_log: whether its axis is logarithmic.
    """

    title: str
    unit: str
    name: str
    held_out: str | None = None
    is_log: bool = False


CURVES = (
    Curve("Loss", "", "loss", is_log=True),
    Curve("PSNR", "dB", "psnr", "test_psnr"),
    Curve("Speed", "rays/s", "rays_per_second"),
)


def charts_over(axis: str, lines: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """All charts over `seconds` or `step`; those without values are left out."""
    return [
        element("figure", element("figcaption", _title(curve)), drawing, class_="chart")
        for curve in CURVES
        if (drawing := line_chart(curve, axis, lines)) is not None
    ]


def _title(curve: Curve) -> str:
    return f"{curve.title}, {curve.unit}" if curve.unit else curve.title


def line_chart(curve: Curve, axis: str, lines: Sequence[Mapping[str, Any]]) -> Markup | None:
    """A chart of the lines of `metrics.jsonl`; None where they have no value of the curve.

    Readings are a faint line, and their medians over neighbours a strong one. Held-out values are
    dots that a line joins.
    """
    readings = points(lines, axis, curve.name, curve.is_log)
    dots = points(lines, axis, curve.held_out, curve.is_log) if curve.held_out else _NONE
    if len(readings[0]) == 0 and len(dots[0]) == 0:
        return None
    divisor, unit = axis_unit(axis, [*readings[0], *dots[0]])
    x_axis = _Axis.of([0.0, *(readings[0] / divisor), *(dots[0] / divisor)], False).cut()
    values = [*readings[1], *dots[1]]
    y_axis = _Axis.of(values if curve.name != "rays_per_second" else [0.0, *values], curve.is_log)

    def path(found: Points, css: str) -> Markup | None:
        if len(found[0]) == 0:
            return None
        places = _places((found[0] / divisor, found[1]), x_axis, y_axis)
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        return element("polyline", points=text, class_=css)

    circles = [
        element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=3, class_="held-out")
        for x, y in _places((dots[0] / divisor, dots[1]), x_axis, y_axis)
    ]
    strong = smooth(*readings) if len(readings[0]) else _NONE
    return element(
        "svg",
        _grid(x_axis, y_axis, unit),
        path(_thinned(readings), "faint"),
        path(strong, "strong"),
        path(dots, "held-out"),
        circles,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=f"{_title(curve)} over {unit}",
    )


def points(lines: Sequence[Mapping[str, Any]], axis: str, name: str, is_log: bool) -> Points:
    """Positions and values of the lines that have finite numbers for both; with `is_log` above 0.

    Returns:
      Two arrays `[num_points]`, in the order of the lines.
    """
    pairs = [(finite(line.get(axis)), finite(line.get(name))) for line in lines]
    known = [(x, y) for x, y in pairs if x is not None and y is not None]
    found = [(x, y) for x, y in known if y > 0.0 or not is_log]
    array = np.array(found, np.float64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def axis_unit(axis: str, positions: Sequence[float]) -> tuple[float, str]:
    """The divisor of seconds, and the name of the unit; steps stay as they are.

    >>> (
    ...     axis_unit("seconds", [90.0]),
    ...     axis_unit("seconds", [9000.0]),
    ...     axis_unit("step", [9000.0]),
    ... )
    ((1.0, 'seconds'), (60.0, 'minutes'), (1.0, 'steps'))
    """
    if axis != "seconds":
        return 1.0, "steps"
    last = max(positions, default=0.0)
    if last < 300.0:
        return 1.0, "seconds"
    return (60.0, "minutes") if last < 4 * 3600.0 else (3600.0, "hours")


_NONE: Points = (np.zeros(0), np.zeros(0))


def _thinned(found: Points) -> Points:
    """Thins a curve to the points that can be drawn, and keeps the last one."""
    num = len(found[0])
    if num <= _MAX_FAINT:
        return found
    chosen = np.linspace(0, num - 1, _MAX_FAINT).round().astype(int)
    return found[0][chosen], found[1][chosen]


class _Axis(NamedTuple):
    """The range of an axis and its ticks, both in the values' own unit."""

    low: float
    high: float
    ticks: tuple[float, ...]
    is_log: bool
    last: float  # the largest value

    @classmethod
    def of(cls, values: Sequence[float], is_log: bool) -> "_Axis":
        low, high = min(values), max(values)
        if is_log:
            ticks = _log_ticks(low, high)
            return cls(ticks[0], ticks[-1], ticks, True, high)
        step = nice_step((high - low) or abs(high) or 1.0)
        first = math.floor(low / step)
        last = max(math.ceil(high / step), first + 1)
        ticks = tuple(step * number for number in range(first, last + 1))
        return cls(ticks[0], ticks[-1], ticks, False, high)

    def cut(self) -> "_Axis":
        """The same axis, which ends at its last value."""
        if self.last <= self.low:  # a single reading, at the beginning
            return self
        ticks = tuple(tick for tick in self.ticks if tick <= self.last)
        return self._replace(high=self.last, ticks=ticks)

    def place(self, value: float) -> float:
        """From 0 at the low end to 1 at the high one."""
        if self.is_log:
            value, low, high = (math.log10(x) for x in (value, self.low, self.high))
            return (value - low) / (high - low)
        return (value - self.low) / (self.high - self.low)


def _log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Powers of ten around a range, with 2 and 5 between them where there are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 2)
    factors = (1.0, 2.0, 5.0) if high < 100.0 * low else (1.0,)
    ticks = [factor * 10.0**power for power in powers for factor in factors]
    first = max(n for n, tick in enumerate(ticks) if tick <= 1.001 * low)
    last = min(n for n, tick in enumerate(ticks) if tick >= 0.999 * high)
    return tuple(ticks[first : max(last, first + 1) + 1])


def nice_step(length: float) -> float:
    """A step of 1, 2 or 5 times a power of ten, of which a length has a few.

    >>> nice_step(60.0), nice_step(7.0), nice_step(0.3)
    (20.0, 2.0, 0.1)
    """
    power = 10.0 ** math.floor(math.log10(length / _NUM_TICKS))
    return next(f * power for f in (1.0, 2.0, 5.0, 10.0) if f * power >= 0.99 * length / _NUM_TICKS)


def _places(found: Points, x_axis: _Axis, y_axis: _Axis) -> list[tuple[float, float]]:
    """The points in the units of the drawing."""
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    return [
        (_LEFT + width * x_axis.place(x), _TOP + height * (1.0 - y_axis.place(y)))
        for x, y in zip(*found, strict=True)
    ]


def _grid(x_axis: _Axis, y_axis: _Axis, unit: str) -> Markup:
    """The lines of both axes with their numbers."""
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    rows, columns = [], []
    for tick in y_axis.ticks:
        y = _places((np.array([x_axis.low]), np.array([tick])), x_axis, y_axis)[0][1]
        line = element("line", x1=_LEFT, x2=right, y1=f"{y:.1f}", y2=f"{y:.1f}")
        label = element("text", short(tick), x=_LEFT - 6, y=f"{y + 4:.1f}", text_anchor="end")
        rows.append(joined(line, label))
    for tick in x_axis.ticks:
        x = _places((np.array([tick]), np.array([y_axis.low])), x_axis, y_axis)[0][0]
        anchor = "end" if x > right - 12 else "middle"
        label = element("text", short(tick), x=f"{x:.1f}", y=bottom + 15, text_anchor=anchor)
        columns.append(label)
    name = element("text", unit, x=right, y=bottom + 29, text_anchor="end", class_="unit")
    return element("g", rows, columns, name, class_="grid")


def short(value: float) -> str:
    """A number for the tick of an axis.

    >>> short(20000.0), short(0.001), short(1500000.0), short(2.5), short(0.0)
    ('20k', '0.001', '1.5M', '2.5', '0')
    """
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"
