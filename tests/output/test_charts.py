"""Laws of the chart of a run: what it shows, whatever its metrics hold, and that it is whole."""

import numpy as np
import pytest
from PIL import Image

from nerf.output import charts

NOISE = np.random.default_rng(0).normal(size=400)


def readings(num):
    return [
        {"step": 10 * n, "loss": 0.1 * 2 ** (-n / 50) + 0.001, "psnr": 15.0 + n / 40 + NOISE[n]}
        for n in range(num)
    ]


SCORES = [{"step": 1000 * n, "test_psnr": 14.0 + n, "test_ssim": 0.5} for n in range(4)]
ODD = [
    {"step": 5, "loss": None, "psnr": float("nan")},
    {"step": 6},
    {"step": 7, "loss": "0.1", "psnr": float("inf")},
]


@pytest.mark.parametrize(
    "lines", [readings(1), readings(400), readings(400) + SCORES + ODD, SCORES, ODD]
)
def test_a_chart_is_drawn_whatever_the_metrics_hold(tmp_path, lines):
    path = tmp_path / "training.png"
    charts.write_training_chart(path, lines, "meadow (procedural), flax mlp")
    with Image.open(path) as image:
        assert image.size == (1200, 500)
        image.load()
    assert [file.name for file in tmp_path.iterdir()] == ["training.png"]


def test_what_is_shown_depends_on_the_readings_and_the_scores(tmp_path):
    images = []
    for number, lines in enumerate((readings(400), readings(300), readings(400) + SCORES)):
        path = tmp_path / f"{number}.png"
        charts.write_training_chart(path, lines, "meadow")
        images.append(np.asarray(Image.open(path)))
    assert not np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


def test_a_series_holds_the_numbers_alone():
    steps, values = charts.series([*readings(3), *SCORES, *ODD], "loss")
    assert steps.tolist() == [0, 10, 20]
    assert values[0] == pytest.approx(0.101)
    assert charts.series(ODD, "loss")[0].shape == (0,)


@pytest.mark.parametrize("num", [1, 2, 3, 59, 60, 400])
def test_smoothing_keeps_a_constant_and_stays_within_the_steps(num):
    steps, values = charts.smooth(np.arange(num, dtype=float), np.full(num, 3.0))
    assert (values == 3.0).all()
    assert len(steps) <= 60
    assert steps.min() >= 0
    assert steps.max() <= num - 1
    assert (np.diff(steps) > 0).all()


def test_smoothing_is_not_led_astray_by_one_spike():
    noisy = np.where(np.arange(400) == 200, 100.0, 1.0)
    assert charts.smooth(np.arange(400.0), noisy)[1].max() == 1.0
