"""The command line of nerf.compare, used as a stranger would."""

import json

import pytest

from nerf import compare
from nerf.cli.modes import parser_of
from tests.support.command_line import assert_is_one_sentence, call_command
from tests.support.run_folders import write_run


def call_compare(*arguments):
    return call_command(compare, parser_of("nerf.compare"), *arguments)


@pytest.fixture
def runs(tmp_path):
    return [
        write_run(tmp_path / name, quality=quality) for name, quality in (("a", 0.2), ("b", 0.1))
    ]


def test_the_table_is_printed_and_the_files_are_written(runs, tmp_path):
    files = {name: tmp_path / f"runs.{name}" for name in ("csv", "json", "html")}
    ended = call_compare(
        *runs, "--sort=psnr", f"--csv={files['csv']}", f"--json={files['json']}",
        f"--out={files['html']}",
    )  # fmt: skip
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["run", lines[1].split()[0], "b", "a"]
    assert lines[4:] == [f"written: {file}" for file in files.values()]
    assert [row["run"] for row in json.loads(files["json"].read_text())] == ["b", "a"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "give two run folders or more: python -m nerf.compare RUN RUN"),
        (["a"], "a is the only run: give two run folders or more"),
        (["a", "a"], "(given more than once) is the only run"),
        (["a", "none"], "none: give folders of runs"),
        (["a", "b", "--out=page.pdf"], "--out=page.pdf must end with .html"),
        (["a", "b", "--csv=none/a.csv"], "--csv=none/a.csv cannot be written: there is no folder"),
        (["a", "b", "--json=a/eval.json"], "--json=a/eval.json lies in a run folder"),
        (["a", "b", "--sort=best"], "--sort=best"),
        (["a", "b", "--steps=3"], "nerf.compare does not use --steps"),
    ],
)
def test_a_mistake_ends_with_one_sentence(runs, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert_is_one_sentence(call_compare(*arguments), reason)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_damaged_file_is_one_sentence_after_the_table(runs, tmp_path):
    (runs[0] / "eval.json").write_text("{")
    ended = call_compare(*runs, f"--csv={tmp_path / 'runs.csv'}")
    assert_is_one_sentence(ended, "eval.json is damaged, so scores are not known: a")
    assert "damaged" in ended.out
    assert (tmp_path / "runs.csv").is_file()


def test_what_is_left_out_is_a_note(runs, tmp_path):
    (tmp_path / "empty").mkdir()
    ended = call_compare(*runs, tmp_path / "empty")
    assert ended.status == 0
    assert "note: left out, since it is not a run: " in ended.out
