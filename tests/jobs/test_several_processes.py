"""Several processes train one field: results, the run folder, and what happens if one is lost.

The processes are real ones, on a loopback address. Each compiles its programs, so some are
of the long form alone, see `tests.support.long_tests`.
"""

import json
import shutil
import signal
import time
import zlib

import numpy as np
import pytest

from nerf.runs import metrics, parameters
from tests.support import job
from tests.support.command_line import TINY, call_successfully, contents, run_process

pytestmark = pytest.mark.slow

FLAGS = ("--mode=train", "--video_frames=0", "--steps=60", "--save_every=10", *TINY)
VIDEO = ("--video_frames=3", "--video_format=frames", "--video_content=rgb,depth")
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
    """A run of two processes that nobody disturbed, with all its images, and how they ended."""
    folder = tmp_path_factory.mktemp("several")
    ended = job.run(folder, *flags(scene, folder / "calm", "--eval_every=60", *VIDEO))
    return folder / "calm", ended


@pytest.mark.parametrize("field", ["mlp", "planes"])
@pytest.mark.parametrize(
    ("backend", "counts"),
    [
        ("flax", [(1, 2), (2, 1)]),
        *((name, [(1, 2), (2, 1), (4, 1)]) for name in ("haiku", "flax", "nnx")),
    ],
)
def test_losses_do_not_depend_on_the_number_of_processes(tmp_path, field, backend, counts):
    """`counts` are of processes, and of devices of each."""
    found = []
    for num_processes, devices in counts:
        ended = job.run(
            tmp_path,
            f"--field={field}",
            f"--backends={backend}",
            module="tests.support.job_losses",
            num_processes=num_processes,
            devices=devices,
        )
        assert [each.status for each in ended] == [0] * num_processes, ended[-1].err
        found += [json.loads(each.out.splitlines()[-1]) for each in ended]
    for other in found[1:]:
        for name in (backend, "sharded"):
            assert min(other[name]) < other[name][0]
            np.testing.assert_allclose(other[name], found[0][name], rtol=1e-5)


def test_the_first_process_writes_and_prints(undisturbed):
    run_dir, (first, second) = undisturbed
    assert (first.status, second.status) == (0, 0), first.err + second.err
    assert first.out.startswith("processes:  2 processes on 1 machine, 2 devices\n")
    assert (second.out, second.err) == ("", "")
    steps = [line["step"] for line in metrics.read(run_dir) if "loss" in line]
    assert steps == sorted(set(steps))
    assert steps[-1] == 60


def images_and_scores(run_dir):
    """The bytes of all files that a run draws or scores."""
    names = ("renders/", "video", "eval.json")
    return {name: x for name, x in contents(run_dir).items() if name.startswith(names)}


def without_images(run_dir, copy):
    """A copy of a run folder without what it has drawn."""
    ignored = shutil.ignore_patterns("renders", "video*", "eval.json")
    shutil.copytree(run_dir, copy, ignore=ignored)
    return copy


@pytest.mark.parametrize("num_processes", [1, 2])
def test_images_and_scores_are_those_of_one_process(
    scene, tmp_path, undisturbed, num_processes, unoptimised_compilation
):
    """Two processes drew them after they had trained; now one does, or again two."""
    expected = images_and_scores(undisturbed[0])
    again = without_images(undisturbed[0], tmp_path / "again")
    command = ("--mode=evaluate", f"--scene={scene}", f"--run_dir={again}", *VIDEO)
    if num_processes == 1:
        call_successfully(*command)
    else:
        ended = job.run(tmp_path, *command, "--shard_images=on")
        assert [each.status for each in ended] == [0, 0], ended[0].err + ended[1].err
        assert (ended[1].out, ended[1].err) == ("", "")
    found = images_and_scores(again)
    assert sorted(found) == sorted(expected)
    assert {name.split("/")[0] for name in found} == {
        "renders",
        "video",
        "video_depth",
        "eval.json",
    }
    for name, content in expected.items():
        assert found[name] == content, name


def test_the_last_preview_is_the_view_as_it_is_scored(undisturbed):
    drawn = contents(undisturbed[0])
    (preview,) = [x for name, x in drawn.items() if name.startswith("progress/")]
    scored = json.loads(drawn["eval.json"])["views"]
    assert preview == drawn[f"renders/view_{scored[len(scored) // 2]['index']:03d}.png"]


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
    assert ended[0].err.startswith("error: another process ended with an error: process 1: ")
    assert "nowhere" in ended[1].err


def test_each_process_reads_its_own_images(scene, tmp_path):
    """Of the training views 1 to 4, process 1 has the last two."""
    shutil.copytree(scene, tmp_path / "scene")
    file = tmp_path / "scene/images/image004.png"
    content = bytearray(file.read_bytes())
    chunk = content.index(b"IDAT")
    end = chunk + 4 + int.from_bytes(content[chunk - 4 : chunk])
    content[chunk + 10 : end] = bytes(end - chunk - 10)  # no checksum is wrong, but the pixels are
    content[end : end + 4] = zlib.crc32(content[chunk:end]).to_bytes(4)
    file.write_bytes(content)
    ended = job.run(tmp_path, *flags(tmp_path / "scene", tmp_path / "run"), "--shard_images=on")
    assert [each.status for each in ended] == [1, 1]
    assert ended[0].err.startswith("error: another process ended with an error: process 1: ")
    assert ended[1].err.startswith("error: ")
    assert all("image004" in each.err for each in ended)


def test_a_process_that_never_comes_is_waited_for_a_stated_time(scene, tmp_path):
    (ended,) = job.run(tmp_path, *flags(scene, tmp_path / "run"), "--start_seconds=5", only=[0])
    assert ended.status == 1
    assert ended.err.startswith("error: not all 2 processes came within 5 s: each number")
    assert "--process_id" in ended.err
