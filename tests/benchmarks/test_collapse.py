"""Laws of the collapse benchmark: what it counts, and that it runs."""

import json

import pytest

from benchmarks import collapse, compare, report, results
from nerf.config import presets
from nerf.config import text as config_text
from nerf.scenes import names
from tests.support.command_line import assert_is_one_sentence, call_benchmark

pytestmark = pytest.mark.slow

HEALTHY = {"seed": 0, "psnr": 20.0, "spread": 0.8, "acc": 0.9, "collapsed": False, "noticed": None}
DEAD = HEALTHY | {"seed": 1, "psnr": 10.0, "spread": 0.0, "acc": 0.0, "collapsed": True}
NOTICED = {"sign": "transparent", "step": 120}


def test_collapsed_unnoticed_and_false_alarms_are_counted_apart():
    runs = [
        HEALTHY,
        DEAD,
        DEAD | {"noticed": NOTICED},
        HEALTHY | {"noticed": NOTICED | {"step": 150}},
    ]
    row = collapse.summary("paper", 10.0, "none", runs)
    assert row["num_collapsed"] == 2
    assert row["num_unnoticed"] == 1
    assert row["num_false_alarms"] == 1
    assert row["last_noticed_at"] == 150
    assert row["median_psnr"] == 15.0
    assert report.collapse_row(row) == "| paper | 10 | none | 2 of 4 | 1 | 1 | 150 | 15.0 |"


@pytest.mark.parametrize("preset", ["notebook", "paper"])
def test_each_kind_of_prevention_changes_one_thing_alone(preset):
    bare = collapse.settings(preset, 10.0, collapse.VARIANTS["none"])
    assert bare.train.learning_rate == 10 * presets.preset(preset).train.learning_rate
    assert (bare.field.density_noise, bare.train.clip_norm, bare.train.warmup_steps) == (0, 0, 0)
    assert bare.field.density_activation == "relu"
    changed = {
        name: differences(bare, collapse.settings(preset, 10.0, changes))
        for name, changes in collapse.VARIANTS.items()
    }
    assert {name: len(names) for name, names in changed.items()} == {
        "none": 0,
        "softplus density": 1,
        "density noise": 1,
        "warm-up": 1,
        "clipping": 1,
        "all": 4,
    }


def differences(before, after):
    one, other = (config_text.to_json(config) for config in (before, after))
    return [
        name
        for part in ("field", "render", "train")
        for name in one[part]
        if one[part][name] != other[part][name]
    ]


def test_it_runs(backend):
    scene = names.resolve_scene("procedural:flower@16x12").scene
    tiny = ("field.width=8", "field.num_layers=2", "field.skip_layer=1", "train.learning_rate=1e38")
    base = collapse.settings("notebook", 1.0, collapse.VARIANTS["none"])
    config = config_text.override(base, *tiny, "train.final_learning_rate=1e38")
    runs = collapse.measure(backend, config, scene, num_seeds=2, num_steps=10)
    assert [run["seed"] for run in runs] == [0, 1]
    for run in runs:
        assert run["noticed"] == {"sign": "not_finite", "step": 10}
        assert run["collapsed"]


def test_the_command_counts_over_seeds_and_compares(tmp_path, monkeypatch):
    monkeypatch.setattr(collapse, "MUST_BE_NOTICED", 2)
    out = tmp_path / "collapse.json"
    flags = ("--scene=procedural:flower@16x12", "--seeds=2", "--steps=2", "--lr_factors=1")
    one = ("--preset=notebook", "--variants=none,all")
    ended = call_benchmark(collapse, *flags, *one, f"--out={out}")
    assert ended.status == 0, ended.err
    result = json.loads(out.read_text())
    assert [row["variant"] for row in result["rows"]] == ["none", "all"]
    assert all(row["num_runs"] == len(row["runs"]) == 2 for row in result["rows"])
    assert all(run["steps"] in (2, 4) for row in result["rows"] for run in row["runs"])
    table = [line for line in ended.out.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert len({line.count("|") for line in table}) == 1
    old = (results.FOLDER / "collapse-cpu-2026-11-25.json", out)
    for earlier, lines in zip(old, (2, 2), strict=True):
        text = compare.against(result, compare.collapse(result, results.read(earlier, "collapse")))
        assert text.count(" collapsed, before ") == lines


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--preset=mine"], "unknown preset 'mine'"),
        (["--presets=mine"], "unknown preset 'mine'"),
        (["--variants=luck"], "'luck' is not one of none, softplus density"),
        (["--lr_factors=0"], "'0' is not a number in the range"),
        (["--seeds=0"], "0 is not an integer in the range"),
        (["--backend=torch"], "unknown backend 'torch'"),
        (["--scene=procedural:flower@0x0"], "has no valid size"),
    ],
)
def test_a_wrong_flag_ends_with_a_sentence(flags, reason, tmp_path):
    ended = call_benchmark(collapse, *flags, "--steps=2", f"--out={tmp_path / 'out.json'}")
    assert_is_one_sentence(ended, reason)
