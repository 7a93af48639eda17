"""The command line of nerf.pose, used as a stranger would, and how others point to it."""

import importlib.util
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from nerf import main as nerf_main
from nerf.cli import modes
from tests.support.captures import write_images, write_nerfstudio
from tests.support.command_line import assert_is_one_sentence, call, contents
from tests.support.textured_corner import write_corner_photos

pytestmark = pytest.mark.slow
needs_colmap = pytest.mark.skipif(
    importlib.util.find_spec("pycolmap") is None, reason="pycolmap is not installed"
)
ROOT = os.path.dirname(os.path.dirname(nerf_main.__file__))
NUM_VIEWS = 7


def start(module, *arguments, cwd):
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": ROOT},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(module, *arguments, cwd):
    process = start(module, *arguments, cwd=cwd)
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return process.returncode, out, err


@needs_colmap
def test_photographs_become_a_scene_that_the_printed_command_trains(tmp_path):
    photos = tmp_path / "my photos"
    write_corner_photos(photos, NUM_VIEWS)
    before = contents(photos)
    status, out, err = run("nerf.pose", "my photos", "--threads=1", cwd=tmp_path)
    assert status == 0, err
    assert f"placed:      {NUM_VIEWS} of {NUM_VIEWS} images" in out
    assert "placing: 7/7 (100 %)" in err
    assert contents(photos) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my photos", "posed"]
    command = shlex.split(out.rpartition("training can start: ")[2])
    assert command[:3] == ["python", "-m", "nerf.main"]
    assert "--scene=posed/my photos" in command
    nerf_main.FLAGS.unparse_flags()
    modes.parse_flags(["nerf", *command[3:]])
    status, out, err = run("nerf.inspect", "posed/my photos", cwd=tmp_path)
    assert status == 0, err
    assert f"views:       {NUM_VIEWS}" in out


@needs_colmap
def test_ctrl_c_ends_at_once_and_says_how_to_continue(tmp_path):
    write_corner_photos(tmp_path / "photos", 20)
    process = start("nerf.pose", "photos", cwd=tmp_path)
    log = tmp_path / "posed" / "photos" / "work" / "colmap.log"
    deadline = time.monotonic() + 60
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT
    assert "to resume: python -m nerf.pose photos" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("place", ["photos", "photos/images", "photos/day"])
def test_images_without_poses_are_pointed_to_the_command(tmp_path, place):
    write_images(tmp_path, [f"{place}/{i}.png" for i in range(4)])
    folder = tmp_path / "photos"
    before = contents(tmp_path)
    ended = call(f"--scene={folder}", "--mode=train", f"--run_dir={tmp_path / 'run'}")
    assert_is_one_sentence(ended, "has 4 images and no poses")
    assert f"find the poses with python -m nerf.pose {folder}" in ended.err
    assert contents(tmp_path) == before


@pytest.mark.parametrize("inside", [False, True])
def test_a_video_is_pointed_to_the_command(tmp_path, inside, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a walk.mp4").write_bytes(b"video")
    scene = "." if inside else "a walk.mp4"
    ended = call(f"--scene={scene}", "--mode=train", f"--run_dir={tmp_path / 'run'}")
    assert_is_one_sentence(
        ended, "is a video: find the poses with python -m nerf.pose 'a walk.mp4'"
    )


def test_the_folder_above_a_scene_is_not_taken_for_photographs(tmp_path):
    write_nerfstudio(tmp_path / "mine" / "scene")
    ended = call(f"--scene={tmp_path / 'mine'}", "--mode=train", f"--run_dir={tmp_path / 'run'}")
    assert_is_one_sentence(ended, f"but there is one in {tmp_path / 'mine' / 'scene'}")


def test_inspect_points_to_the_command(tmp_path):
    write_images(tmp_path, [f"{i}.png" for i in range(4)])
    status, _, err = run("nerf.inspect", ".", cwd=tmp_path)
    assert status == 1
    assert "find the poses with python -m nerf.pose ." in err


def test_a_mistake_is_one_sentence_in_the_words_of_the_command_line(tmp_path):
    write_images(tmp_path, [f"photos/{i}.png" for i in range(4)])
    for arguments, message in (
        ([], "give one folder of images, or one video"),
        (["photos", "--near=1"], "nerf.pose does not use --near"),
        (["photos", "--out=photos/out"], "give --out, a folder outside of it"),
        (["photos", "--matcher=all"], "--matcher=all: value should be one of"),
        (["absent"], "there is no absent"),
    ):
        status, out, err = run("nerf.pose", *arguments, cwd=tmp_path)
        assert (status, out) == (1, "")
        assert len(err.splitlines()) == 1
        assert message in err


def test_help_says_what_the_flags_mean_in_this_command(tmp_path):
    status, out, _ = run("nerf.pose", "--help", cwd=tmp_path)
    assert status == 0
    text = " ".join(out.split())
    assert "at which features are found (default: '1200')" in text
    assert "the folder to write (default: posed/NAME)" in text
