"""Every error that a user can understand ends with a sentence and a status, in one place."""

import pytest

from nerf.captures.capture import InvalidCapture
from nerf.cli.exits import exit_on_error
from nerf.errors import UserError
from nerf.runtime import processes


def ended(error, **options):
    with pytest.raises(SystemExit) as end, exit_on_error(**options):
        raise error
    return end.value.code


def test_what_another_process_has_caused_is_a_sentence_in_a_job_alone(monkeypatch, capsys):
    lost = RuntimeError("[gloo] Connection closed by peer")
    with pytest.raises(RuntimeError), exit_on_error():
        raise lost
    monkeypatch.setattr(processes, "count", lambda: 2)
    assert ended(lost) == 1
    assert capsys.readouterr().err.startswith("error: another process of this run ended or does ")


def test_with_a_verdict_each_problem_of_the_user_is_a_line(capsys):
    verdict = {"verdict": "training cannot start"}
    assert ended(InvalidCapture(["no pose", "no image"]), **verdict) == 1
    assert ended(UserError("no scene"), **verdict) == 1
    assert ended(MemoryError(), out_of_memory="try less", **verdict) == 1
    assert capsys.readouterr().err.splitlines() == [
        *("problem: no pose", "problem: no image", "training cannot start"),
        *("problem: no scene", "training cannot start"),
        "error: out of memory: try less",
    ]
