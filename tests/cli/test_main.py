"""The command line end to end, on two backends, as a stranger would use it."""

import json
import re
import shutil

import numpy as np
import pytest
import safetensors
from PIL import Image

from nerf.backends import published
from nerf.render.flip import has_flip
from nerf.runs import parameters
from tests.conftest import BACKENDS
from tests.support.command_line import (
    HEIGHT,
    NUM_VIEWS,
    TINY_FIELD,
    TINY_RENDERED,
    WIDTH,
    call,
    call_successfully,
    contents,
    leaves,
    scores,
    train_flags,
)
from tests.support.fields import other

pytestmark = pytest.mark.slow

# What a run leaves behind.


def test_a_training_run_leaves_everything_behind(run_dir):
    endings = ("", "_comparison", "_depth", "_error", "_truth")
    view = sorted([*(f"view_000{ending}.png" for ending in endings), "view_000_depth.npy"])
    assert sorted(path.name for path in run_dir.iterdir()) == [
        ".lock",
        "checkpoints",
        "config.json",
        "eval.json",
        "metrics.jsonl",
        "params.safetensors",
        "renders",
        "report.html",
        "scene.json",
        "training.png",
        "video.mp4",
    ]
    assert sorted(path.name for path in (run_dir / "renders").iterdir()) == view
    with Image.open(run_dir / "renders" / "view_000.png") as image:
        assert image.size == (WIDTH, HEIGHT)
    depth = np.load(run_dir / "renders" / "view_000_depth.npy")
    assert depth.shape == (HEIGHT, WIDTH)
    assert np.isfinite(depth).all()
    assert (run_dir / "video.mp4").read_bytes()[4:8] == b"ftyp"


def test_config_json_says_what_was_computed_and_on_what(run_dir, backend):
    record = json.loads((run_dir / "config.json").read_text())
    assert (record["backend"], record["field"], record["scene"]) == (backend, "mlp", "meadow")
    assert (record["source"], record["init_from"], record["seed"]) == ("photographs", "none", 0)
    assert record["config"]["field"]["width"] == 16
    assert record["config"]["render"]["num_fine"] == 8
    assert record["config"]["train"]["num_rays"] == 32
    assert record["video"] == {"path": "spiral", "num_frames": 2, "size": [HEIGHT, WIDTH]}
    assert record["device"] == "cpu"
    assert {"python", "jax", "jaxlib", "flax", "dm-haiku", "numpy"} <= set(record["versions"])


def test_eval_json_has_the_documented_keys(run_dir, backend):
    result = scores(run_dir)
    flip = ["flip"] if has_flip() else []
    assert list(result) == [
        "psnr",
        "ssim",
        *flip,
        "views",
        "split",
        "split_names",
        "resolution",
        "scene",
        "source",
        "backend",
        "field",
        "preset",
        "step",
        "renderer",
    ]
    of_view = sorted([*flip, "depth_range", "index", "name", "psnr", "ssim"])
    assert [sorted(view) for view in result["views"]] == [of_view]
    assert result["psnr"] == result["views"][0]["psnr"]
    assert result["split"] == {"train": [1, 2, 3, 4], "test": [0]}
    assert result["split_names"]["test"] == ["image000"]
    assert result["resolution"] == [HEIGHT, WIDTH]
    assert result["backend"] == backend
    assert result["step"] == 4


def test_the_score_is_that_of_the_image_on_disk(run_dir, scene):
    with Image.open(run_dir / "renders" / "view_000.png") as image:
        rendered = np.asarray(image) / 255
    with Image.open(scene / "images" / "image000.png") as image:
        truth = np.asarray(image) / 255
    psnr = -10 * np.log10(np.mean((rendered - truth) ** 2))
    assert scores(run_dir)["psnr"] == pytest.approx(psnr, abs=0.05)  # 8 bits a channel


def test_metrics_have_one_line_a_reading(run_dir):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 4]
    for line in lines:
        assert {"step", "loss", "psnr", "seconds"} <= set(line)
        assert line["step"] == 1 or line["rays_per_second"] > 0


def test_no_file_holds_an_absolute_path(run_dir, scene):
    for name, content in contents(run_dir).items():
        for root in (run_dir, scene):
            for folder in (root, root.parent, root.parent.parent):
                assert str(folder).encode() not in content, name
    with safetensors.safe_open(run_dir / "params.safetensors", framework="numpy") as file:
        header = json.loads(file.metadata()["nerf"])
    assert (header["field"], header["scene"], header["step"]) == ("mlp", "meadow", 4)
    assert header["config"]["preset"] == "notebook"
    assert "/" not in json.dumps(header)


