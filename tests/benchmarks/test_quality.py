"""The benchmark of quality over time, in a short form: every figure is there."""

import json

import pytest
from PIL import Image

from benchmarks import quality
from tests.support.command_line import SMALL_PLANES, call_benchmark

pytestmark = pytest.mark.slow


def test_every_figure_is_there(scene, tmp_path):
    for seconds in (20, 80, 320):  # a busy machine compiles for all of the first ones
        out, chart = tmp_path / f"{seconds}.json", tmp_path / f"{seconds}.png"
        flags = (f"--scene={scene}", *SMALL_PLANES, f"--out={out}", f"--chart={chart}")
        ended = call_benchmark(quality, *flags, f"--seconds={seconds}")
        assert ended.status == 0, ended.err
        (measured,) = json.loads(out.read_text())["scenes"]
        if measured["curves"][0]["points"][0]["steps"] >= 20:
            break
    assert (measured["scene"], measured["source"]) == ("meadow", "photographs")
    assert measured["resolution"] == [12, 16]
    (curve,) = measured["curves"]
    (point,) = curve["points"]
    assert (curve["field"], point["limit"]) == ("planes", float(seconds))
    assert point["steps"] >= 1
    assert 0 < point["train_seconds"] < point["process_seconds"]
    assert 10 < point["psnr"] < 60
    assert point["ssim"] <= 1
    assert point["num_parameters"] > 1000
    assert f"{point['psnr']:.2f} dB" in ended.out
    with Image.open(chart) as image:
        assert image.width > 300


def test_a_run_has_the_preset_that_is_named(scene, tmp_path):
    """Preset quick alone has a grid among its parameters, here of a hundred thousand texels."""
    out = tmp_path / "quality.json"
    sets = ("field.width=8", "field.rgb_width=8", "field.proposal.resolution=[50, 50, 40]")
    for seconds in (12, 48, 192):  # a busy machine compiles for all of the first ones
        ended = call_benchmark(
            *(quality, f"--scene={scene}", f"--seconds={seconds}", "--field=mlp:quick"),
            *(f"--set={assignment}" for assignment in sets),
            f"--out={out}",
        )
        if ended.status == 0:
            break
    assert ended.status == 0, ended.err
    ((curve,),) = [scene["curves"] for scene in json.loads(out.read_text())["scenes"]]
    assert curve["field"] == "mlp:quick"
    assert 100_000 < curve["points"][0]["num_parameters"] < 105_000


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--field=hash"], "has no field 'hash': choose one of mlp, planes"),
        (["--backend=torch"], "unknown backend 'torch'"),
        (
            ["--field=mlp:quik"],
            "unknown preset 'quik': choose one of notebook, paper, ",
        ),
        (["--field=planes:quick"], "preset 'quick' is for the field 'mlp', not 'planes'"),
        (["--seconds=soon"], "'soon' is not a number in the range [0.001, 1000000.0]"),
        (["--seconds=0"], "'0' is not a number in the range [0.001, 1000000.0]"),
        (["--scene=./nowhere"], "a run on ./nowhere failed: nowhere is not a folder"),
    ],
)
def test_a_mistake_is_named(flags, reason, tmp_path):
    ended = call_benchmark(quality, *flags, f"--out={tmp_path / 'out.json'}")
    assert ended.status == 1
    assert reason in ended.err
    assert ended.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
