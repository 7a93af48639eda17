"""The benchmark of the viewer runs, and counts what it drew."""

import json

import pytest

from benchmarks import viewer_speed
from tests.support.command_line import assert_is_one_sentence, call_benchmark

pytestmark = pytest.mark.slow


def test_it_measures_a_run(trained, tmp_path):
    out = tmp_path / "speed.json"
    flags = (f"--run={trained['flax'][0]}", "--window=64x48", "--readings=1", "--seconds=0.2")
    ended = call_benchmark(viewer_speed, *flags, f"--out={out}")
    assert ended.status == 0, ended.err
    (row,) = json.loads(out.read_text())["windows"]
    assert row["sharp_seconds"]["n"] == 1
    assert row["moving_per_second"] > 0
    assert viewer_speed.compared({"windows": [row]}, {"windows": [row]}) == [
        "64x48: 1.000 times the seconds"
    ]


def test_wrong_flags_are_one_sentence(trained):
    assert_is_one_sentence(call_benchmark(viewer_speed), "--run names the run folder")
    ended = call_benchmark(viewer_speed, f"--run={trained['flax'][0]}", "--window=big")
    assert_is_one_sentence(ended, "--window=big: expected WIDTHxHEIGHT")