def test_the_first_lines_say_what_runs_and_the_last_where_it_went(trained, backend, scene):
    run_dir, out = trained[backend]
    lines = out.splitlines()
    first = dict(line.split(":", 1) for line in lines[:7])
    assert list(first) == [
        "device",
        "precision",
        "backend",
        "scene",
        "space",
        "parameters",
        "run folder",
    ]
    assert "cpu" in first["device"]
    assert "float32" in first["precision"]
    assert re.search(rf"{backend}, field mlp, preset notebook, [\d,]+ parameters", first["backend"])
    count = parameters.count(parameters.load(run_dir, backend).params)
    assert f" {count:,} parameters" in first["backend"]
    assert f"meadow, source: photographs (llff, {scene}" in first["scene"]
    assert f"{NUM_VIEWS * HEIGHT * WIDTH:,} rays" in first["scene"]
    assert "held out view 0 (image000)" in first["scene"]
    assert lines[-1].endswith(f"the images are in {run_dir / 'renders'}")


def test_two_runs_of_one_seed_are_equal_and_of_another_are_not(trained, scene, tmp_path):
    flags = train_flags(scene, "flax", "--video_frames=0")
    call_successfully(*flags, f"--run_dir={tmp_path / 'again'}")
    call_successfully(*flags, f"--run_dir={tmp_path / 'other'}", "--seed=1")
    first = leaves(trained["flax"][0], "flax")
    assert leaves(tmp_path / "again", "flax") == first
    assert leaves(tmp_path / "other", "flax") != first


# Evaluate, from everywhere, on any backend.


def test_a_moved_run_folder_scores_the_same_on_every_backend(run_dir, backend, scene, tmp_path):
    moved = tmp_path / "moved here"
    shutil.copytree(run_dir, moved)
    for evaluator in BACKENDS:
        result = tmp_path / evaluator
        out = call_successfully(
            f"--scene={scene}",
            f"--backend={evaluator}",
            f"--init_from={moved}",
            f"--run_dir={result}",
            "--video_frames=0",
        )
        assert "note:" not in out
        theirs, ours = scores(run_dir), scores(result)
        assert ours["psnr"] == pytest.approx(theirs["psnr"], abs=1e-3)
        assert ours["ssim"] == pytest.approx(theirs["ssim"], abs=1e-4)
        assert ours["backend"] == evaluator
        assert ours["step"] == 4
        assert not (result / "video.mp4").exists()


def test_evaluating_a_run_in_place_with_other_settings_keeps_its_parameters(
    run_dir, backend, scene, tmp_path
):
    folder = tmp_path / "run"
    shutil.copytree(run_dir, folder)
    before = contents(folder)
    call_successfully(
        f"--scene={scene}",
        f"--backend={other(backend)}",
        f"--run_dir={folder}",
        "--set=render.num_fine=4",
        "--video_frames=0",
    )
    after = contents(folder)
    changed = {name for name in after if after[name] != before.get(name)}
    assert {name.split("/")[0] for name in changed} == {
        "eval.json",
        "renders",
        "report.html",
    }
    assert [view["index"] for view in scores(folder)["views"]] == [0]
    call_successfully(
        f"--scene={scene}", f"--backend={backend}", f"--run_dir={folder}", "--video_frames=0"
    )
    assert scores(folder)["psnr"] == pytest.approx(scores(run_dir)["psnr"], abs=1e-3)


def test_views_that_were_trained_on_are_not_scored_as_held_out(trained, scene):
    run_dir = trained["flax"][0]
    for flag in ("--holdout=2", "--holdout_views=image002"):
        status, _, err = call(f"--scene={scene}", f"--run_dir={run_dir}", flag)
        assert status == 1
        assert "(image002)" in err
        assert "leave out --holdout and --holdout_views" in err


def test_images_of_another_split_do_not_stay(trained, scene, tmp_path):
    folder = tmp_path / "run"
    parameters = trained["flax"][0] / "params.safetensors"
    for holdout, views in ((2, {"000", "002", "004"}), (3, {"000", "003"})):
        call_successfully(
            f"--scene={scene}",
            f"--run_dir={folder}",
            f"--init_from={parameters}",
            f"--holdout={holdout}",
            "--video_frames=0",
        )
        assert {path.name[5:8] for path in (folder / "renders").iterdir()} == views


def test_settings_that_belong_together_are_set_in_any_order(scene, tmp_path):
    together = ("--set=field.skip_layer=9", "--set=field.num_layers=10")
    for number, flags in enumerate((together, together[::-1])):
        folder = tmp_path / str(number)
        call_successfully(
            *train_flags(scene, "flax", "--video_frames=0", f"--run_dir={folder}", *flags)
        )
        record = json.loads((folder / "config.json").read_text())
        assert record["config"]["field"]["skip_layer"] == 9


