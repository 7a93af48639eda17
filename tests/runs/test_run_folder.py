"""Laws of the run folder's small files: written whole or not at all, and read back."""

import json
import math
import os

import pytest

from nerf.errors import UserError
from nerf.runs import run_folder
from nerf.runtime import atomic


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# JSON.


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "eval.json"
    values = {"psnr": 21.5, "views": [{"index": 0}], "step": None, "name": "Blüte"}
    run_folder.write_json(path, values)
    assert run_folder.read_json(path) == values
    assert path.read_text(encoding="utf-8").endswith("}\n")
    assert names(tmp_path) == ["eval.json"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_say_becomes_null(tmp_path, value):
    path = tmp_path / "eval.json"
    run_folder.write_json(path, {"a": value, "b": [1.0, (value, 2)], "c": {"d": value}})
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == {
        "a": None,
        "b": [1.0, [None, 2]],
        "c": {"d": None},
    }


def test_a_write_that_fails_leaves_the_file_from_before(tmp_path, monkeypatch):
    path = tmp_path / "eval.json"
    run_folder.write_json(path, {"psnr": 1.0})
    with pytest.raises(TypeError):
        run_folder.write_json(path, {"psnr": object()})
    assert run_folder.read_json(path) == {"psnr": 1.0}

    def power_cut(source, target):
        raise OSError("power cut")

    monkeypatch.setattr(os, "replace", power_cut)
    with pytest.raises(OSError, match="power cut"):
        run_folder.write_json(path, {"psnr": 2.0})
    assert run_folder.read_json(path) == {"psnr": 1.0}


def test_a_file_left_by_a_killed_run_is_no_obstacle(tmp_path):
    with atomic.replacing(tmp_path / "eval.json") as left:
        left.touch()
    left.write_text('{"psn')
    run_folder.write_json(tmp_path / "eval.json", {"psnr": 1.0})
    assert names(tmp_path) == ["eval.json"]
    assert run_folder.read_json(tmp_path / "eval.json") == {"psnr": 1.0}


@pytest.mark.parametrize("content", [b"", b'{"psnr": 2', b"\xff\xfe", b"[1, 2]", b"3", None])
def test_what_is_not_a_json_object_is_refused(tmp_path, content):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"config\.json .*another `run_dir`"):
        run_folder.read_json(path)


# The folder.


def test_the_name_says_what_ran():
    name = run_folder.default_name("flower", "photographs", "haiku", "mlp")
    assert name == "flower-photographs-haiku-mlp"


def test_prepare_makes_the_folder_and_leaves_no_probe(tmp_path):
    run_dir = tmp_path / "runs" / "new"
    run_folder.prepare(run_dir)
    assert names(run_dir) == ["renders"]
    (run_dir / "renders" / "old.png").write_text("precious")
    run_folder.prepare(run_dir)
    assert names(run_dir) == ["renders"]
    assert names(run_dir / "renders") == ["old.png"]


@pytest.mark.parametrize("where", ["file", "file/run", "run"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path, where):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "renders").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"cannot be written \(.+\): name another with `run_dir`"):
        run_folder.prepare(tmp_path / where)
    assert (tmp_path / "file").read_text() == "precious"
    assert names(tmp_path) == ["file", "run"]


def test_a_folder_holds_training_where_a_checkpoint_is_complete(tmp_path):
    assert not run_folder.holds_training(tmp_path)
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    assert not run_folder.holds_training(tmp_path)
    (checkpoints / "5.orbax-checkpoint-tmp-0").mkdir()
    assert not run_folder.holds_training(tmp_path)
    (checkpoints / "5").mkdir()
    assert run_folder.holds_training(tmp_path)


def test_the_record_names_versions_and_device():
    versions = run_folder.versions()
    assert set(versions) == {"python", "jax", "jaxlib", "optax", "flax", "dm-haiku", "numpy"}
    assert all(version[0].isdigit() for version in versions.values())
    assert run_folder.device_name()


def test_what_is_left_of_a_training_without_its_checkpoints_is_known(tmp_path):
    assert not run_folder.has_lost_states(tmp_path)
    for name in ("metrics.jsonl", "params.safetensors"):
        (tmp_path / name).write_text("")
    assert run_folder.has_lost_states(tmp_path)
    (tmp_path / "checkpoints" / "10").mkdir(parents=True)
    assert not run_folder.has_lost_states(tmp_path)
