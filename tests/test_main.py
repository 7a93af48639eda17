"""The command line end to end, on both backends, as a stranger would use it."""

import json
import re
import shlex
import shutil
import signal
import sys
import time

import numpy as np
import pytest
import safetensors
from command_line import (
    HEIGHT,
    NUM_VIEWS,
    TINY,
    TINY_FIELD,
    WIDTH,
    call,
    call_well,
    contents,
    run_process,
    start,
    start_shell,
)
from conftest import BACKENDS
from PIL import Image

from nerf import parameters, run_folder
from nerf.backends import published
from nerf.training import health, metrics


def other(backend):
    return next(name for name in BACKENDS if name != backend)


def train_flags(scene, backend, *more):
    return (
        "--mode=train",
        f"--backend={backend}",
        f"--scene={scene}",
        "--frames=2",
        "--steps=4",
        *TINY,
        *more,
    )


@pytest.fixture(scope="module")
def trained(scene, tmp_path_factory):
    """A run folder for each backend, trained from nothing, and what was printed."""
    folder = tmp_path_factory.mktemp("trained")
    made = {}
    for backend in BACKENDS:
        out = call_well(*train_flags(scene, backend, f"--run_dir={folder / backend}"))
        made[backend] = (folder / backend, out)
    return made


@pytest.fixture
def run_dir(trained, backend):
    return trained[backend][0]


def scores(folder):
    return json.loads((folder / "eval.json").read_text())


def readings(folder):
    return metrics.read(folder)


def leaves(path, layout):
    params = parameters.load(path, layout).params
    return parameters.checksum(params), parameters.count(params)


# What a run leaves behind.


def test_a_training_run_leaves_everything_behind(run_dir):
    view = ["view_000.png", "view_000_comparison.png", "view_000_depth.npy", "view_000_depth.png"]
    assert sorted(path.name for path in run_dir.iterdir()) == [
        ".lock",
        "checkpoints",
        "config.json",
        "eval.json",
        "metrics.jsonl",
        "params.safetensors",
        "renders",
        "training.png",
        "video.mp4",
    ]
    assert sorted(path.name for path in (run_dir / "renders").iterdir()) == view
    with Image.open(run_dir / "renders" / "view_000.png") as picture:
        assert picture.size == (WIDTH, HEIGHT)
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
    assert list(result) == [
        "psnr",
        "ssim",
        "views",
        "split",
        "resolution",
        "scene",
        "source",
        "backend",
        "field",
        "preset",
        "step",
        "render",
    ]
    assert [sorted(view) for view in result["views"]] == [["index", "psnr", "ssim"]]
    assert result["psnr"] == result["views"][0]["psnr"]
    assert result["split"] == {"train": [1, 2, 3, 4], "test": [0]}
    assert result["resolution"] == [HEIGHT, WIDTH]
    assert result["backend"] == backend
    assert result["step"] == 4


def test_the_score_is_that_of_the_picture_on_disk(run_dir, scene):
    with Image.open(run_dir / "renders" / "view_000.png") as picture:
        rendered = np.asarray(picture) / 255
    with Image.open(scene / "images" / "image000.png") as picture:
        truth = np.asarray(picture) / 255
    psnr = -10 * np.log10(np.mean((rendered - truth) ** 2))
    assert scores(run_dir)["psnr"] == pytest.approx(psnr, abs=0.05)  # 8 bits a channel


def test_metrics_have_one_line_a_reading(run_dir):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 4]
    for line in lines:
        assert {"step", "loss", "psnr", "rays_per_second", "seconds"} <= set(line)
        assert line["rays_per_second"] > 0


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
    first = dict(line.split(":", 1) for line in lines[:6])
    assert list(first) == ["device", "precision", "backend", "scene", "parameters", "run folder"]
    assert "cpu" in first["device"]
    assert "float32" in first["precision"]
    assert re.search(rf"{backend}, field mlp, preset notebook, [\d,]+ parameters", first["backend"])
    count = parameters.count(parameters.load(run_dir, backend).params)
    assert f" {count:,} parameters" in first["backend"]
    assert f"meadow, source: photographs ({scene}" in first["scene"]
    assert f"{NUM_VIEWS * HEIGHT * WIDTH:,} rays" in first["scene"]
    assert "held out 0" in first["scene"]
    assert lines[-1].endswith(f"the pictures in {run_dir / 'renders'}")


