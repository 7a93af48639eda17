"""Laws of a comparison: the runs are read and not changed, and what cannot be compared is said."""

import csv
import io
import json

import pytest

from nerf.errors import UserError
from nerf.jobs.compare import COLUMNS, SORT_KEYS, compare_runs
from nerf.jobs.comparison.settings import differing_settings
from nerf.jobs.load import save_params
from nerf.jobs.report import run_content
from nerf.jobs.reports.run_summary import read_run
from tests.support.ball import ball_field
from tests.support.pages import HARMFUL, assert_fetches_nothing
from tests.support.run_folders import write_run


@pytest.fixture(scope="module")
def ball():
    return ball_field("world")


@pytest.fixture
def runs(tmp_path):
    """Two runs, of which the second is better."""
    return [
        write_run(tmp_path / name, quality=quality, seed=seed)
        for seed, (name, quality) in enumerate([("worse", 0.2), ("better", 0.1)])
    ]


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_forms_say_the_same_and_the_folders_stay(runs, tmp_path):
    before = contents(tmp_path)
    found = compare_runs(runs)
    rows = list(csv.DictReader(io.StringIO(found.csv())))
    values = json.loads(found.json())
    assert [row["run"] for row in rows] == [row["run"] for row in values] == ["worse", "better"]
    assert list(rows[0]) == list(values[0]) == [column.key for column in COLUMNS]
    for row, value in zip(rows, values, strict=True):
        assert float(row["psnr"]) == value["psnr"]
        assert (row["ms_ssim"], value["ms_ssim"]) == ("", None)
        assert (value["steps"], value["seconds"], value["views"]) == (100, 20.0, 2)
        assert f"{value['psnr']:.2f} dB" in found.table()
    assert "MS-SSIM" not in found.table()  # of which nothing is known
    assert found.notes == found.faults == ()
    page = assert_fetches_nothing(found.page())
    assert page.num("option") == 2
    assert contents(tmp_path) == before


def test_the_settings_that_differ_are_those(runs):
    path = runs[0] / "config.json"
    record = json.loads(path.read_text())
    record["config"]["train"]["num_rays"] = 77
    record["config"]["field"].pop("outside")  # as an older version wrote it: the default is known
    path.write_text(json.dumps(record))
    assert differing_settings(compare_runs(runs).runs) == [
        ("seed", ["0", "1"]),
        ("train.num_rays", ["77", "1024"]),
    ]


@pytest.mark.parametrize("key", SORT_KEYS)
def test_the_best_run_comes_first_and_what_is_not_known_last(runs, tmp_path, key):
    unfinished = write_run(tmp_path / "a")
    for name in ("eval.json", "metrics.jsonl"):
        (unfinished / name).unlink()
    found = compare_runs([unfinished, *runs]).sorted_by(key)
    if key in ("psnr", "ssim", "flip"):
        assert found.labels == ("better", "worse", "a")
    assert sorted(found.labels) == ["a", "better", "worse"]
    assert [run.folder.name for run in found.runs] == list(found.labels)


def test_an_unknown_key_is_refused_with_those_that_there_are(runs):
    with pytest.raises(UserError, match="unknown `sort` 'best': choose one of run, scene"):
        compare_runs(runs).sorted_by("best")


def test_the_best_of_a_scene_is_marked_in_each_scene(runs, tmp_path):
    elsewhere = write_run(tmp_path / "other", quality=0.01, scene="table")
    found = compare_runs([*runs, elsewhere])
    page = assert_fetches_nothing(found.page())
    assert page.num("select") == 1
    assert "no other run is of the same scene: other" in page.text
    assert page.text.count("Views of ") == 1
    best = found.page().count("<b>" + f"{found.rows[1]['psnr']:.2f} dB</b>")
    assert best >= 1
    assert f"<b>{found.rows[2]['psnr']:.2f} dB</b></td>" not in found.page()


def test_runs_without_a_view_in_common_are_said_to_have_none(tmp_path):
    names = {"a": ("x", "y"), "b": ("x", "y")}
    runs = [write_run(tmp_path / run, names=views) for run, views in names.items()]
    scored = json.loads((runs[0] / "eval.json").read_text())
    scored["views"] = [{**view, "index": view["index"] + 10} for view in scored["views"]]
    (runs[0] / "eval.json").write_text(json.dumps(scored))
    assert "have no held-out view in common: a, b" in compare_runs(runs).page()


