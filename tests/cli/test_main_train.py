"""The command line trains on: going on, beginning anew, collapse, other settings."""

import json
import shutil

import pytest
from PIL import Image

from nerf.runs import run_folder
from nerf.training import health
from tests.support.command_line import (
    TINY,
    call,
    call_successfully,
    contents,
    leaves,
    readings,
    run_process,
    scores,
    train_flags,
)
from tests.support.fields import other

pytestmark = pytest.mark.slow


def test_the_same_command_again_finds_nothing_left_to_train(run_dir, backend, scene, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run_dir, folder)
    before = contents(folder)
    out = call_successfully(*train_flags(scene, backend, f"--run_dir={folder}"))
    assert "resuming at step 4 of 4" in out
    after = contents(folder)
    for name in ("config.json", "metrics.jsonl", "params.safetensors", "eval.json"):
        assert after[name] == before[name], name


def test_training_begins_anew_from_the_other_backends_parameters(run_dir, backend, scene, tmp_path):
    folder = tmp_path / "run"
    params = run_dir / "params.safetensors"
    begin = (f"--init_from={params}", f"--run_dir={folder}", f"--backend={other(backend)}")
    train = ("--mode=train", f"--scene={scene}", "--video_frames=0", *begin)
    call_successfully(*train, "--steps=0")
    assert leaves(folder, backend) == leaves(run_dir, backend)
    call_successfully(*train, "--steps=2", "--set=train.num_rays=16")
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


def test_a_run_resumes_in_the_other_backend_without_a_jump(
    trained, backend, scene, tmp_path, unoptimised_compilation
):
    """Optimiser, step, learning rate and key go along, so rays and losses are the same."""
    whole, half, rest = (tmp_path / name for name in ("whole", "half", "rest"))
    settings = ("--steps=12", "--lr=1e-3", "--video_frames=0", "--eval_every=3")
    call_successfully(*train_flags(scene, backend, *settings, f"--run_dir={whole}"))
    stop = (f"--run_dir={half}", "--stop_at=6")
    assert "stopped at step 6 of 12" in call_successfully(
        *train_flags(scene, backend, *settings, *stop)
    )
    before = contents(half)
    go_on = (f"--init_from={half}", f"--run_dir={rest}", f"--scene={scene}", "--eval_every=3")
    train = ("--mode=train", f"--backend={other(backend)}", "--video_frames=0", *go_on)
    assert f"resuming from {half} at step 6 of 12" in call_successfully(*train)
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
    assert "nothing" not in call_successfully(*train)  # the same command again is content


def test_a_run_of_other_settings_is_not_resumed(trained, backend, scene, tmp_path):
    run_dir = trained[backend][0]
    flags = (f"--init_from={run_dir}", f"--run_dir={tmp_path / 'run'}", f"--scene={scene}")
    ended = call("--mode=train", f"--backend={other(backend)}", *flags, "--set=train.num_rays=16")
    assert ended.status == 1
    assert "train.num_rays was 32 and is now 16" in ended.err
    assert f"--init_from={run_dir / 'params.safetensors'} to start anew" in ended.err


def test_twice_half_a_run_equals_a_whole_one(trained, backend, scene, tmp_path):
    """Bit for bit, also where the run folder was moved in between."""
    flags = train_flags(scene, backend, "--video_frames=0", "--eval_every=2")
    call_successfully(*flags, f"--run_dir={tmp_path / 'here'}", "--stop_at=2")
    shutil.move(tmp_path / "here", tmp_path / "there")
    out = call_successfully(*flags, f"--run_dir={tmp_path / 'there'}")
    assert "resuming at step 2 of 4" in out
    assert leaves(tmp_path / "there", backend) == leaves(trained[backend][0], backend)
    shown = ["step_0000002.png", "step_0000004.png"]
    assert sorted(path.name for path in (tmp_path / "there" / "progress").iterdir()) == shown
    with Image.open(tmp_path / "there" / "contact_sheet.png") as sheet:
        assert sheet.size[0] > 3 * 480  # two images and the truth


def test_noresume_puts_the_earlier_run_aside_whole(run_dir, backend, scene, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run_dir, folder)
    before = {name: content for name, content in contents(folder).items() if name != ".lock"}
    flags = train_flags(
        scene, backend, "--video_frames=0", f"--run_dir={folder}", "--set=train.num_rays=16"
    )
    out = call_successfully(*flags, "--noresume")
    assert f"the earlier training is now in {folder / 'replaced-1'}" in out
    assert contents(folder / "replaced-1") == before
    assert json.loads((folder / "config.json").read_text())["config"]["train"]["num_rays"] == 16
    call_successfully(*flags, "--noresume")
    assert (folder / "replaced-2").is_dir()
    assert contents(folder / "replaced-1") == before


