"""Which renderer serves what, as a stranger sees it on the command line."""

import json

import numpy as np
import pytest

from nerf.captures.images.files import read_images
from nerf.jobs import renderers
from tests.support.command_line import SMOOTH, SMOOTH_RENDERED, call, call_successfully

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(scene, tmp_path_factory):
    """A run whose field is as smooth as its images."""
    folder = tmp_path_factory.mktemp("runs") / "short"
    call_successfully(
        *arguments(scene, folder), "--mode=train", "--steps=30", "--video_frames=0", "--lr=0.01"
    )
    return folder


@pytest.fixture
def always_worth_it(monkeypatch):
    """As if the tiny images were large."""
    monkeypatch.setattr(renderers, "_MIN_EVALUATIONS", 1)
    monkeypatch.setattr(renderers, "_MIN_PREVIEW_EVALUATIONS", 1)
    monkeypatch.setattr(renderers, "_RESOLUTIONS", ((24, 24, 24),))
    monkeypatch.setattr(renderers.fast, "NUM_SAMPLES", (48, 96))  # each is compiled


def arguments(scene, run_dir, settings=SMOOTH):
    return (f"--scene={scene}", "--offline", f"--run_dir={run_dir}", *settings)


def evaluate(scene, trained, folder, *flags):
    more = (f"--init_from={trained}", "--video_frames=2", *flags)
    out = call_successfully(*arguments(scene, folder, SMOOTH_RENDERED), *more)
    scores = json.loads((folder / "eval.json").read_text())
    rgb = read_images([folder / "renders" / "view_000.png"])[0]
    return out, scores, rgb


@pytest.mark.usefixtures("always_worth_it")
def test_scores_are_exact_and_the_video_is_fast(scene, trained, tmp_path):
    out, scores, _ = evaluate(scene, trained, tmp_path / "default")
    assert scores["renderer"] == "exact"
    assert out.count("rendering fast, with") == 1
    assert out.index("mean of") < out.index("rendering fast")


@pytest.mark.usefixtures("always_worth_it")
@pytest.mark.parametrize("method", ["exact", "fast"])
def test_a_method_that_is_asked_for_serves_everything(scene, trained, tmp_path, method):
    out, scores, rgb = evaluate(scene, trained, tmp_path / method, f"--renderer={method}")
    assert scores["renderer"] == method
    assert out.count("rendering fast, with") == (2 if method == "fast" else 0)
    config = json.loads((tmp_path / method / "config.json").read_text())
    assert config["renderer"] == method
    _, exact_scores, exact_rgb = evaluate(scene, trained, tmp_path / "default")
    assert -10 * np.log10(np.mean((rgb - exact_rgb) ** 2) + 1e-10) > 38.0
    np.testing.assert_allclose(scores["psnr"], exact_scores["psnr"], atol=0.1)


def test_a_small_image_is_not_worth_preparing_for(scene, trained, tmp_path):
    out, scores, _ = evaluate(scene, trained, tmp_path / "small", "--renderer=fast")
    assert scores["renderer"] == "exact"
    assert "rendering fast" not in out


@pytest.mark.usefixtures("always_worth_it")
def test_where_few_samples_do_not_suffice_images_are_exact(scene, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(renderers.fast, "MIN_PSNR", 300.0)
    out, scores, _ = evaluate(scene, trained, tmp_path / "exact", "--renderer=fast")
    assert scores["renderer"] == "exact"
    assert "rendering exactly: with 96 samples a ray images are" in out


@pytest.mark.usefixtures("always_worth_it")
def test_debug_checks_values_and_therefore_renders_exactly(scene, trained, tmp_path):
    _, scores, _ = evaluate(scene, trained, tmp_path / "debug", "--renderer=fast", "--debug")
    assert scores["renderer"] == "exact"


@pytest.mark.usefixtures("always_worth_it")
def test_previews_are_fast_and_follow_the_parameters(scene, trained, tmp_path):
    """The held-out scores on the way are those of exact previews, at every step."""
    curves = {}
    for method in ("exact", "fast"):
        folder = tmp_path / method
        flags = ("--steps=20", "--eval_every=10", "--video_frames=0", "--lr=0.01")
        flags = (*flags, f"--renderer={method}", "--mode=train")
        call_successfully(*arguments(scene, folder), *flags)
        lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        curves[method] = [line["test_psnr"] for line in lines if "test_psnr" in line]
    assert len(curves["fast"]) == 2
    assert curves["fast"] != curves["exact"]
    np.testing.assert_allclose(curves["fast"], curves["exact"], atol=0.1)


def test_an_unknown_renderer_ends_with_one_sentence():
    ended = call("--renderer=quick")
    assert ended.status == 1
    assert ended.err == (
        "error: flag --renderer=quick: value should be one of <exact|fast> "
        "(--help lists the flags)\n"
    )
