"""Laws of the curves: every finite reading is drawn where its axes say."""

import math
import re

import numpy as np
import pytest

from nerf.output.report.curves import (
    CURVES,
    _Axis,
    charts_over,
    line_chart,
    nice_step,
    points,
    short,
)

LOSS, PSNR, SPEED = CURVES
LINES = [
    {"step": n, "seconds": n / 7, "loss": 2.0 ** (-n / 100), "psnr": n / 50, "rays_per_second": 5.0}
    for n in range(1, 1001)
]
HELD_OUT = [{"step": 500, "seconds": 75.0, "test_psnr": 12.0}]
ODD = [
    {"step": 3, "loss": None, "psnr": float("nan"), "seconds": 1.0},
    {"step": 4, "loss": 0.0, "psnr": True, "seconds": "2"},
    {"step": 5},
]


def polyline(svg, css):
    (text,) = re.findall(rf'<polyline points="([^"]*)" class="{css}"', svg)
    return np.array([[float(x) for x in pair.split(",")] for pair in text.split()])


@pytest.mark.parametrize("lines", [[], ODD, LINES[:1], HELD_OUT, LINES + HELD_OUT + ODD])
@pytest.mark.parametrize("axis", ["step", "seconds"])
def test_charts_are_drawn_whatever_the_metrics_hold(lines, axis):
    charts = charts_over(axis, lines)
    assert "nan" not in "".join(charts)
    if lines in ([], ODD):
        assert [chart for chart in charts if "Loss" in chart] == []


def test_only_what_is_known_is_a_point_and_a_logarithm_needs_more_than_0():
    steps, values = points(LINES[:2] + ODD, "step", "loss", True)
    assert steps.tolist() == [1, 2]
    assert values.tolist() == [LINES[0]["loss"], LINES[1]["loss"]]
    assert len(points(ODD, "step", "psnr", False)[0]) == 0


def test_a_straight_line_is_straight_and_a_decay_is_straight_on_a_logarithmic_axis():
    for curve in (PSNR, LOSS):
        places = polyline(line_chart(curve, "step", LINES), "faint")
        assert len(places) == 400
        straight = np.interp(places[:, 0], places[[0, -1], 0], places[[0, -1], 1])
        assert np.abs(places[:, 1] - straight).max() < 0.3
        assert np.sign(places[-1, 1] - places[0, 1]) == (-1 if curve is PSNR else 1)


def test_all_points_lie_within_the_drawing():
    for curve in CURVES:
        svg = line_chart(curve, "seconds", LINES + HELD_OUT)
        width, height = map(float, re.search(r"viewBox=\"0 0 (\d+) (\d+)\"", svg).groups())
        for css in ("faint", "strong"):
            places = polyline(svg, css)
            assert (places >= 0).all()
            assert (places <= [width, height]).all()


def test_held_out_scores_are_dots_among_the_readings():
    svg = line_chart(PSNR, "step", LINES + HELD_OUT)
    assert svg.count("<circle") == 1
    (dot,) = polyline(svg, "held-out")
    line = polyline(svg, "faint")
    assert dot[0] == pytest.approx(np.interp(500, [1, 1000], line[[0, -1], 0]), abs=0.5)
    assert dot[1] < np.interp(dot[0], line[:, 0], line[:, 1])  # 12 dB is more than 10


@pytest.mark.parametrize("values", [[3.0], [0.0, 0.0], [1e-9, 1e9], [-5.0, 5.0], [1e300, 1e299]])
def test_the_ticks_of_an_axis_enclose_its_values(values):
    axis = _Axis.of(values, False)
    assert axis.low <= min(values)
    assert axis.high >= max(values) * (1 - 1e-9)
    assert 2 <= len(axis.ticks) <= 12
    if min(values) > 0:
        axis = _Axis.of(values, True)
        assert axis.low <= 1.001 * min(values)
        assert axis.high >= 0.999 * max(values)
        assert len(axis.ticks) >= 2


@pytest.mark.parametrize("length", [1e-7, 0.3, 1.0, 7.0, 99.0, 12345.0])
def test_a_length_has_a_few_nice_steps(length):
    step = nice_step(length)
    assert 1.5 <= length / step <= 4.1
    assert round(step / 10 ** math.floor(math.log10(step) + 1e-9), 6) in (1, 2, 5)


def test_numbers_of_ticks_are_short():
    assert [short(x) for x in (0.0, 0.02, 15.0, 2500.0, 3e6)] == ["0", "0.02", "15", "2.5k", "3M"]
