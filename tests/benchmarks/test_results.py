"""Files of results: those of version 0.1.0 can be compared with, and errors end in one sentence."""

import errno
import json
from pathlib import Path

import pytest

from benchmarks import command_line, compare, results
from nerf.errors import UserError

OLD = {
    "cpu-2026-11-26.json": ("step_throughput", compare.steps),
    "render-cpu-2026-11-26.json": ("render_throughput", compare.images),
    "growth-cpu-2026-11-26.json": ("growth", compare.points),
    "quality-flower-cpu-2026-11-26.json": ("quality", compare.quality),
    "collapse-cpu-2026-11-25.json": ("collapse", compare.collapse),
}
NEUTRAL = ("1.000 times the seconds", "+0.00 dB, SSIM +0.0000", " collapsed, before ")


@pytest.mark.parametrize("file", OLD)
def test_a_result_of_version_0_1_0_is_compared_with(file):
    """Here with itself: every case is there, and nothing has changed."""
    benchmark, comparison = OLD[file]
    result = results.read(results.FOLDER / file, benchmark)
    lines = comparison(result, result)
    assert len(lines) >= 4
    assert all(line.endswith(NEUTRAL[:2]) or NEUTRAL[2] in line for line in lines)
    assert lines == list(dict.fromkeys(lines))
    shown = compare.against(result, lines)
    assert shown.startswith(f"against cpu, Intel(R) Xeon(R) Processor, {result['date']}:\n  ")


def test_a_ratio_is_that_of_the_seconds_now_to_those_before():
    result = results.read(results.FOLDER / "render-cpu-2026-11-26.json", "render_throughput")
    slower = json.loads(json.dumps(result))
    for case in slower["cases"]:
        for figures in case["methods"].values():
            figures["image_seconds"]["median"] *= 2.0
    assert all("2.000 times" in line for line in compare.images(slower, result))
    assert all("0.500 times" in line for line in compare.images(result, slower))
    assert "no case in common" in compare.against(result, compare.images(result, {"cases": []}))


@pytest.mark.parametrize("file", OLD)
def test_a_result_of_another_benchmark_is_refused(file):
    other = "growth" if OLD[file][0] != "growth" else "collapse"
    with pytest.raises(UserError, match=rf"is not a result of benchmarks\.{other}"):
        results.read(results.FOLDER / file, other)


def failing(error):
    with command_line.exit_on_error(out_of_memory="try fewer rays"):
        raise error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UserError("no scene"), "error: no scene"),
        (
            OSError(errno.ENOSPC, "No space left on device", "a.json"),
            "error: a.json cannot be read or written: No space left on device",
        ),
        (MemoryError(), "error: out of memory: try fewer rays"),
    ],
)
def test_an_error_ends_with_one_sentence(error, sentence, capsys):
    with pytest.raises(SystemExit) as end:
        failing(error)
    assert end.value.code == 1
    assert capsys.readouterr().err == sentence + "\n"


@pytest.mark.parametrize("error", [ZeroDivisionError(), OSError("no number"), KeyError("x")])
def test_a_fault_of_the_program_passes(error):
    with pytest.raises(type(error)):
        failing(error)


def test_every_result_in_the_repository_can_be_read():
    files = sorted(results.FOLDER.glob("*.json"))
    assert len(files) >= 12
    for file in files:
        name = json.loads(Path(file).read_text()).get("benchmark", "collapse")
        assert results.read(file, name)["device"]
