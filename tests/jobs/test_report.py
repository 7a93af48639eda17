"""Laws of `write_report`: what a folder has is in the page, and a failure costs nothing."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nerf
from nerf.jobs import report
from nerf.jobs.report import run_content, try_report
from nerf.jobs.reports.run_summary import read_run
from nerf.jobs.reports.videos import run_videos
from nerf.output import images
from tests.support.pages import HARMFUL, Page, assert_fetches_nothing
from tests.support.run_folders import write_run

OLD_RUNS = Path(__file__).parents[1] / "data" / "version_0_1_0" / "runs"


def page_of(folder, **kwargs):
    path = nerf.write_report(folder, **kwargs)
    assert path == Path(folder) / "report.html"
    return assert_fetches_nothing(path.read_text(encoding="utf-8"))


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_report_is_written_beside_the_rest_which_stays(tmp_path):
    run = write_run(tmp_path / "run", notes=["3 images are blurred"], machine={"cpu_cores": 2})
    before = contents(run)
    messages = []
    page = page_of(run, callback=messages.append)
    after = contents(run)
    assert set(after) - set(before) == {run / "report.html"}
    assert before.items() <= after.items()
    assert [event.text for event in messages] == [f"report: {run / 'report.html'}"]
    for text in ("meadow", "IMG_1", "IMG_2", "3 images are blurred", "trained for 20 s, 100 steps",
                 "2 views for training, 2 held out", "All settings are those of the preset",
                 "2 cores", "jax 0.6.1"):  # fmt: skip
        assert text in page.text, text
    assert page.num("img") == 2 * 4
    assert str(tmp_path) not in (run / "report.html").read_text()


@pytest.mark.parametrize("text", HARMFUL)
def test_names_of_views_and_scenes_may_hold_anything(tmp_path, text):
    run = write_run(tmp_path / "<b>&run'\"", names=(text, "b"), scene=text, notes=[text])
    plain = page_of(write_run(tmp_path / "plain", scene="meadow", notes=["note"]))
    page = page_of(run)
    assert page.scripts == plain.scripts
    assert page.num("img") == plain.num("img")
    assert page.num("script") == plain.num("script") == 1
    assert not any(name.startswith("on") for _, a in page.elements for name in a)


@pytest.mark.parametrize("missing", ["", "_truth", "_error", "_depth"])
@pytest.mark.parametrize("is_damaged", [False, True])
def test_an_image_may_be_missing_or_damaged(tmp_path, missing, is_damaged):
    run = write_run(tmp_path / "run")
    file = run / "renders" / f"view_000{missing}.png"
    content = file.read_bytes()
    file.unlink()
    if is_damaged:
        file.write_bytes(content[:20])
    page = page_of(run)
    assert page.num("img") == (7 if missing else 6)  # a truth alone is not shown


def test_an_image_that_ends_too_early_is_grey(tmp_path):
    run = write_run(tmp_path / "run")
    file = run / "renders" / "view_000.png"
    file.write_bytes(file.read_bytes()[:-200])
    assert page_of(run).num("img") == 8


@pytest.mark.parametrize("name", sorted(path.name for path in OLD_RUNS.iterdir()))
def test_a_run_of_version_0_1_0_has_a_report(tmp_path, name):
    shutil.copytree(OLD_RUNS / name, tmp_path / name)
    page = page_of(tmp_path / name)
    assert "4 steps, 128 rays" in page.text
    assert "an older version wrote this folder" in page.text
    assert page.num("svg") > 0


def test_truth_and_error_come_from_the_comparison_of_an_older_run(tmp_path):
    run = write_run(tmp_path / "run", names=("a",))
    whole = read_run(run)
    truth = run_content(whole).views[0].truth.read()
    renders = run / "renders"
    panels = [Image.open(renders / f"view_000{e}.png") for e in ("", "_truth", "_depth")]
    sheet = images.side_by_side(
        [("caption", np.asarray(panel, np.float32) / 255) for panel in panels]
    )
    images.write_sheet(renders / "view_000_comparison.png", sheet)
    for ending in ("_truth", "_error"):
        (renders / f"view_000{ending}.png").unlink()
    view = run_content(read_run(run)).views[0]
    factor = view.truth.width // truth.shape[1]
    inner = view.truth.read()[factor // 2 :: factor, factor // 2 :: factor].astype(float)
    assert abs(inner - truth).max() < 10  # enlarging is smooth
    assert view.error is not None
    assert page_of(run).num("img") == 4


def test_a_run_that_has_drawn_a_video_alone_says_that_nothing_is_scored(tmp_path):
    run = write_run(tmp_path / "run", mode="render")
    (run / "eval.json").unlink()
    page = page_of(run)
    assert "Nothing is scored: this run has drawn a video alone." in page.text


def test_one_view_is_not_said_to_be_several(tmp_path):
    page = page_of(write_run(tmp_path / "run", names=("a",)))
    assert "Of the one held-out view, which was not trained on" in page.text
    assert "1 views" not in page.text


def test_a_video_is_in_the_page(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "video.mp4").write_bytes(b"video")
    assert page_of(run).num("video") == 1
    for name in ("video-orbit_depth.mp4", "video-orbit.gif", "others.mp4", "video-orbit.txt"):
        (run / name).write_bytes(b"video")
    (run / "video-spiral").mkdir()
    (run / "video-spiral" / "frame_000.png").write_bytes(b"a frame")
    (run / "video-nothing").mkdir()
    page = page_of(run)
    assert page.num("video") == 2
    shown = ("video.mp4", "video-orbit_depth.mp4", "video-orbit.gif", "video-spiral/")
    assert all(name in page.text for name in shown)
    assert "A folder of 1 frame." in page.text
    assert not any(name in page.text for name in ("others", "video-orbit.txt", "video-nothing"))


def test_videos_share_the_space_that_the_page_has_for_them(tmp_path, monkeypatch):
    monkeypatch.setattr("nerf.jobs.reports.videos.MAX_VIDEO_BYTES", 12)
    for name in ("video-a.gif", "video-b.gif", "video.mp4"):
        (tmp_path / name).write_bytes(b"four")
    first, second, third = run_videos(tmp_path)
    assert [video.name for video in (first, second, third)] == [
        "video.mp4", "video-a.gif", "video-b.gif",
    ]  # fmt: skip
    assert [video.uri is None for video in (first, second, third)] == [False, False, True]
    assert "too large" in third.note


def test_a_report_that_fails_is_a_note_and_the_run_stays(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run")
    (run / "report.html").write_text("the one before")
    before = contents(run)

    def fails(_):
        raise ValueError("no such page")

    monkeypatch.setattr(report, "run_page", fails)
    messages = []
    try_report(run, messages.append)
    assert contents(run) == before
    (event,) = messages
    assert "the report was not written (ValueError: no such page)" in event.text
    assert "nerf.write_report" in event.text


def test_a_file_that_cannot_be_written_loses_the_report_alone(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "report.html").mkdir()
    messages = []
    try_report(run, messages.append)
    assert "the report was not written" in messages[0].text


def test_what_is_no_run_is_a_mistake_of_the_user(tmp_path):
    with pytest.raises(nerf.UserError, match=r"has no config\.json"):
        nerf.write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_settings_that_differ_from_the_preset_are_listed(tmp_path):
    run = write_run(tmp_path / "run")
    record = json.loads((run / "config.json").read_text())
    record["config"]["train"]["num_rays"] = 77
    (run / "config.json").write_text(json.dumps(record))
    assert report.changed_settings(read_run(run)) == [("train.num_rays", "77", "1024")]


def test_the_page_has_one_policy_that_lets_nothing_in(tmp_path):
    page = Page(nerf.write_report(write_run(tmp_path / "run")).read_text())
    (policy,) = [a["content"] for _, a in page.elements if "http-equiv" in a]
    assert "default-src 'none'" in policy
    assert "http" not in policy