@pytest.mark.parametrize(
    ("folders", "reason"),
    [
        ([], "no run is named"),
        (["better"], "better is the only run: give two run folders or more$"),
        (["better", "better/../better"], r"better \(given more than once\) is the only run"),
        (["better", "empty"], "left out, since it is not a run: .*empty has no config.json"),
        (["empty", "file"], "none of these is a run: .*no config.json, .*file is not a folder"),
        (["better", "none", "nor"], "there is no .*none, .*nor: give folders of runs"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(runs, tmp_path, folders, reason):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=reason):
        compare_runs([tmp_path / folder for folder in folders])


def test_what_is_no_run_is_left_out_and_an_unfinished_one_is_listed(runs, tmp_path):
    (tmp_path / "empty").mkdir()
    (runs[0] / "eval.json").unlink()
    found = compare_runs([*runs, tmp_path / "empty", runs[0]])
    assert found.labels == ("worse", "better")
    assert found.notes == (
        f"left out, since it is not a run: {tmp_path / 'empty'} has no config.json",
        "unfinished, since there is no eval.json: worse",
    )
    assert [row["status"] for row in found.rows] == ["unfinished", "finished"]
    assert "unfinished, since there is no eval.json: worse" in found.page()


def test_damaged_files_are_faults_and_the_rest_is_shown(runs):
    (runs[0] / "eval.json").write_text('{"psnr": 2')
    (runs[1] / "metrics.jsonl").write_text("nonsense")
    found = compare_runs(runs)
    assert found.faults == (
        "eval.json is damaged, so scores are not known: worse",
        "metrics.jsonl is damaged, so the time and a part of the curves are not known: better",
    )
    assert [row["status"] for row in found.rows] == ["damaged", "finished"]
    assert found.rows[0]["seconds"] == 20.0


def test_labels_are_the_shortest_ends_that_differ(tmp_path):
    found = compare_runs([write_run(tmp_path / a / "run") for a in ("x", "y")])
    assert found.labels == ("x/run", "y/run")


@pytest.mark.parametrize("text", HARMFUL)
def test_names_may_hold_anything(tmp_path, text):
    runs = [write_run(tmp_path / f"{n}<i>'\"&", names=(text,), scene=text) for n in (1, 2)]
    found = compare_runs(runs)
    page = assert_fetches_nothing(found.page())
    assert page.num("script") == 1
    assert page.num("i") == 0
    assert page.num("img") == 2 * 4
    assert len(found.table().splitlines()) == 4
    assert len(list(csv.reader(io.StringIO(found.csv())))) == 3
    found.csv().encode()


def test_files_are_written_where_they_are_named(runs, tmp_path):
    found = compare_runs(runs)
    found.write(csv=tmp_path / "a.csv", json=str(tmp_path / "a.json"), page=tmp_path / "a.html")
    assert (tmp_path / "a.csv").read_text() == found.csv()
    assert (tmp_path / "a.json").read_text() == found.json()
    assert (tmp_path / "a.html").read_text() == found.page()


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ({"csv": "none/a.csv"}, "`csv=.*` cannot be written: there is no folder"),
        ({"json": "worse"}, "`json=.*worse` is a folder: name a file"),
        ({"json": "worse/eval.json"}, "lies in a run folder, which is not changed"),
        ({"page": "better/renders/a.html"}, "`out=.*lies in a run folder"),
        ({"csv": "a", "json": "./a"}, "`json=.*` is the same file as `csv`"),
    ],
)
def test_a_file_that_cannot_be_written_is_one_sentence_and_nothing_changes(
    runs, tmp_path, named, reason
):
    before = contents(tmp_path)
    with pytest.raises(UserError, match=reason):
        compare_runs(runs).write(**{key: tmp_path / name for key, name in named.items()})
    assert contents(tmp_path) == before


def test_scores_with_and_without_a_correction_are_told_apart(tmp_path):
    folders = [write_run(tmp_path / name) for name in ("one", "two", "three")]
    assert compare_runs(folders).notes == ()
    for folder in folders[:2]:
        scores = json.loads((folder / "eval.json").read_text())
        (folder / "eval.json").write_text(json.dumps(scores | {"corrected": "exposure"}))
    (note,) = compare_runs(folders).notes
    assert note.startswith("the views of one, two are corrected for exposure before")
    assert compare_runs(folders[:2]).notes == ()
    assert ("scores", "the views are corrected for exposure") in run_content(
        read_run(folders[0])
    ).facts


def test_a_record_and_parameters_that_are_damaged_are_faults(runs, ball):
    (runs[0] / "scene.json").write_text("{}")
    whole = runs[1] / "params.safetensors"
    save_params(whole, ball)
    (runs[1] / "scene.json").write_text(json.dumps(ball.scene.to_json()))
    assert compare_runs(runs).faults == (
        "scene.json is damaged, so the run can be neither drawn nor exported: worse",
    )
    whole.write_bytes(whole.read_bytes()[:-1])
    assert "params.safetensors is damaged" in compare_runs(runs).faults[1]


@pytest.mark.parametrize(
    ("source", "names", "is_said"),
    [
        ("procedural", ("flower@60x40", "flower"), True),
        ("photographs", ("flower", "flower"), True),
        ("photographs", ("flower@60x40", "flower"), False),
    ],
)
def test_sizes_of_one_scene_are_told_apart(tmp_path, source, names, is_said):
    runs = [
        write_run(tmp_path / label, scene=name, source=source)
        for label, name in zip("ab", names, strict=True)
    ]
    scores = json.loads((runs[1] / "eval.json").read_text())
    (runs[1] / "eval.json").write_text(json.dumps({**scores, "resolution": [80, 120]}))
    found = compare_runs(runs)
    message = f"the runs of flower ({source}) have images of different sizes, whose scores do not "
    assert any(text == f"{message}compare: a 60x40, b 120x80" for text in found.notes) == is_said


def test_a_run_whose_settings_are_damaged_is_a_fault(runs, tmp_path):
    lost = write_run(tmp_path / "lost")
    (lost / "config.json").write_text("{")
    compared = compare_runs([*runs, lost])
    assert len(compared.runs) == 2
    assert compared.notes == ()
    (fault,) = compared.faults
    assert f"{lost} has a config.json that is damaged" in fault
