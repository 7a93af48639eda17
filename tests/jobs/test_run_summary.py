"""Laws of what is read from a run folder: whatever it holds, it is a summary or a sentence."""

import copy
import errno
import json
import shutil
from pathlib import Path

import pytest

from nerf.errors import UserError
from nerf.jobs.compare import compare_runs
from nerf.jobs.report import run_content
from nerf.jobs.reports.run_summary import read_run
from nerf.output.report.run_page import run_page
from tests.support.pages import assert_fetches_nothing
from tests.support.run_folders import write_run

ODD = [None, "5", "<script>", -1, 10**400, float("nan"), float("inf"), True, [], {}, ["a", 2],
       [None, None], {"a": 1}, "\ud800"]  # fmt: skip
FILES = ("config.json", "eval.json", "metrics.jsonl")


def places(value, path=()):
    """The path of each value within a value of JSON."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    value = copy.deepcopy(value)
    part = value
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = new
    return value


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def test_a_run_says_what_its_files_say(run):
    found = read_run(run)
    assert (found.scene, found.source, found.field) == ("meadow", "photographs", "planes")
    assert (found.backend, found.preset, found.status) == ("flax", "planes", "finished")
    assert (found.step, found.seconds, found.num_rays) == (100, 20.0, 100 * 1024)
    assert len(found.views) == 2
    assert found.score("psnr") == pytest.approx(20.0, abs=5.0)
    assert found.score("nothing") is None
    assert found.damaged == ()


@pytest.mark.parametrize("name", FILES)
def test_no_value_of_a_file_is_a_fault_of_the_program(run, name):
    """Each value in turn is one of `ODD`, in turn too: many values, and a little time."""
    other = write_run(run.parent / "other", names=("a",))
    for folder in (run, other):
        shutil.rmtree(folder / "renders")
    file = run / name
    text = file.read_text()
    first, *rest = text.splitlines() if name.endswith("l") else [text]
    value = json.loads(first)
    for number, path in enumerate(places(value)):
        new = replaced(value, path, ODD[number % len(ODD)])
        file.write_text("\n".join([json.dumps(new), *rest]))
        try:
            assert_fetches_nothing(run_page(run_content(read_run(run))))
            found = compare_runs([run, other])
        except UserError:
            continue
        found.table().encode()
        found.csv().encode()
        json.loads(found.json())
        found.sorted_by("psnr").sorted_by("steps").page().encode()


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "has no config.json"),
        ({"config.json": ""}, "is damaged"),
        ({"config.json": "[" * 10_000}, "is damaged"),
        ({"config.json": "[1]"}, "is damaged"),
        ({"config.json": '{"model_type": "bert"}'}, "was not written by a run"),
        ({"config.json/x": ""}, "has no config.json"),
    ],
)
def test_what_is_no_run_is_one_sentence(tmp_path, files, reason):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=reason) as caught:
        read_run(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_path_that_is_no_folder_is_said_to_be_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is not a folder"):
        read_run(tmp_path / "file")
    with pytest.raises(UserError, match="does not exist"):
        read_run(tmp_path / "none")


def test_a_folder_without_the_right_to_read_it_is_said_to_be_so(run, monkeypatch):
    def refuses(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuses)
    with pytest.raises(UserError, match=r"run cannot be read \(Permission denied\)"):
        read_run(run)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"views": 3}', "\xff", "[" * 10_000])
def test_scores_that_cannot_be_read_are_damaged(run, content):
    (run / "eval.json").write_text(content, encoding="latin-1")
    found = read_run(run)
    assert (found.status, found.damaged, found.views) == ("damaged", ("eval.json",), [])
    assert found.step == 100
    assert "eval.json is damaged" in run_page(run_content(found))


def test_an_unfinished_run_has_its_last_known_step(run):
    (run / "eval.json").unlink()
    found = read_run(run)
    assert (found.status, found.step, found.seconds, found.damaged) == ("unfinished", 100, 20.0, ())
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 150, "seconds": 30.0}\n{"step": 16')
    assert (read_run(run).step, read_run(run).seconds) == (150, 30.0)


def test_metrics_that_cannot_be_read_are_damaged_and_none_are_not(run):
    (run / "metrics.jsonl").write_text("")
    assert read_run(run).damaged == ()
    (run / "metrics.jsonl").write_text("nonsense\n")
    assert read_run(run).damaged == ("metrics.jsonl",)
    (run / "metrics.jsonl").write_text('{"step": 50, "seconds": 10.0}\n{"step": 1')  # of 100
    found = read_run(run)
    assert (found.damaged, found.step, found.seconds) == (("metrics.jsonl",), 100, None)
    (run / "metrics.jsonl").unlink()
    found = read_run(run)
    assert (found.damaged, found.seconds, found.num_rays) == ((), None, None)