def test_a_second_process_is_kept_out_of_a_run_folder(run_dir, scene, backend, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run_dir, folder)
    before = contents(folder)
    with run_folder.locked(folder):
        for flags in (
            train_flags(scene, backend, "--steps=9"),
            (f"--scene={scene}", "--video_frames=0"),
        ):
            ended = run_process(*flags, f"--run_dir={folder}", cwd=tmp_path)
            assert ended.status == 1
            assert ended.err.startswith(f"error: another process is using the run folder {folder}")
            assert ended.err.count("\n") == 1
    assert contents(folder) == before


COLLAPSE = ("--set=train.learning_rate=1e38", "--set=train.final_learning_rate=1e38")


def test_a_collapse_stops_with_advice(scene, backend, tmp_path):
    flags = train_flags(
        scene, backend, "--video_frames=0", f"--run_dir={tmp_path / 'run'}", *COLLAPSE
    )
    ended = call(*flags, "--save_every=100")
    assert ended.status == 1
    last = ended.err.splitlines()[-1]
    assert last.startswith("error: training collapsed, as noticed at step")
    for part in ("not finite", "--lr", "--on_collapse=restart", "--noresume"):
        assert part in last


def test_a_collapse_restarts_from_other_keys_until_it_gives_up(scene, backend, tmp_path):
    folder = tmp_path / "run"
    flags = train_flags(scene, backend, "--video_frames=0", f"--run_dir={folder}", *COLLAPSE)
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

    def collapse_once(state, step):
        checks.append(step)
        if len(checks) == 2:
            raise health.TrainingCollapsed("transparent", step, "training collapsed")

    monkeypatch.setattr(health, "check", collapse_once)
    folder = tmp_path / "run"
    flags = train_flags(scene, backend, "--video_frames=0", f"--run_dir={folder}", "--save_every=2")
    out = call_successfully(*flags, "--on_collapse=restart")
    assert "Restarting from another key, restart 1 of 5" in out
    assert [line["step"] for line in readings(folder)] == [1, 2, 3, 4]
    assert [line["step"] for line in readings(folder / "collapsed-1")] == [1]
    assert (folder / "collapsed-1" / "checkpoints" / "1").is_dir()
    assert scores(folder)["step"] == 4


def test_tensorboard_gets_the_readings_and_the_images(scene, tmp_path):
    folder = tmp_path / "run"
    flags = train_flags(scene, "flax", "--video_frames=0", f"--run_dir={folder}", "--eval_every=2")
    call_successfully(*flags, "--tensorboard")
    (file,) = (folder / "tensorboard").iterdir()
    content = file.read_bytes()
    for name in (b"loss", b"psnr", b"test_psnr", b"test_ssim", b"view_0"):
        assert name in content


def test_resuming_to_more_steps_keeps_one_line_a_step(trained, scene, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained["flax"][0], folder)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "loss": 1.0}\n{"step": 8, "lo')  # a run that was killed
    call_successfully(
        *train_flags(scene, "flax", f"--run_dir={folder}", "--video_frames=0"), "--steps=10"
    )
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 4, 5, 10]
    assert scores(folder)["step"] == 10


@pytest.mark.parametrize(
    ("flags", "differences"),
    [
        (["--set=train.num_rays=16"], ["train.num_rays was 32 and is now 16"]),
        (
            ["--seed=3", "--lr=1e-3"],
            ["seed was 0 and is now 3", "train.learning_rate was 0.0002 and is now 0.001"],
        ),
        (["--precision=bfloat16"], ["precision was 'float32' and is now 'bfloat16'"]),
        (["--backend=haiku"], ["backend was 'flax' and is now 'haiku'"]),
        (["--set=field.width=32"], ["field.width was 16 and is now 32"]),
    ],
)
def test_resuming_with_other_settings_is_refused(trained, scene, flags, differences):
    folder = trained["flax"][0]
    before = contents(folder)
    ended = call(*train_flags(scene, "flax", f"--run_dir={folder}"), *flags)
    assert ended.status == 1
    assert ended.err.count("\n") == 1
    for difference in differences:
        assert difference in ended.err
    assert contents(folder) == before
