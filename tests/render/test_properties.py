"""Laws that hold for all settings: they survive the disk, and `--resume` tells them apart."""

import dataclasses
import json

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nerf.backends.planes import PlanesConfig
from nerf.config import presets
from nerf.config import text as config_text
from nerf.errors import UserError
from nerf.field import name_of
from nerf.runs import run_folder
from tests.support.settings import CONFIGS

pytestmark = pytest.mark.slow

QUICK = settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def record(config, **more):
    """What `config.json` holds, as far as going on depends on it."""
    return {
        "backend": "flax",
        "field": name_of(config.field),
        "scene": "meadow",
        "source": "photographs",
        "resolution": [94, 126],
        "space": "ndc",
        "unit_scale": 0.5,
        "bounds": [1.5, 9.0],
        "init_from": "none",
        "seed": 0,
        "precision": "float32",
        "config": config_text.to_json(config),
        **more,
    }


def flat(config):
    return config_text.flatten(config_text.to_json(config))


def verdict(folder, now, **more):
    """What `check_same_training` complains of, None if it is content."""
    try:
        run_folder.check_same_training(folder, now, **more)
    except UserError as error:
        return str(error)
    return None


@QUICK
@given(CONFIGS)
def test_settings_survive_json(config):
    assert config_text.from_json(json.loads(json.dumps(config_text.to_json(config)))) == config


@QUICK
@given(CONFIGS)
def test_every_setting_can_be_given_by_its_name(config):
    assignments = [
        f"{name}={json.dumps(value)}" for name, value in flat(config).items() if name != "preset"
    ]
    planes = isinstance(config.field, PlanesConfig)
    preset = presets.PLANES if planes else presets.NOTEBOOK
    start = dataclasses.replace(preset, preset=config.preset)
    assert config_text.override(start, *assignments) == config


@QUICK
@given(CONFIGS)
def test_the_same_settings_resume(tmp_path, config):
    run_folder.write_json(tmp_path / "config.json", record(config))
    assert verdict(tmp_path, record(config)) is None


@QUICK
@given(CONFIGS, CONFIGS)
def test_other_settings_are_refused_and_each_difference_named(tmp_path, before, now):
    run_folder.write_json(tmp_path / "config.json", record(before))
    old, new = flat(before), flat(now)
    assume(old.keys() == new.keys())
    different = [name for name in old if old[name] != new[name] and name != "train.num_steps"]
    message = verdict(tmp_path, record(now))
    assert (message is not None) == bool(different)
    for name in different[:8]:
        assert f"{name} was {old[name]!r} and is now {new[name]!r}" in message


def test_settings_of_another_field_are_refused(tmp_path):
    run_folder.write_json(tmp_path / "config.json", record(presets.NOTEBOOK))
    assert "was" in verdict(tmp_path, record(presets.PLANES))


@QUICK
@given(CONFIGS, st.integers(0, 2**31 - 1))
def test_the_number_of_steps_may_change(tmp_path, config, num_steps):
    run_folder.write_json(tmp_path / "config.json", record(config))
    longer = config_text.override(config, f"train.num_steps={num_steps}")
    assert verdict(tmp_path, record(longer)) is None


@pytest.mark.parametrize(
    ("name", "value", "elsewhere"),
    [
        ("backend", "haiku", True),
        ("seed", 1, True),
        ("init_from", "pretrained (photographs)", True),
        ("scene", "pond", False),
        ("source", "procedural", False),
        ("resolution", [188, 252], False),
        ("space", "contracted", False),
        ("unit_scale", 0.25, False),
        ("bounds", [1.5, 8.0], False),
        ("precision", "bfloat16", False),
        ("field", "fog", False),
    ],
)
@QUICK
@given(CONFIGS)
def test_a_run_resumes_elsewhere_with_the_same_work_alone(tmp_path, name, value, elsewhere, config):
    run_folder.write_json(tmp_path / "config.json", record(config))
    now = record(config, **{name: value})
    assert f"{name} was" in verdict(tmp_path, now)
    message = verdict(tmp_path, now, elsewhere=True)
    assert (message is None) == elsewhere


@QUICK
@given(CONFIGS, st.data())
def test_settings_that_an_older_version_lacked_are_taken_to_be_the_defaults(tmp_path, config, data):
    later = ("field.compute_dtype", "train.warmup_steps")
    defaults = config_text.override(config, *(f"{n}={json.dumps(DEFAULTS[n])}" for n in later))
    values = config_text.to_json(defaults)
    for name in data.draw(st.sets(st.sampled_from(later), min_size=1)):
        part, _, field = name.partition(".")
        del values[part][field]
    assert config_text.from_json(values) == defaults
    run_folder.write_json(tmp_path / "config.json", record(config) | {"config": values})
    assert verdict(tmp_path, record(defaults)) is None


DEFAULTS = {"field.compute_dtype": "float32", "train.warmup_steps": 0}