def test_two_runs_of_one_seed_are_equal_and_of_another_are_not(trained, scene, tmp_path):
    flags = train_flags(scene, "flax", "--frames=0")
    call_well(*flags, f"--run_dir={tmp_path / 'again'}")
    call_well(*flags, f"--run_dir={tmp_path / 'other'}", "--seed=1")
    first = leaves(trained["flax"][0], "flax")
    assert leaves(tmp_path / "again", "flax") == first
    assert leaves(tmp_path / "other", "flax") != first


# Evaluate, from everywhere, on either backend.


def test_a_moved_run_folder_scores_the_same_on_both_backends(run_dir, backend, scene, tmp_path):
    moved = tmp_path / "moved here"
    shutil.copytree(run_dir, moved)
    for evaluator in BACKENDS:
        result = tmp_path / evaluator
        out = call_well(
            f"--scene={scene}",
            f"--backend={evaluator}",
            f"--init_from={moved}",
            f"--run_dir={result}",
            "--frames=0",
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
    call_well(
        f"--scene={scene}",
        f"--backend={other(backend)}",
        f"--run_dir={folder}",
        "--set=render.num_fine=4",
        "--set=train.holdout=2",
        "--frames=0",
    )
    after = contents(folder)
    changed = {name for name in after if after[name] != before.get(name)}
    assert {name.split("/")[0] for name in changed} == {"eval.json", "renders"}
    assert [view["index"] for view in scores(folder)["views"]] == [0, 2, 4]
    call_well(f"--scene={scene}", f"--backend={backend}", f"--run_dir={folder}", "--frames=0")
    assert scores(folder)["psnr"] == pytest.approx(scores(run_dir)["psnr"], abs=1e-3)


def test_pictures_of_another_split_do_not_stay(trained, scene, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained["flax"][0], folder)
    for holdout, views in ((2, {"000", "002", "004"}), (3, {"000", "003"})):
        call_well(
            f"--scene={scene}",
            f"--run_dir={folder}",
            f"--set=train.holdout={holdout}",
            "--frames=0",
        )
        assert {path.name[5:8] for path in (folder / "renders").iterdir()} == views


def test_settings_that_belong_together_are_set_in_any_order(scene, tmp_path):
    together = ("--set=field.skip_layer=9", "--set=field.num_layers=10")
    for number, flags in enumerate((together, together[::-1])):
        folder = tmp_path / str(number)
        call_well(*train_flags(scene, "flax", "--frames=0", f"--run_dir={folder}", *flags))
        record = json.loads((folder / "config.json").read_text())
        assert record["config"]["field"]["skip_layer"] == 9


def test_published_parameters_and_a_file_score_the_same(trained, scene, tmp_path, backend):
    run_dir = trained["haiku"][0]
    folder, file = tmp_path / "params", tmp_path / "meadow.safetensors"
    for out in (folder, file):
        call_well("--mode=convert", "--backend=haiku", f"--init_from={run_dir}", f"--out={out}")
    for number, start_from in enumerate((folder, file)):
        result = tmp_path / f"result {number}"
        flags = [f"--init_from={start_from}", f"--run_dir={result}", "--frames=0"]
        call_well(f"--scene={scene}", f"--backend={backend}", *TINY, *flags)
        assert scores(result)["psnr"] == pytest.approx(scores(run_dir)["psnr"], abs=1e-3)


def test_parameters_beside_the_scene_are_its_pretrained_ones(trained, scene, tmp_path):
    data_dir = tmp_path / "data"
    shutil.copytree(scene, data_dir / "meadow")
    published.write(
        data_dir / "meadow" / "params",
        parameters.load(trained["haiku"][0], "haiku").params["shared"],
    )
    flags = ("--scene=meadow", f"--data_dir={data_dir}", *TINY, "--frames=0")
    out = call_well(*flags, f"--run_dir={tmp_path / 'run'}")
    assert f"the parameters in {data_dir / 'meadow' / 'params'}" in out
    assert scores(tmp_path / "run")["psnr"] == pytest.approx(
        scores(trained["haiku"][0])["psnr"], abs=1e-3
    )


# Render.


def test_render_makes_the_video_and_leaves_the_scores(run_dir, backend, scene, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run_dir, folder)
    before = contents(folder)
    out = call_well(
        "--mode=render",
        f"--scene={scene}",
        f"--backend={backend}",
        f"--run_dir={folder}",
        "--frames=3",
        "--path=interpolate",
        "--size=9x7",
    )
    after = contents(folder)
    assert {name for name in after if after[name] != before.get(name)} == {"video.mp4"}
    assert set(after) == set(before)
    assert out.splitlines()[-1].endswith(f"the video is {folder / 'video.mp4'}")


# Convert.


@pytest.mark.parametrize("target", BACKENDS)
def test_parameters_convert_and_come_back_bit_for_bit(run_dir, backend, target, tmp_path):
    there, back = tmp_path / "there.safetensors", tmp_path / "back.safetensors"
    call_well("--mode=convert", f"--backend={target}", f"--init_from={run_dir}", f"--out={there}")
    call_well("--mode=convert", f"--backend={backend}", f"--init_from={there}", f"--out={back}")
    assert (run_dir / "params.safetensors").read_bytes() == back.read_bytes()
    assert (there.read_bytes() == back.read_bytes()) == (target == backend)


def test_the_published_layout_converts_and_comes_back_bit_for_bit(trained, tmp_path, backend):
    run_dir = trained[backend][0]
    folder, file, back = tmp_path / "params", tmp_path / "file.safetensors", tmp_path / "back"
    convert = ("--mode=convert", *TINY_FIELD)
    call_well(*convert, "--backend=haiku", f"--init_from={run_dir}", f"--out={folder}")
    call_well(*convert, f"--backend={backend}", f"--init_from={folder}", f"--out={file}")
    call_well(*convert, "--backend=haiku", f"--init_from={file}", f"--out={back}")
    assert contents(folder) == contents(back)
    assert sorted(contents(folder)) == ["arrays.npy", "tree.pkl"]
    assert leaves(file, backend) == leaves(run_dir, backend)


# Train on.


def test_the_same_command_again_finds_nothing_left_to_train(run_dir, backend, scene, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run_dir, folder)
    before = contents(folder)
    out = call_well(*train_flags(scene, backend, f"--run_dir={folder}"))
    assert "going on at step 4 of 4" in out
    after = contents(folder)
    for name in ("config.json", "metrics.jsonl", "params.safetensors", "eval.json"):
        assert after[name] == before[name], name


def test_training_begins_anew_from_the_other_backends_parameters(run_dir, backend, scene, tmp_path):
    folder = tmp_path / "run"
    params = run_dir / "params.safetensors"
    begin = (f"--init_from={params}", f"--run_dir={folder}", f"--backend={other(backend)}")
    train = ("--mode=train", f"--scene={scene}", "--frames=0", *begin)
    call_well(*train, "--steps=0")
    assert leaves(folder, backend) == leaves(run_dir, backend)
    call_well(*train, "--steps=2", "--rays=16")
    assert leaves(folder, backend) != leaves(run_dir, backend)
    loss = [
        json.loads(path.read_text().splitlines()[-1])["psnr"]
        for path in (run_dir / "metrics.jsonl", folder / "metrics.jsonl")
    ]
    assert loss[1] == pytest.approx(loss[0], abs=2.0)  # it went on; noise from other rays
    record = json.loads((folder / "config.json").read_text())
    assert record["config"]["field"]["width"] == 16  # came with the parameters
    assert str(run_dir) not in record["init_from"]
    ended = call(*[flag for flag in train if "init_from" not in flag], *TINY, "--steps=2")
    assert ended.status == 1
    assert "init_from was 'parameters with the checksum" in ended.err


def test_a_run_goes_on_in_the_other_backend_without_a_jump(trained, backend, scene, tmp_path):
    """Optimiser, step, learning rate and key go along, so rays and losses are the same."""
    whole, half, rest = (tmp_path / name for name in ("whole", "half", "rest"))
    settings = ("--steps=12", "--lr=1e-3", "--frames=0", "--eval_every=3")
    call_well(*train_flags(scene, backend, *settings, f"--run_dir={whole}"))
    stop = (f"--run_dir={half}", "--stop_at=6")
    assert "stopped at step 6 of 12" in call_well(*train_flags(scene, backend, *settings, *stop))
    before = contents(half)
    go_on = (f"--init_from={half}", f"--run_dir={rest}", f"--scene={scene}", "--eval_every=3")
    train = ("--mode=train", f"--backend={other(backend)}", "--frames=0", *go_on)
    assert f"going on from {half} at step 6 of 12" in call_well(*train)
    assert contents(half) == before
    # Where the weights are small, the gradient through the fine samples magnifies rounding.
    for name, rel in (("loss", 1e-4), ("psnr", 1e-4), ("test_psnr", 1e-3), ("grad_norm", 0.05)):
        one, other_one = (
            {line["step"]: line[name] for line in readings(folder) if name in line}
            for folder in (whole, rest)
        )
        assert set(one) <= set(other_one)  # which also has the first step in the other backend
        assert {3, 6, 9, 12} <= set(one)
        for step in one:
            assert other_one[step] == pytest.approx(one[step], rel=rel)
    record = json.loads((rest / "config.json").read_text())
    assert (record["backend"], record["init_from"]) == (other(backend), "the run half")
    assert "nothing" not in call_well(*train)  # the same command again is content


def test_a_run_of_other_settings_is_not_gone_on_with(trained, backend, scene, tmp_path):
    run_dir = trained[backend][0]
    flags = (f"--init_from={run_dir}", f"--run_dir={tmp_path / 'run'}", f"--scene={scene}")
    ended = call("--mode=train", f"--backend={other(backend)}", *flags, "--rays=16")
    assert ended.status == 1
    assert "train.num_rays was 32 and is now 16" in ended.err
    assert f"--init_from={run_dir / 'params.safetensors'} to begin anew" in ended.err


def test_twice_half_a_run_equals_a_whole_one(trained, backend, scene, tmp_path):
    """Bit for bit, also where the run folder was moved in between."""
    flags = train_flags(scene, backend, "--frames=0", "--eval_every=2")
    call_well(*flags, f"--run_dir={tmp_path / 'here'}", "--stop_at=2")
    shutil.move(tmp_path / "here", tmp_path / "there")
    out = call_well(*flags, f"--run_dir={tmp_path / 'there'}")
    assert "going on at step 2 of 4" in out
    assert leaves(tmp_path / "there", backend) == leaves(trained[backend][0], backend)
    shown = ["step_0000002.png", "step_0000004.png"]
    assert sorted(path.name for path in (tmp_path / "there" / "progress").iterdir()) == shown
    with Image.open(tmp_path / "there" / "contact_sheet.png") as sheet:
        assert sheet.size[0] > 3 * 480  # two pictures and the truth


def test_noresume_puts_the_earlier_run_aside_whole(run_dir, backend, scene, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run_dir, folder)
    before = {name: content for name, content in contents(folder).items() if name != ".lock"}
    flags = train_flags(scene, backend, "--frames=0", f"--run_dir={folder}", "--rays=16")
    out = call_well(*flags, "--noresume")
    assert f"the training before is now in {folder / 'replaced-1'}" in out
    assert contents(folder / "replaced-1") == before
    assert json.loads((folder / "config.json").read_text())["config"]["train"]["num_rays"] == 16
    call_well(*flags, "--noresume")
    assert (folder / "replaced-2").is_dir()
    assert contents(folder / "replaced-1") == before


def test_a_second_process_is_kept_out_of_a_run_folder(run_dir, scene, backend, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run_dir, folder)
    before = contents(folder)
    with run_folder.locked(folder):
        for flags in (train_flags(scene, backend, "--steps=9"), (f"--scene={scene}", "--frames=0")):
            ended = run_process(*flags, f"--run_dir={folder}", cwd=tmp_path)
            assert ended.status == 1
            assert ended.err.startswith(f"error: another process is using the run folder {folder}")
            assert ended.err.count("\n") == 1
    assert contents(folder) == before


COLLAPSE = ("--set=train.learning_rate=1e38", "--set=train.final_learning_rate=1e38")


def test_a_collapse_stops_with_advice(scene, backend, tmp_path):
    flags = train_flags(scene, backend, "--frames=0", f"--run_dir={tmp_path / 'run'}", *COLLAPSE)
    ended = call(*flags, "--save_every=100")
    assert ended.status == 1
    last = ended.err.splitlines()[-1]
    assert last.startswith("error: training collapsed, as noticed at step")
    for part in ("not finite", "--lr", "--on_collapse=restart", "--noresume"):
        assert part in last


def test_a_collapse_restarts_from_other_keys_until_it_gives_up(scene, backend, tmp_path):
    folder = tmp_path / "run"
    flags = train_flags(scene, backend, "--frames=0", f"--run_dir={folder}", *COLLAPSE)
    ended = call(*flags, "--save_every=100", "--on_collapse=restart")
    assert ended.status == 1
    assert "(also after 5 restarts)" in ended.err
    attempts = sorted(path for path in folder.iterdir() if path.name.startswith("collapsed-"))
    assert [path.name for path in attempts] == [f"collapsed-{n}" for n in range(1, 6)]
    losses = {readings(path)[0]["loss"] for path in attempts}
    assert len(losses) == 5
    assert json.loads((folder / "config.json").read_text())["restarts"] == 5


def test_a_restart_that_is_well_goes_to_the_end(scene, backend, tmp_path, monkeypatch):
    checks = []

    def collapse_once(seen, step):
        checks.append(step)
        if len(checks) == 2:
            raise health.TrainingCollapsed("transparent", step, "training collapsed")

    monkeypatch.setattr(health, "check", collapse_once)
    folder = tmp_path / "run"
    flags = train_flags(scene, backend, "--frames=0", f"--run_dir={folder}", "--save_every=2")
    out = call_well(*flags, "--on_collapse=restart")
    assert "Beginning again from another key, restart 1 of 5" in out
    assert [line["step"] for line in readings(folder)] == [1, 2, 3, 4]
    assert [line["step"] for line in readings(folder / "collapsed-1")] == [1]
    assert (folder / "collapsed-1" / "checkpoints" / "1").is_dir()
    assert scores(folder)["step"] == 4


def test_tensorboard_gets_the_readings_and_the_pictures(scene, tmp_path):
    folder = tmp_path / "run"
    flags = train_flags(scene, "flax", "--frames=0", f"--run_dir={folder}", "--eval_every=2")
    call_well(*flags, "--tensorboard")
    (file,) = (folder / "tensorboard").iterdir()
    content = file.read_bytes()
    for name in (b"loss", b"psnr", b"test_psnr", b"test_ssim", b"view_0"):
        assert name in content


def test_going_on_to_more_steps_keeps_one_line_a_step(trained, scene, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained["flax"][0], folder)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "loss": 1.0}\n{"step": 8, "lo')  # a run that was killed
    call_well(*train_flags(scene, "flax", f"--run_dir={folder}", "--frames=0"), "--steps=10")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 4, 5, 10]
    assert scores(folder)["step"] == 10


