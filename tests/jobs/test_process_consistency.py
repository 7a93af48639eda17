"""What processes of a job must have in common; see test_several_processes.py for real ones."""

import pytest

from nerf.errors import UserError
from nerf.jobs.training_run import process_consistency
from nerf.runtime import exchange, processes


def test_the_number_of_threads_is_compared(monkeypatch):
    """Sums of a matrix product depend on it."""
    monkeypatch.setenv(processes.THREADS, "2")

    def texts(text):
        """Those of both processes: first digests, then all facts."""
        is_digest = not text.startswith("{")
        return [text, "another" if is_digest else text.replace('"NPROC": "2"', '"NPROC": "1"')]

    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(exchange, "gather_texts", texts)
    with pytest.raises(UserError, match=r"process 1 differs.*: NPROC is '1', and '2' in process 0"):
        process_consistency.check_processes_agree({})
