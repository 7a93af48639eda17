"""Laws of `metrics.jsonl`: whole lines, cut to what was saved, and read back."""

import json
import math

import pytest

from nerf.errors import UserError
from nerf.runs import metrics
from nerf.runs.metrics import MetricsLog
from tests.support.full_disk import full_disk


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# Writing.


def test_what_is_written_is_read_back(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.write(1, {"loss": 0.5, "psnr": 20.0})
    with MetricsLog(tmp_path) as log:
        log.write(2, {"test_psnr": 21.0})
    assert metrics.read(tmp_path) == [
        {"step": 1, "loss": 0.5, "psnr": 20.0},
        {"step": 2, "test_psnr": 21.0},
    ]


def test_a_line_is_on_disk_when_write_returns(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.write(1, {"loss": 0.5})
        assert metrics.read(tmp_path) == [{"step": 1, "loss": 0.5}]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_say_becomes_null(tmp_path, value):
    with MetricsLog(tmp_path) as log:
        log.write(1, {"psnr": value})
    text = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {"step": 1, "psnr": None}


def test_a_second_writer_receives_every_line_but_the_time(tmp_path):
    received = []

    class Listener:
        def scalars(self, step, values):
            received.append((step, dict(values)))

    with MetricsLog(tmp_path, Listener()) as log:
        log.write(1, {"loss": 0.5, "seconds": 3.0})
        log.write(2, {"test_psnr": 21.0})
    assert received == [(1, {"loss": 0.5}), (2, {"test_psnr": 21.0})]


def test_a_full_disk_is_explained(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.write(1, {"loss": 0.5})
        with (
            pytest.raises(UserError, match=r"metrics\.jsonl cannot be written .*make room"),
            full_disk(8),
        ):
            log.write(2, {"loss": 0.25})
    assert metrics.read(tmp_path) == [{"step": 1, "loss": 0.5}]


# Cutting and reading.


def test_lines_after_the_last_step_and_half_lines_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = ['{"step": 1, "loss": 0.5}', '{"step": 10, "loss": 0.25}']
    later = ['{"step": 11, "loss": 0.1}', '{"step": 20}']
    broken = ['{"step": 2, "lo', "", "null", "[1]", '{"loss": 1.0}', '{"step": null}', "\ufffd"]
    path.write_text("\n".join([lines[0], *broken, lines[1], *later]), encoding="utf-8")
    assert [line["step"] for line in metrics.read(tmp_path)] == [1, 10, 11, 20]
    metrics.truncate(tmp_path, 10)
    assert path.read_text() == "".join(f"{line}\n" for line in lines)
    assert names(tmp_path) == ["metrics.jsonl"]


def test_metrics_with_nothing_to_drop_are_not_touched(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n')
    before = path.stat()
    metrics.truncate(tmp_path, 2)
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_last_line_without_its_end_is_completed(tmp_path):
    """Else the next reading would be written behind it, on the same line."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}')
    metrics.truncate(tmp_path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_without_metrics_there_is_nothing_to_truncate_or_read(tmp_path):
    metrics.truncate(tmp_path, 3)
    assert names(tmp_path) == []
    assert metrics.read(tmp_path) == []
