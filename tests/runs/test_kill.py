"""`kill -9` at any moment: no more than an interval is lost, and the end is the same."""

import pytest

from tests.support import kill_harness

pytestmark = pytest.mark.slow


def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(tmp_path, backend):
    report = kill_harness.disturb(tmp_path, backend, num_kills=3, num_steps=300, seed=1)
    assert len(report.kills) == 3
    kill_harness.verify(report, num_steps=300)
