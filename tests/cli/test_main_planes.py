"""The command line with the field `planes`, and with a time in the place of a number of steps."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from nerf import procedural
from nerf.runs import metrics, parameters
from tests.support.command_line import (
    SMALL_PLANES,
    assert_is_one_sentence,
    call,
    call_successfully,
)

pytestmark = pytest.mark.slow
FEW_STEPS = 20  # enough to learn something


@pytest.fixture(scope="module")
def trained(scene, tmp_path_factory):
    """A run folder, trained for a few seconds, its flags, and what was printed.

    A busy machine compiles for all of these seconds; then a new run gets more.
    """
    for seconds in (15, 60, 240):
        run_dir = tmp_path_factory.mktemp("trained") / "run"
        flags = (
            "--mode=train",
            f"--scene={scene}",
            f"--run_dir={run_dir}",
            *SMALL_PLANES,
            "--video_frames=2",
        )
        out = call_successfully(*flags, f"--train_seconds={seconds}")
        if metrics.read(run_dir)[-1]["step"] >= FEW_STEPS:
            break
    return run_dir, flags, out


def test_a_run_of_some_time_ends_with_it_and_leaves_everything_behind(trained):
    run_dir, _, out = trained
    assert "backend:    flax, field planes, preset planes, " in out
    lines = metrics.read(run_dir)
    readings = [line for line in lines if "loss" in line]
    assert readings[-1]["seconds"] > 10.0
    assert readings[-1]["step"] >= 1
    assert readings[-1]["loss"] < 0.7 * readings[0]["loss"]
    scored = json.loads((run_dir / "eval.json").read_text())
    assert (scored["field"], scored["preset"]) == ("planes", "planes")
    assert scored["step"] == readings[-1]["step"]
    assert scored["psnr"] > 15.0
    for name in ("video.mp4", "training.png"):
        assert (run_dir / name).is_file()
    # Previews have a tenth of the time, which compiling takes where it is slow.
    num_scores = sum("test_psnr" in line for line in lines)
    assert (run_dir / "contact_sheet.png").is_file() == (num_scores > 0)
    previews = list((run_dir / "progress").glob("*.png"))
    assert len(previews) == num_scores
    for file in previews:
        with Image.open(file) as image:
            assert image.size == (16, 12)


def test_the_box_is_that_of_the_scene_and_kept(trained):
    run_dir, *_ = trained
    field = parameters.load(run_dir, "flax").header.config.field
    assert field.low[2] == pytest.approx(-1.0, abs=0.01)  # NDC, from the near plane to infinity
    assert field.high[2] == pytest.approx(1.0, abs=0.01)
    assert -3.0 < field.low[0] < -1.0
    assert 1.0 < field.high[0] < 3.0


def test_a_run_whose_time_is_over_does_no_more_steps(trained):
    run_dir, flags, _ = trained
    before = json.loads((run_dir / "eval.json").read_text())
    out = call_successfully(*flags, "--train_seconds=15")
    assert f"resuming at step {before['step']} of 15 s" in out
    assert json.loads((run_dir / "eval.json").read_text())["step"] == before["step"]
    assert metrics.read(run_dir)[-1]["step"] == before["step"]


def test_its_parameters_are_scored_from_the_file(scene, trained, tmp_path):
    run_dir, *_ = trained
    before = json.loads((run_dir / "eval.json").read_text())
    out = call_successfully(
        *("--field=planes", f"--scene={scene}", f"--init_from={run_dir / 'params.safetensors'}"),
        *(f"--run_dir={tmp_path / 'again'}", "--video_frames=0", "--renderer=fast"),
    )
    assert out.count("rendering exactly: the field's own proposal") == 1
    after = json.loads((tmp_path / "again" / "eval.json").read_text())
    assert after["psnr"] == pytest.approx(before["psnr"], abs=1e-3)


@pytest.mark.parametrize("backend", ["haiku", "nnx"])
def test_another_backend_scores_the_same(trained, backend, scene, tmp_path):
    run_dir, *_ = trained
    out = call_successfully(
        *("--field=planes", f"--backend={backend}", f"--scene={scene}", "--video_frames=0"),
        *(f"--init_from={run_dir / 'params.safetensors'}", f"--run_dir={tmp_path / 'again'}"),
    )
    assert f"backend:    {backend}, field planes, preset planes, " in out
    before, after = (
        json.loads((folder / "eval.json").read_text()) for folder in (run_dir, tmp_path / "again")
    )
    assert after["psnr"] == pytest.approx(before["psnr"], abs=1e-3)
    assert after["ssim"] == pytest.approx(before["ssim"], abs=1e-4)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--backend=torch"], "unknown backend 'torch': choose one of flax, haiku, nnx"),
        (["--preset=paper"], "preset 'paper' is for the field 'mlp', not 'planes'"),
        (["--set=field.resolution=[1,2,3]"], "resolution must be >= 2 on each axis"),
        (["--set=field.resolution=8"], "expected 3 numbers in brackets, found 8"),
        (["--set=render.networks=shared"], "fine_t must be intervals where networks is proposal"),
        (["--set=field.num_layers=3"], "no setting 'num_layers'; there are viewdir_encoding, low"),
    ],
)
def test_what_does_not_go_with_planes_is_refused(scene, tmp_path, flags, reason):
    ended = call(
        *("--mode=train", "--field=planes", f"--scene={scene}", f"--run_dir={tmp_path / 'run'}"),
        *flags,
    )
    assert_is_one_sentence(ended, reason)
    assert not (tmp_path / "run").exists()


def test_parameters_of_another_field_are_refused(scene, trained, tmp_path):
    run_dir, *_ = trained
    ended = call(
        *(f"--scene={scene}", f"--init_from={run_dir / 'params.safetensors'}"),
        *(f"--run_dir={tmp_path / 'run'}", "--video_frames=0"),
    )
    assert_is_one_sentence(ended, "the parameters are of the field 'planes': add --field=planes")


def test_wider_images_take_finer_planes(scene, tmp_path):
    wide = shutil.copytree(scene, tmp_path / "wide")
    for path in (wide / "images").iterdir():
        with Image.open(path) as image:
            larger = image.resize((192, 144))
        larger.save(path)
    found = []
    for folder in (scene, wide):
        run_dir = tmp_path / f"run-{folder.name}"
        call_successfully(
            *("--mode=train", f"--scene={folder}", f"--run_dir={run_dir}", *SMALL_PLANES),
            *("--steps=1", "--video_frames=0"),
        )
        field = parameters.load(run_dir, "flax").header.config.field
        found.append((field.num_levels, field.growth))
    assert found == [(2, 2.7), (3, 2.0)]


def test_depth_is_scored_where_it_is_known(tmp_path):
    """Against the scene as it is traced anew, in the unit that the run folder tells."""
    run_dir = tmp_path / "run"
    out = call_successfully(
        *("--mode=train", "--scene=procedural:room", f"--run_dir={run_dir}", *SMALL_PLANES),
        *("--steps=1", "--video_frames=0"),
    )
    scored = json.loads((run_dir / "eval.json").read_text())
    unit = json.loads((run_dir / "config.json").read_text())["unit_scale"]
    indices = scored["split"]["test"]
    exact = unit * procedural.render_views("room", indices=indices).depth
    errors = []
    for index, truth in zip(indices, exact, strict=True):
        depth = np.load(run_dir / "renders" / f"view_{index:03d}_depth.npy")
        errors.append(float(np.mean(np.abs(depth / truth - 1))))
    assert [view["depth_error"] for view in scored["views"]] == pytest.approx(errors, rel=1e-3)
    assert len(set(errors)) == len(errors)
    assert scored["depth_error"] == pytest.approx(np.mean(errors), rel=1e-3)
    assert f"depth off by {scored['depth_error']:.1%}" in out
