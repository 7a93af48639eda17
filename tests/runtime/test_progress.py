"""Laws of progress: a bar on a terminal, whole lines from time to time in a log file."""

import io
import itertools
import types

import pytest
from tqdm import std

from nerf.runtime import progress
from nerf.runtime.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Time as tqdm sees it."""
    clock = types.SimpleNamespace(now=1000.0)
    monkeypatch.setattr(std, "time", lambda: clock.now)
    return clock


def run(stream, clock, num_steps, seconds_a_step):
    with progress_bar(total=num_steps, desc="training", unit="step", stream=stream) as bar:
        bar._time = lambda: clock.now
        for step in range(1, num_steps + 1):
            clock.now += seconds_a_step
            bar.set_postfix_str(f"loss {1 / step:.3f}", refresh=False)
            bar.update()
    return stream.getvalue()


def test_a_log_file_gets_whole_lines_and_nothing_is_overwritten(clock):
    text = run(io.StringIO(), clock, 100, 1.0)
    assert "\r" not in text
    assert text.endswith("\n")
    for line in text.splitlines():
        assert line.startswith("training: ")


def test_a_log_file_gets_a_line_every_twenty_seconds(clock):
    lines = run(io.StringIO(), clock, 100, 1.0).splitlines()
    counts = [int(line.split()[1].split("/")[0]) for line in lines]
    assert counts[0] == 0
    assert counts[-1] == 100
    assert [b - a for a, b in itertools.pairwise(counts)] in ([20] * 5, [20] * 5 + [0])
    assert progress.SECONDS_BETWEEN_LINES == 20.0


def test_a_line_shows_count_fraction_rate_time_elapsed_and_left_and_the_rest(clock):
    line = run(io.StringIO(), clock, 100, 1.0).splitlines()[2]
    assert line == "training: 40/100 (40 %),  1.00step/s, 00:40 elapsed, 01:00 left, loss 0.025"


def test_a_terminal_gets_one_line_that_is_overwritten(clock):
    text = run(Terminal(), clock, 100, 1.0)
    assert text.count("\n") == 1
    assert text.count("\r") > 50
    last = text.split("\r")[-1]
    assert "100/100" in last
    assert "loss 0.010" in last


def test_a_resumed_run_begins_at_its_count(clock):
    stream = io.StringIO()
    with progress_bar(total=10, initial=7, desc="training", unit="step", stream=stream) as bar:
        bar.update(3)
    first, *_, last = stream.getvalue().splitlines()
    assert "7/10" in first
    assert "10/10" in last


def test_an_error_leaves_no_half_line(clock):
    stream = io.StringIO()

    def fail():
        with progress_bar(total=10, desc="training", unit="step", stream=stream) as bar:
            bar.update(2)
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    assert stream.getvalue().endswith("\n")