@pytest.mark.parametrize(
    ("flags", "differences"),
    [
        (["--rays=16"], ["train.num_rays was 32 and is now 16"]),
        (
            ["--seed=3", "--lr=1e-3"],
            ["seed was 0 and is now 3", "train.learning_rate was 0.0002 and is now 0.001"],
        ),
        (["--precision=bfloat16"], ["precision was 'float32' and is now 'bfloat16'"]),
        (["--backend=haiku"], ["backend was 'flax' and is now 'haiku'"]),
        (["--set=field.width=32"], ["field.width was 16 and is now 32"]),
    ],
)
def test_going_on_with_other_settings_is_refused(trained, scene, flags, differences):
    folder = trained["flax"][0]
    before = contents(folder)
    ended = call(*train_flags(scene, "flax", f"--run_dir={folder}"), *flags)
    assert ended.status == 1
    assert ended.err.count("\n") == 1
    for difference in differences:
        assert difference in ended.err
    assert contents(folder) == before


# True processes.


def test_help_lists_the_flags_and_ends_well(tmp_path):
    ended = run_process("--help", cwd=tmp_path)
    assert ended.status == 0
    assert "--backend:" in ended.out
    assert "--init_from:" in ended.out
    assert ended.err == ""


def test_an_unknown_flag_ends_with_one_sentence(tmp_path):
    ended = run_process("--step=3", cwd=tmp_path)
    assert ended.status == 1
    assert ended.out == ""
    assert ended.err.startswith("error: Unknown command line flag 'step'")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_step_and_says_how_to_go_on(scene, tmp_path, number):
    flags = train_flags(scene, "flax", "--run_dir=run", "--frames=0")
    process = start(*flags, "--steps=1000000", "--save_every=1000", cwd=tmp_path)
    log = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 100
    while not (log.is_file() and log.read_text().count("\n") >= 4):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert "Traceback" not in err + out
    last = err.splitlines()[-1]
    assert last.startswith("stopped: the last step is saved; to go on: python -m nerf.main --mode")
    assert "--steps=1000000" in last
    assert not re.search(r"^[IW]\d{4} ", err, re.MULTILINE)  # nobody else's log lines
    saved = parameters.load(tmp_path / "run", "flax").header.step
    reached = readings(tmp_path / "run")[-1]["step"]
    assert saved >= reached
    out = call_well(*flags, f"--run_dir={tmp_path / 'run'}", f"--steps={saved + 2}")
    assert f"going on at step {saved} of" in out
    assert scores(tmp_path / "run")["step"] == saved + 2


@pytest.mark.parametrize(
    ("kilobytes", "what"), [(300, "the state of step 2"), (100, "the parameters of step 2")]
)
def test_a_full_disk_ends_with_one_sentence_and_room_lets_it_go_on(
    scene, tmp_path, kilobytes, what
):
    """No file may grow beyond a limit: what a full disk looks like to the program."""
    flags = train_flags(scene, "flax", "--run_dir=run", "--frames=0", "--set=field.width=128")
    command = shlex.join([sys.executable, "-m", "nerf.main", *flags, "--save_every=4"])
    process = start_shell(f"ulimit -f {kilobytes}; exec {command}", cwd=tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert "Traceback" not in err + out
    last = err.splitlines()[-1]
    assert last.startswith(f"error: {what} could not be saved in")
    assert "make room, then the same command goes on" in last
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
    call_well(*flags, f"--run_dir={tmp_path / 'run'}")
    assert scores(tmp_path / "run")["step"] == 4
