"""Laws of events: a task's progress begins and ends, whatever happens; logging gets what counts."""

import logging

import numpy as np
import pytest

from nerf.runtime import events
from nerf.runtime.events import Message, Preview, Progress, StepMetrics, log_event, note, say


def report(callback, *counts, fail=False):
    with Progress.of(callback, "frames", total=5, unit="frame", done=1) as progress:
        for count in counts:
            progress.advance(count)
        if fail:
            raise ZeroDivisionError


def test_progress_begins_at_its_count_and_never_exceeds_the_total():
    received = []
    report(received.append, 2, 7)
    assert [event.done for event in received] == [1, 3, 5, 5]
    assert {(event.task, event.total, event.unit) for event in received} == {("frames", 5, "frame")}


@pytest.mark.parametrize("fail", [False, True])
def test_only_the_last_report_is_the_last_also_if_the_task_fails(fail):
    received = []
    try:
        report(received.append, 2, fail=fail)
    except ZeroDivisionError:
        assert fail
    assert [event.is_last for event in received] == [False, False, True]
    assert received[-1].done == 3


def test_the_detail_is_that_of_the_latest_report():
    received = []
    with Progress.of(received.append, "training", total=2, unit="step") as progress:
        progress.advance(1)
        progress.set_detail("loss 0.5")
        progress.advance(1)
    assert [event.detail for event in received] == ["", "", "loss 0.5", "loss 0.5"]


def test_notes_are_warnings_and_reports_are_not(caplog):
    with caplog.at_level(logging.INFO, logger="nerf"):
        say(log_event, "a report")
        note(log_event, "a note")
    levels = {record.message: record.levelno for record in caplog.records}
    assert levels == {"a report": logging.INFO, "a note": logging.WARNING}


def test_progress_is_logged_every_twenty_seconds_and_at_its_end(caplog, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(events.time, "monotonic", lambda: now[0])
    logger = events._EventLogger()
    with caplog.at_level(logging.INFO, logger="nerf"):
        for done in range(1, 100):
            now[0] += 1.0
            logger(Progress("frames", done, 100, "frame"))
        logger(Progress("frames", 100, 100, "frame", is_last=True))
    counts = [int(record.message.split()[1]) for record in caplog.records]
    assert counts == [20, 40, 60, 80, 100]


def test_metrics_of_every_step_are_not_logged_but_previews_are(caplog):
    with caplog.at_level(logging.INFO, logger="nerf"):
        log_event(StepMetrics(3, {"loss": 0.5}))
        log_event(Preview(3, 16, np.zeros((2, 2, 3), np.float32), 21.5, 0.75, (2, 2)))
    (record,) = caplog.records
    assert "step 3: held-out view 16: PSNR 21.50 dB, SSIM 0.7500" in record.message


def test_ignore_event_does_nothing(caplog):
    with caplog.at_level(logging.INFO, logger="nerf"):
        events.ignore_event(Message("a note", is_note=True))
    assert caplog.records == []
