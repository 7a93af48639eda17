"""The command line in a separate process: help, signals, a full disk."""

import re
import shlex
import signal
import sys
import time

import pytest

from nerf.cli import flags
from nerf.jobs import export, video
from nerf.jobs.training_run import options as training_options
from nerf.jobs.videos import frames
from nerf.runs import parameters
from tests.support.command_line import (
    call_successfully,
    readings,
    run_process,
    run_python,
    scores,
    start,
    start_shell,
    train_flags,
)

pytestmark = pytest.mark.slow


def test_help_lists_the_flags_and_ends_well(tmp_path):
    ended = run_process("--help", cwd=tmp_path)
    assert ended.status == 0
    assert "--backend:" in ended.out
    assert "--init_from:" in ended.out
    assert ended.err == ""


OWN_FIELD = """
import dataclasses
from nerf import field, main
from nerf.config.presets import NOTEBOOK

mist = dataclasses.replace(NOTEBOOK, preset="mist")
implementations = {"mine": field.Implementation(lambda config: None)}
spec = field.FieldSpec(type(mist.field), {"mist": mist}, implementations, summary="all is grey")
field.register_field("fog", spec)
field.register("theirs", "smoke", lambda config: None)
main.run()
"""


def test_help_names_what_is_registered_after_the_flags_are_defined(tmp_path):
    (tmp_path / "own.py").write_text(OWN_FIELD)
    ended = run_python("own.py", "--help", cwd=tmp_path)
    assert ended.status == 0, ended.err
    help_texts = {
        name: " ".join(text.split())
        for name, text in re.findall(r"^  --(\w+): (.*?)(?=^  --|\Z)", ended.out, re.M | re.S)
    }
    assert "planes (feature planes, which train in minutes on a CPU)" in help_texts["field"]
    assert "fog (all is grey), smoke" in help_texts["field"]
    assert "notebook, paper, quick (mlp); planes (planes); mist (fog)" in help_texts["preset"]
    assert "flax, haiku, mine, nnx, theirs" in help_texts["backend"]


def test_help_names_all_that_a_list_can_name():
    assert flags.EXPORTS == export.KINDS
    assert set(flags.RENDERERS) == {name for name in training_options.RENDERERS if name is not None}
    for flag, known in (("video_content", video.CONTENTS), ("camera_path", frames.KNOWN_PATHS)):
        assert [name for name in known if name not in flags.FLAGS[flag].help] == []


def test_an_unknown_flag_ends_with_one_sentence(tmp_path):
    ended = run_process("--step=3", cwd=tmp_path)
    assert ended.status == 1
    assert ended.out == ""
    assert ended.err.startswith("error: Unknown command line flag 'step'")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_step_and_says_how_to_resume(scene, tmp_path, number):
    flags = train_flags(scene, "flax", "--run_dir=run", "--video_frames=0")
    process = start(*flags, "--steps=1000000", "--save_every=1000", cwd=tmp_path)
    log = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 100
    while not (log.is_file() and log.read_text().count("\n") >= 4):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert "Traceback" not in err + out
    last = err.splitlines()[-1]
    assert last.startswith("stopped: the last step is saved; to resume: python -m nerf.main --mode")
    assert "--steps=1000000" in last
    assert not re.search(r"^[IW]\d{4} ", err, re.MULTILINE)  # nobody else's log lines
    saved = parameters.load(tmp_path / "run", "flax").header.step
    reached = readings(tmp_path / "run")[-1]["step"]
    assert saved >= reached
    out = call_successfully(*flags, f"--run_dir={tmp_path / 'run'}", f"--steps={saved + 2}")
    assert f"resuming at step {saved} of" in out
    assert scores(tmp_path / "run")["step"] == saved + 2


@pytest.mark.parametrize(
    ("kilobytes", "what"), [(300, "the state of step 2"), (100, "the parameters of step 2")]
)
def test_a_full_disk_ends_with_one_sentence_and_room_lets_it_resume(
    scene, tmp_path, kilobytes, what
):
    """No file may grow beyond a limit: what a full disk looks like to the program."""
    flags = train_flags(scene, "flax", "--run_dir=run", "--video_frames=0", "--set=field.width=128")
    command = shlex.join([sys.executable, "-m", "nerf.main", *flags, "--save_every=4"])
    process = start_shell(f"ulimit -f {kilobytes}; exec {command}", cwd=tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert "Traceback" not in err + out
    last = err.splitlines()[-1]
    assert last.startswith(f"error: {what} could not be saved in")
    assert "make room, then the same command resumes" in last
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
    call_successfully(*flags, f"--run_dir={tmp_path / 'run'}")
    assert scores(tmp_path / "run")["step"] == 4
