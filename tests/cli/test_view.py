"""The command line of nerf.view, used as a stranger would."""

import dataclasses
import json
import re
import shutil
import signal
import subprocess
import sys

import pytest

import nerf
from nerf import view
from nerf.cli import modes
from nerf.errors import UserError
from nerf.runtime.events import ignore_event
from nerf.scenes.record import SceneRecord
from nerf.scenes.splits import Holdout
from nerf.viewer import server
from nerf.viewer.photographs import have_same_poses
from tests.support import command_line
from tests.support.command_line import assert_is_one_sentence, call, contents
from tests.support.viser_client import ViserClient


def show(*arguments):
    """Runs nerf.view in this process; only what ends at once may be called so."""
    view.FLAGS.unparse_flags()
    arguments = ["nerf.view", *map(str, arguments)]
    return command_line._run_to_exit(lambda: view.main(modes.parser_of("nerf.view")(arguments)))


@pytest.fixture
def run(trained, tmp_path):
    """A run folder that may be damaged."""
    return shutil.copytree(trained["flax"][0], tmp_path / "a run")


@pytest.mark.parametrize("arguments", [(), ("",), ("one", "two")])
def test_it_takes_one_run_folder(arguments):
    assert_is_one_sentence(show(*arguments), "give one run folder: python -m nerf.view RUN")


def test_what_is_no_run_folder_is_refused_with_what_to_give(tmp_path):
    assert_is_one_sentence(show(tmp_path / "nothing"), "nothing does not exist: give a run folder")
    (tmp_path / "file").touch()
    assert_is_one_sentence(show(tmp_path / "file"), "file is a file: give a run folder")
    assert_is_one_sentence(show(tmp_path), "is no run folder: it has no config.json")
    (tmp_path / "runs" / "meadow").mkdir(parents=True)
    (tmp_path / "runs" / "meadow" / "config.json").touch()
    assert_is_one_sentence(show(tmp_path / "runs"), "its folders meadow are: give one of them")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("scene.json", "a run has no scene.json, which holds the cameras"),
        ("params.safetensors", "no params.safetensors"),
    ],
)
def test_a_run_folder_that_lacks_a_file_is_refused(run, name, sentence):
    (run / name).unlink()
    assert_is_one_sentence(show(run), sentence)


def test_a_config_of_something_else_and_a_scene_that_is_not_there_come_before_the_field(tmp_path):
    config = {"scene": "meadow", "config": {}}
    for values, flags, sentence in (
        ({"name": "of a program"}, (), "was not written by a run"),
        (config, (), "has no scene.json"),
        (config, ("--scene=./absent",), "--scene=./absent does not exist: give the folder"),
        (config, ("--scene=absnt",), "no scene 'absnt': there is no folder"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(values))
        if flags:
            (tmp_path / "scene.json").write_text("{}")
        assert_is_one_sentence(show(tmp_path, *flags), sentence)
    assert_is_one_sentence(show(tmp_path), "scene.json: the record of the scene cannot be read")
    (tmp_path / "scene.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read") as caught:
        nerf.load_run(tmp_path)
    assert str(caught.value).count("scene.json") == 1
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="was not written by a run"):
        nerf.load_run(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "scene.json", "params.safetensors"])
def test_a_damaged_run_folder_is_refused(run, name):
    (run / name).write_bytes((run / name).read_bytes()[:60])
    assert_is_one_sentence(show(run), f"{name} is damaged")


def test_flags_of_other_commands_and_wrong_ports_are_refused(run):
    assert_is_one_sentence(
        show(run, "--host=192.0.2.1"), "--host=192.0.2.1 is not an address of this"
    )
    assert_is_one_sentence(show(run, f"--out={run / 'eval.json'}"), "eval.json is a file: give a")
    for flag, sentence in (
        ("--steps=3", "nerf.view does not use --steps"),
        ("--port=70000", "flag --port=70000"),
        ("--port=80abc", "error: flag --port=80abc: it must be a whole number (--help"),
    ):
        view.FLAGS.unparse_flags()
        with pytest.raises(SystemExit):
            modes.parser_of("nerf.view")(["nerf.view", str(run), flag])
        ended = show(run, flag)
        assert ended.status == 1
        assert sentence in ended.err


def test_flags_of_a_scene_that_is_not_read_are_refused(run):
    ended = show(run, "--factor=2", "--max_size=100")
    assert_is_one_sentence(ended, "--factor, --max_size: no file of the scene is read without")


def test_without_viser_it_says_what_to_install(run, monkeypatch, scene):
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda name: None)
    assert_is_one_sentence(show(run), "pip install 'nerf-haiku-flax[viewer]'")
    ended = call("--mode=train", f"--scene={scene}", f"--run_dir={run.parent / 'b'}", "--viewer")
    assert_is_one_sentence(ended, "pip install 'nerf-haiku-flax[viewer]'")


def test_the_page_s_flags_need_the_page(scene):
    ended = call("--mode=train", f"--scene={scene}", "--port=9000")
    assert_is_one_sentence(ended, "--port sets the address of the viewer: add --viewer")


def test_photographs_of_a_bundled_scene_are_found_again_at_their_size():
    scene = nerf.load_scene("procedural:flower@32x24", callback=ignore_event)
    record = SceneRecord.of(scene, Holdout(0))
    assert view.bundled_scene(record) == "procedural:flower@32x24"
    more = dataclasses.replace(record, name="flower@32x24x40")
    assert view.bundled_scene(more) == "procedural:flower@32x24x40"
    unnamed = dataclasses.replace(record, name="flower")  # a run of the usual size
    assert view.bundled_scene(unnamed) == "procedural:flower@32x24"
    assert have_same_poses(record, scene)


def test_it_says_its_address_until_ctrl_c_and_changes_nothing(run, scene):
    before = contents(run)
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "nerf.view", str(run), f"--scene={scene}", "--port=18090"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = next(line for line in process.stdout if "http" in line)
        address = re.search(r"http://127\.0\.0\.1:\d+", line).group()
        with ViserClient(address) as client:
            client.wait(lambda window: "_image_data" in json.dumps(window.messages, default=str))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGINT
    assert err.strip().splitlines()[-1] == "stopped"
    assert "Traceback" not in err
    assert contents(run) == before
