"""Processes of a job meet; see tests/jobs/test_several_processes.py for real ones."""

import pytest

from nerf.errors import UserError
from nerf.runtime import exchange, processes


def joins_until(monkeypatch, error):
    def lost(text):
        raise error

    monkeypatch.setattr(processes, "start", lambda *given: None)
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(exchange, "gather_texts", lost)
    exchange.join(processes.JobOptions(False, "127.0.0.1:1", 2, 0))


def test_processes_that_do_not_meet_are_told_what_must_agree(monkeypatch):
    lost = RuntimeError("UNKNOWN: Gloo context initialization failed: DEADLINE_EXCEEDED")
    with pytest.raises(UserError, match=r"did not all meet.*must give the same `num_processes`"):
        joins_until(monkeypatch, lost)


def test_an_error_of_another_kind_passes(monkeypatch):
    with pytest.raises(RuntimeError, match="out of memory"):
        joins_until(monkeypatch, RuntimeError("RESOURCE_EXHAUSTED: out of memory"))
