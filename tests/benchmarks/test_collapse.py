"""Laws of the collapse benchmark: what it counts, and that it runs."""

import pytest

from benchmarks import collapse, report
from nerf.config import presets
from nerf.config import text as config_text
from nerf.scenes import names

WELL = {"seed": 0, "psnr": 20.0, "spread": 0.8, "acc": 0.9, "collapsed": False, "noticed": None}
DEAD = WELL | {"seed": 1, "psnr": 10.0, "spread": 0.0, "acc": 0.0, "collapsed": True}
SIGN = {"sign": "transparent", "step": 120}


def test_collapsed_unnoticed_and_false_alarms_are_counted_apart():
    runs = [WELL, DEAD, DEAD | {"noticed": SIGN}, WELL | {"noticed": SIGN | {"step": 150}}]
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
    scene = names.load_scene("procedural:flower", size=(12, 16)).scene
    tiny = ("field.width=8", "field.num_layers=2", "field.skip_layer=1", "train.learning_rate=1e38")
    base = collapse.settings("notebook", 1.0, collapse.VARIANTS["none"])
    config = config_text.override(base, *tiny, "train.final_learning_rate=1e38")
    runs = collapse.measure(backend, config, scene, num_seeds=2, num_steps=10)
    assert [run["seed"] for run in runs] == [0, 1]
    for run in runs:
        assert run["noticed"] == {"sign": "not_finite", "step": 10}
        assert run["collapsed"]