@pytest.mark.parametrize("backend", BACKENDS)
def test_published_parameters_and_a_file_score_the_same(trained, scene, tmp_path, backend):
    run_dir = trained["haiku"][0]
    folder, file = tmp_path / "params", tmp_path / "meadow.safetensors"
    for out in (folder, file):
        call_successfully(
            "--mode=convert", "--backend=haiku", f"--init_from={run_dir}", f"--out={out}"
        )
    for number, start_from in enumerate((folder, file)):
        result = tmp_path / f"result {number}"
        flags = [f"--init_from={start_from}", f"--run_dir={result}", "--video_frames=0"]
        call_successfully(f"--scene={scene}", f"--backend={backend}", *TINY_RENDERED, *flags)
        assert scores(result)["psnr"] == pytest.approx(scores(run_dir)["psnr"], abs=1e-3)


def test_parameters_beside_the_scene_are_its_pretrained_ones(trained, scene, tmp_path):
    data_dir = tmp_path / "data"
    shutil.copytree(scene, data_dir / "meadow")
    published.write(
        data_dir / "meadow" / "params",
        parameters.load(trained["haiku"][0], "haiku").params["shared"],
    )
    flags = ("--scene=meadow", f"--data_dir={data_dir}", *TINY_RENDERED, "--video_frames=0")
    out = call_successfully(*flags, f"--run_dir={tmp_path / 'run'}")
    assert f"the parameters in {data_dir / 'meadow' / 'params'}" in out
    assert scores(tmp_path / "run")["psnr"] == pytest.approx(
        scores(trained["haiku"][0])["psnr"], abs=1e-3
    )


# Render.


def test_render_makes_the_video_and_leaves_the_scores(run_dir, backend, scene, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run_dir, folder)
    before = contents(folder)
    out = call_successfully(
        "--mode=render",
        f"--scene={scene}",
        f"--backend={backend}",
        f"--run_dir={folder}",
        "--video_frames=3",
        "--camera_path=interpolate",
        "--video_size=9x7",
    )
    after = contents(folder)
    made = "video-interpolate.mp4"  # the run's own shows a spiral
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed - {"report.html"} == {made, "videos.json"}  # which says of which path it is
    assert set(after) == set(before) | {made, "videos.json"}
    assert out.splitlines()[-1].endswith(f"the video is {folder / made}")


# Convert.


@pytest.mark.parametrize("target", BACKENDS)
def test_parameters_convert_and_come_back_bit_for_bit(run_dir, backend, target, tmp_path):
    there, back = tmp_path / "there.safetensors", tmp_path / "back.safetensors"
    call_successfully(
        "--mode=convert", f"--backend={target}", f"--init_from={run_dir}", f"--out={there}"
    )
    call_successfully(
        "--mode=convert", f"--backend={backend}", f"--init_from={there}", f"--out={back}"
    )
    assert (run_dir / "params.safetensors").read_bytes() == back.read_bytes()
    assert (there.read_bytes() == back.read_bytes()) == (target == backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_published_layout_converts_and_comes_back_bit_for_bit(trained, tmp_path, backend):
    run_dir = trained[backend][0]
    folder, file, back = tmp_path / "params", tmp_path / "file.safetensors", tmp_path / "back"
    convert = ("--mode=convert", *TINY_FIELD)
    call_successfully(*convert, "--backend=haiku", f"--init_from={run_dir}", f"--out={folder}")
    call_successfully(*convert, f"--backend={backend}", f"--init_from={folder}", f"--out={file}")
    call_successfully(*convert, "--backend=haiku", f"--init_from={file}", f"--out={back}")
    assert contents(folder) == contents(back)
    assert sorted(contents(folder)) == ["arrays.npy", "tree.pkl"]
    assert leaves(file, backend) == leaves(run_dir, backend)


def test_a_run_keeps_its_split_and_without_held_out_views_has_no_scores(scene, tmp_path):
    folder = tmp_path / "run"
    flags = train_flags(scene, "flax", "--video_frames=0", f"--run_dir={folder}")
    out = call_successfully(*flags, "--holdout=0")
    assert "none held out" in out
    assert "no view is held out, so there is nothing to score" in out
    assert scores(folder)["psnr"] is None
    assert scores(folder)["views"] == []
    assert len(scores(folder)["split"]["train"]) == NUM_VIEWS
    status, _, err = call(*flags, "--holdout_views=image003")
    assert status == 1
    assert "train.holdout_views was [] and is now ['image003']" in err
