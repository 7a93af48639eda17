"""The command line on captures whose images differ in size."""

import json
import shutil

import imageio.v3 as iio
import numpy as np
import pytest

import nerf
from nerf.captures.images.files import image_size, read_image
from nerf.jobs import renderers
from nerf.render import image_metrics
from nerf.scenes.loading import load_folder
from tests.support.captures import convert
from tests.support.command_line import (
    SMALL_PLANES,
    TINY,
    assert_is_one_sentence,
    call,
    call_successfully,
)
from tests.support.mixed_sizes import KINDS, write_mixed, write_uniform

pytestmark = pytest.mark.slow

PLANES = (*SMALL_PLANES, "--set=train.holdout=5", "--lr=0.02", "--mode=train")
SCORED = {
    "portrait_and_landscape": [[12, 32], [12, 32], [24, 16], [12, 32]],
    "two_cameras": [[24, 32], [24, 32], [12, 16], [24, 32]],
    "few_pixels_apart": [[24, 32], [23, 30], [24, 31], [23, 32]],
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A capture in which all images have one size, and by its kind of sizes those made of it."""
    home = tmp_path_factory.mktemp("sizes")
    uniform = write_uniform(home, "courtyard", height=24, width=32)
    return {"uniform": uniform} | {kind: write_mixed(uniform, home / kind, kind) for kind in KINDS}


@pytest.fixture(scope="module")
def runs(folders, tmp_path_factory):
    """What was printed, and the run folder, by the name of the capture."""
    home, ended = tmp_path_factory.mktemp("runs"), {}
    for name, folder in folders.items():
        flags = (f"--scene={folder}", f"--run_dir={home / name}", "--steps=150", "--eval_every=75")
        ended[name] = call_successfully(*flags, *PLANES, "--video_frames=2"), home / name
    return ended


def scores(folder):
    return json.loads((folder / "eval.json").read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_every_view_is_drawn_and_scored_at_its_own_size(folders, runs, kind):
    out, run_dir = runs[kind]
    scene = load_folder(folders[kind]).scene
    found = scores(run_dir)
    assert [view["resolution"] for view in found["views"]] == SCORED[kind]
    for view in found["views"]:
        height, width = view["resolution"]
        drawn = read_image(run_dir / "renders" / f"view_{view['index']:03d}.png")
        assert drawn.shape[:2] == (height, width)
        depth = np.load(run_dir / "renders" / f"view_{view['index']:03d}_depth.npy")
        assert depth.shape == (height, width)
        psnr = image_metrics.psnr(drawn, scene.images[view["index"]])
        assert view["psnr"] == pytest.approx(psnr, abs=0.05)
        assert f"view {view['index']} ({view['name']}) at {width}x{height}: PSNR" in out
    assert found["psnr"] == pytest.approx(np.mean([view["psnr"] for view in found["views"]]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_learns_from_several_sizes_about_what_it_learns_from_one(runs, kind):
    uniform, mixed = (scores(runs[name][1])["psnr"] for name in ("uniform", kind))
    assert mixed == pytest.approx(uniform, abs=1.5)
    assert uniform > 17.0


def test_views_of_one_size_are_not_told_apart(runs):
    out, run_dir = runs["uniform"]
    assert all("resolution" not in view for view in scores(run_dir)["views"])
    assert "18 views of 32x24, 13,824 rays" in out
    assert "sizes" not in json.loads((run_dir / "config.json").read_text())


def test_the_sizes_are_said_and_recorded(runs):
    out, run_dir = runs["portrait_and_landscape"]
    assert "18 views (14 of 32x12, 4 of 16x24), 6,912 rays" in out
    record = json.loads((run_dir / "config.json").read_text())
    assert record["resolution"] == [12, 32]
    assert record["sizes"] == {"32x12": 14, "16x24": 4}


def test_the_video_is_as_large_as_most_views(runs):
    _, run_dir = runs["portrait_and_landscape"]
    height, width = iio.improps(run_dir / "video.mp4", plugin="FFMPEG").shape[1:3]
    assert width / height == pytest.approx(32 / 12, rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_folder_knows_the_size_of_each_view(folders, runs, kind):
    trained = nerf.load_run(runs[kind][1])
    scene = load_folder(folders[kind]).scene
    for index in (1, 2):
        image = nerf.render_view(trained, index)
        assert image.rgb.shape == scene.view(index).image.shape


def test_one_program_draws_views_of_all_sizes(folders, runs):
    trained = nerf.load_run(runs["few_pixels_apart"][1])
    scene = load_folder(folders["few_pixels_apart"]).scene
    nerf.evaluate(trained, scene)
    assert trained.exact_program.run._cache_size() == 1


def test_a_run_resumes_unless_sizes_have_changed(folders, runs, tmp_path):
    kind = "portrait_and_landscape"
    flags = ("--eval_every=75", *PLANES, "--video_frames=0")
    run_dir = shutil.copytree(runs[kind][1], tmp_path / "run")
    call_successfully(f"--scene={folders[kind]}", f"--run_dir={run_dir}", "--steps=225", *flags)
    previews = sorted((run_dir / "progress").glob("*.png"))
    assert "225" in previews[-1].name
    assert {image_size(file) for file in previews} == {(16, 24)}  # of one portrait
    other = convert(folders["uniform"], "nerfstudio", tmp_path / kind)
    ended = call(f"--scene={other}", f"--run_dir={run_dir}", "--steps=226", *flags)
    assert_is_one_sentence(ended, "sizes was {'32x12': 14, '16x24': 4} and is now None")


def test_the_fast_renderer_draws_several_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr(renderers, "_MIN_EVALUATIONS", 1)
    monkeypatch.setattr(renderers, "_RESOLUTIONS", ((24, 24, 24),))
    monkeypatch.setattr(renderers.fast, "NUM_SAMPLES", (48,))
    monkeypatch.setattr(renderers.fast, "MIN_PSNR", 0.0)
    monkeypatch.setattr(renderers.fast, "MAX_LOSS", 100.0)
    kind = "portrait_and_landscape"
    folder = write_mixed(write_uniform(tmp_path, "flower"), tmp_path / kind, kind)
    flags = (f"--scene={folder}", f"--run_dir={tmp_path / 'run'}", *TINY, "--steps=2")
    more = ("--mode=train", "--renderer=fast", "--video_frames=0", "--set=train.holdout=3")
    out = call_successfully(*flags, *more)
    assert "rendering fast" in out
    assert scores(tmp_path / "run")["renderer"] == "fast"
    assert [v["resolution"] for v in scores(tmp_path / "run")["views"]] == [
        [6, 16],
        [6, 16],
        [12, 8],
    ]
