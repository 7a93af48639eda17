"""Several processes train one field: results, the run folder, and what happens if one is lost.

The processes are real ones, on a loopback address. Each compiles its programs, so some are
of the long form alone, see `tests.support.long_tests`.
"""

import json
import signal
import time

import numpy as np
import pytest

from nerf.runs import metrics, parameters
from tests.support import job
from tests.support.command_line import TINY, run_process

pytestmark = pytest.mark.slow

FLAGS = ("--mode=train", "--video_frames=0", "--steps=60", "--save_every=10", *TINY)
MOST_SECONDS_AFTER_A_LOSS = 150


def flags(scene, run_dir, *more):
    return (*FLAGS, f"--scene={scene}", f"--run_dir={run_dir}", *more)


def wait_for_step(started, run_dir, step):
    deadline = time.monotonic() + job.SECONDS
    while max((line["step"] for line in metrics.read(run_dir)), default=0) < step:
        assert all(process.poll() is None for process in started.processes), "it ended"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def checksum(run_dir):
    return parameters.checksum(parameters.load(run_dir, "flax").params)


@pytest.fixture(scope="module")
def undisturbed(scene, tmp_path_factory):
    """A run of two processes that nobody disturbed, and how they ended."""
    folder = tmp_path_factory.mktemp("several")
    ended = job.run(folder, *flags(scene, folder / "calm"))
    return folder / "calm", ended


@pytest.mark.parametrize(
    ("backend", "counts"),
    [
        ("flax", [(1, 2), (2, 1)]),
        *((name, [(1, 2), (2, 1), (4, 1)]) for name in ("haiku", "flax", "nnx")),
    ],
)
def test_losses_do_not_depend_on_the_number_of_processes(tmp_path, backend, counts):
    """`counts` are of processes, and of devices of each."""
    found = []
    for num_processes, devices in counts:
        ended = job.run(
            tmp_path,
            f"--backends={backend}",
            module="tests.support.job_losses",
            num_processes=num_processes,
            devices=devices,
        )
        assert [each.status for each in ended] == [0] * num_processes, ended[-1].err
        found += [json.loads(each.out.splitlines()[-1]) for each in ended]
    for other in found[1:]:
        losses = other[backend]
        assert min(losses) < losses[0]
        np.testing.assert_allclose(losses, found[0][backend], rtol=1e-5)


def test_the_first_process_writes_and_prints(undisturbed):
    run_dir, (first, second) = undisturbed
    assert (first.status, second.status) == (0, 0), first.err + second.err
    assert first.out.startswith("processes:  2 processes on 1 machine, 2 devices\n")
    assert (second.out, second.err) == ("", "")
    steps = [line["step"] for line in metrics.read(run_dir) if "loss" in line]
    assert steps == sorted(set(steps))
    assert steps[-1] == 60
    assert (run_dir / "eval.json").is_file()


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_others_and_the_same_command_resumes(
    scene, tmp_path, undisturbed, victim
):
    command = flags(scene, tmp_path / "run")
    with job.started(tmp_path, *command) as started:
        wait_for_step(started, tmp_path / "run", 30)
        started.processes[victim].kill()
        killed = time.monotonic()
        ended = started.ends(MOST_SECONDS_AFTER_A_LOSS)
        assert time.monotonic() - killed < MOST_SECONDS_AFTER_A_LOSS
    assert ended[1 - victim].status != 0
    for each in ended:  # the killed one as well
        assert "what was saved is kept" in each.err
        assert "resume" in each.err
        assert "Traceback" not in each.err
    again = job.run(tmp_path, *command)
    assert [each.status for each in again] == [0, 0], again[0].err
    assert "resuming at step" in again[0].out
    assert checksum(tmp_path / "run") == checksum(undisturbed[0])


def test_a_signal_to_one_process_saves_and_one_process_resumes(scene, tmp_path):
    command = flags(scene, tmp_path / "run", "--steps=2000")
    with job.started(tmp_path, *command) as started:
        wait_for_step(started, tmp_path / "run", 5)
        started.processes[1].send_signal(signal.SIGTERM)
        ended = started.ends()
    assert [each.status for each in ended] == [143, 143], ended[0].err
    assert "the last step is saved" in ended[0].err
    saved = max(int(path.name) for path in (tmp_path / "run/checkpoints").iterdir())
    alone = run_process(*command, f"--stop_at={saved + 5}", cwd=tmp_path)
    assert alone.status == 0, alone.err
    assert f"resuming at step {saved} of 2000" in alone.out


def test_a_difference_between_processes_is_named(scene, tmp_path):
    ended = job.run(tmp_path, *flags(scene, tmp_path / "run"), more={1: ("--seed=7",)}.items())
    for each in ended:
        assert each.status == 1
        assert "process 1 differs from process 0: seed is '7', and '0' in process 0" in each.err
        assert "Traceback" not in each.err
    assert not (tmp_path / "run/checkpoints").exists()


def test_a_process_that_cannot_start_is_named_by_the_others(scene, tmp_path):
    ended = job.run(
        tmp_path,
        *flags(scene, tmp_path / "run"),
        more={1: (f"--scene={tmp_path / 'nowhere'}",)}.items(),
    )
    assert [each.status for each in ended] == [1, 1]
    assert ended[0].err.startswith("error: another process cannot start: process 1: ")
    assert "nowhere" in ended[1].err


def test_a_process_that_never_comes_is_waited_for_a_stated_time(scene, tmp_path):
    (ended,) = job.run(tmp_path, *flags(scene, tmp_path / "run"), "--start_seconds=5", only=[0])
    assert ended.status == 1
    assert ended.err.startswith("error: not all 2 processes came within 5 s: each number")
    assert "--process_id" in ended.err
