"""The harness of faults notices what it is to notice, in processes that only pretend to train."""

import itertools
import json
import sys

import pytest

from nerf.errors import UserError
from tools import job_faults
from tools.job_faults import KILL, SAVE_EVERY, SUSPEND, TERM, Fault, Options

# Each process counts steps; the first writes them down. `{says}` is what a signal makes it say.
PRETENDS = """
import json, pathlib, signal, sys, time
run_dir, number = pathlib.Path(sys.argv[1]), int(sys.argv[2].partition("=")[2])
def stop(*_):
    if number == 0:
        (run_dir / "checkpoints" / str(step)).mkdir(parents=True)
    print({says!r})
    sys.exit({status})
signal.signal(signal.SIGTERM, stop)
(run_dir / f"ready-{{number}}").touch()
while len(list(run_dir.glob("ready-*"))) < 2:
    time.sleep(0.001)
for step in range(1, 500):
    if number == 0:
        with (run_dir / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({{"step": step, "loss": 1.0 / step}}) + "\\n")
    time.sleep(0.01)
"""


@pytest.mark.parametrize(("num_faults", "num_processes"), [(6, 2), (10, 2), (12, 4)])
def test_every_kind_of_fault_meets_every_process_before_the_end(num_faults, num_processes):
    for seed in range(20):
        options = Options(num_faults, num_processes, 1000, "", "", seed, 1.0)
        faults = job_faults.choose_faults(options)
        steps = [fault.step for fault in faults]
        assert len(faults) == num_faults
        assert all(a < b for a, b in itertools.pairwise([0, *steps, 1000]))
        every = set(itertools.product(job_faults.KINDS, range(num_processes)))
        assert {(fault.kind, fault.victim) for fault in faults} <= every
        if num_faults >= len(every):
            assert {(fault.kind, fault.victim) for fault in faults} == every
        assert faults == job_faults.choose_faults(options)


@pytest.fixture
def job(tmp_path):
    """Starts what pretends to train, in two processes."""

    def start(says="the last step is saved", status=143):
        (tmp_path / "run").mkdir()
        code = PRETENDS.format(says=says, status=status)
        return job_faults.started([sys.executable, "-c", code, tmp_path / "run"], 2, tmp_path)

    return start


def meet(job, folder, fault):
    job_faults.wait_for_step(job, folder / "run", fault.step)
    if fault.kind == TERM:  # here nothing tells the other process
        job.processes[1 - fault.victim].terminate()
        job.processes[1 - fault.victim].wait()
    if fault.kind == KILL:
        job.processes[1 - fault.victim].kill()
    return job_faults.disturb(job, folder / "run", fault, suspended_seconds=0.1)


def test_a_suspended_process_continues(job, tmp_path):
    with job() as started:
        outcome = meet(started, tmp_path, Fault(SUSPEND, 0, 3))
        assert started.statuses == [None, None]
    assert (outcome.broken, outcome.reached >= 3) == ((), True)
    assert None not in started.statuses  # nothing outlives the block


def test_a_job_that_keeps_its_promises_has_broken_none(job, tmp_path):
    with job() as started:
        outcome = meet(started, tmp_path, Fault(TERM, 0, 3))
    assert outcome.broken == ()
    assert outcome.saved >= outcome.reached >= 3


@pytest.mark.parametrize(
    ("says", "status", "kind", "reasons"),
    [
        ("", 143, TERM, ["did not say 'the last step is saved'"] * 2),
        ("the last step is saved", 0, TERM, ["ended with status 0"] * 2),
        ("the last step is saved, Traceback", 143, TERM, ["printed a traceback"] * 2),
        ("", 0, KILL, ["did not say 'what was saved is kept'"] * 2 + ["is the newest saved"]),
    ],
)
def test_a_broken_promise_is_noticed(job, tmp_path, says, status, kind, reasons):
    with job(says, status) as started:
        outcome = meet(started, tmp_path, Fault(kind, 0, SAVE_EVERY + 2))
    assert len(outcome.broken) == len(reasons)
    for found, reason in zip(outcome.broken, reasons, strict=True):
        assert reason in found


def test_a_job_that_ends_by_itself_is_an_error(job, tmp_path):
    with job() as started:
        started.processes[1].kill()
        with pytest.raises(UserError, match="process 1 ended with status -9 before step 400"):
            job_faults.wait_for_step(started, tmp_path / "run", 400)


def test_other_losses_are_a_difference(tmp_path, monkeypatch):
    monkeypatch.setattr(
        job_faults.parameters, "load", lambda *_: type("Loaded", (), {"params": {}})
    )
    for name, losses in (("calm", [3.0, 2.0]), ("same", [3.0, 2.0]), ("other", [3.0, 2.1])):
        (tmp_path / name).mkdir()
        lines = [json.dumps({"step": n, "loss": loss}) for n, loss in enumerate(losses)]
        (tmp_path / name / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    assert job_faults.differences(tmp_path / "calm", tmp_path / "same", "flax") == []
    (found,) = job_faults.differences(tmp_path / "calm", tmp_path / "other", "flax")
    assert "losses" in found
