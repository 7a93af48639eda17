"""What processes of a job must have in common; see test_several_processes.py for real ones."""

import json

import pytest

from nerf.errors import UserError
from nerf.jobs import same_job
from nerf.runtime import exchange, processes


def test_the_number_of_threads_is_compared(monkeypatch):
    """Sums of a matrix product depend on it."""
    monkeypatch.setenv(processes.THREADS, "2")

    def texts(text):
        other = text
        if text.startswith("{"):
            other = json.dumps({**json.loads(text), processes.THREADS: "1"})
        return [text, other if other != text else f"{text}, differs"]

    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(exchange, "texts", texts)
    with pytest.raises(UserError, match=r"process 1 differs.*: NPROC is '1', and '2' in process 0"):
        same_job.check_same({})
