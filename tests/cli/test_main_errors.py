"""Mistakes on the command line: one sentence, a status, and nothing that was there is touched."""

import json
import pickle
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.support.command_line import (
    TINY,
    TINY_FIELD,
    TINY_RENDERED,
    call,
    call_successfully,
    contents,
    run_process,
    write_scene,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(scene, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    call_successfully(*_train(scene, folder), "--steps=2")
    return folder


@pytest.fixture
def published(trained, tmp_path):
    folder = tmp_path / "params"
    call_successfully(
        "--mode=convert", "--backend=haiku", f"--init_from={trained}", f"--out={folder}"
    )
    return folder


@pytest.fixture
def bad_scene(scene, tmp_path):
    return shutil.copytree(scene, tmp_path / "meadow")


def refused(*arguments, untouched=None):
    """The one sentence that a run ends with, which must leave the folder `untouched` as it was."""
    before = contents(untouched) if untouched else None
    ended = call(*arguments)
    assert ended.status == 1, ended
    assert re.fullmatch(r"error: \S.*\S\n", ended.err), ended.err
    assert "Traceback" not in ended.out
    if untouched:
        assert contents(untouched) == before
    return ended.err


# Flags.


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--backend=torch"], "unknown backend 'torch': choose one of flax, haiku"),
        (["--field=grid"], "has no field 'grid': choose one of mlp"),
        (["--scene=nowhere"], "no scene 'nowhere'"),
        (["--scene=procedural:nowhere"], "no bundled scene 'nowhere'"),
        (["--scene="], "names no scene"),
        (["--scene=./nowhere"], "nowhere is not a folder"),
        (["--preset=book"], "unknown preset 'book': choose one of notebook, paper"),
        (
            ["--mode=tain"],
            "--mode=tain: value should be one of <evaluate|train|render|convert|export>",
        ),
        (["--precision=half"], "--precision=half: value should be one of <float32|tf32|bfloat16>"),
        (
            ["--camera_path=loop"],
            "no camera path 'loop': choose one of interpolate, orbit, spiral, training, test",
        ),
        (["--steps=-1"], "--steps=-1: -1 is not an integer in the range [0,"),
        (
            ["--steps=99999999999"],
            "--steps=99999999999: 99999999999 is not an integer in",
        ),
        (["--steps=abc"], "--steps=abc"),
        (["--steps="], "--steps="),
        (["--video_size=12"], "--video_size=12: write it as WIDTHxHEIGHT"),
        (["--video_size=0x5"], "--video_size=0x5: write it as WIDTHxHEIGHT"),
        (["--video_size=-4x5"], "--video_size=-4x5: write it as WIDTHxHEIGHT"),
        (["--video_size=4x5x6"], "write it as WIDTHxHEIGHT"),
        (["--video_size=²x5"], "write it as WIDTHxHEIGHT"),
        (["--video_size=99999x99999"], "a frame has at most"),
        (["--rays=0"], "--rays=0: 0 is not an integer in the range [1,"),
        (
            ["--rays=99999999999"],
            "--rays=99999999999: 99999999999 is not an integer in",
        ),
        (
            ["--rays_per_microbatch=0"],
            "--rays_per_microbatch=0: 0 is not an integer in",
        ),
        (["--steps_per_call=0"], "--steps_per_call=0: 0 is not an integer in the range [1,"),
        (["--lr=-1"], "--lr=-1.0: must be finite and more than 0"),
        (["--lr=0"], "--lr=0.0: must be finite and more than 0"),
        (["--lr=nan"], "--lr=nan: must be finite and more than 0"),
        (["--lr=inf"], "--lr=inf: must be finite and more than 0"),
        (["--train_seconds=-1"], "--train_seconds=-1.0: must be finite and more than 0"),
        (["--save_every=0"], "--save_every=0: 0 is not an integer in the range [1,"),
        (["--video_frames=-1"], "--video_frames=-1: -1 is not an integer in the range [0,"),
        (["--seed=-1"], "--seed=-1: -1 is not an integer in the range [0,"),
        (["--factor=0"], "--factor=0: 0 is not an integer in the range [1,"),
        (["--near=nan"], "--near=nan: must be finite and more than 0"),
        (["--far=inf"], "--far=inf: must be finite and more than 0"),
        (["--set=nonsense"], "--set=nonsense: write it as name=value"),
        (["--set=render.nonsense=1"], "no setting 'nonsense'; there are networks"),
        (["--set=render=1"], "name one setting"),
        (["--set=render.num_fine=abc"], "expected int, found 'abc'"),
        (["--set=render.num_fine=0"], "num_fine must be >= 1, not 0"),
        (["--set=render.networks=three"], "'three' is not one of shared, separate"),
        (["--set=render.last_interval=NaN"], "last_interval must be finite"),
        (["--set=train.holdout=1"], "holdout must be 0 or >= 2, not 1"),
        (["--set=preset=paper"], "no setting 'preset'"),
        (["--nosuch=1"], "Unknown command line flag 'nosuch'"),
        (["--frames=1"], "(it is --video_frames now)"),
        (["--debug=maybe"], "--debug=maybe"),
        (["--flagfile=nowhere"], "nowhere"),
        (["flower"], "unexpected argument 'flower'"),
    ],
)
def test_a_wrong_flag_is_named(flags, reason, scene, tmp_path):
    run_dir = tmp_path / "run"
    mode = [] if any("--mode" in flag for flag in flags) else ["--mode=train"]
    assert reason in refused(f"--scene={scene}", *mode, f"--run_dir={run_dir}", *flags)
    assert not run_dir.exists()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--mode=convert", "--init_from=x"], "needs --out"),
        (["--mode=convert", "--init_from=x", "--out="], "needs --out"),
        (["--mode=convert", "--out=x.safetensors"], "needs --init_from"),
        (["--mode=convert", "--init_from=none", "--out=x.safetensors"], "none gives no parameters"),
        (["--mode=convert", "--init_from=x", "--out=folder"], "add --backend=haiku"),
        (["--mode=convert", "--init_from=x", "--out=y.safetensors"], "no parameters at x"),
        (["--init_from=none"], "none gives no parameters"),
        (["--mode=render", "--init_from=none"], "none gives no parameters"),
        (["--mode=render", "--video_frames=0"], "--video_frames must be at least 1"),
        (["--init_from=x"], "no parameters at x: expected a run folder"),
        (["--init_from=."], "no parameters in .: looked for params.safetensors"),
        ([], "no pretrained parameters for scene 'meadow'"),
    ],
)
def test_flags_that_do_not_go_together_are_named(flags, reason, scene, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    where = [] if "--mode=convert" in flags else [f"--scene={scene}", "--run_dir=run"]
    assert reason in refused(*where, *flags)
    assert list(tmp_path.iterdir()) == []


# Scenes.


def _cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def _without_poses(folder):
    (folder / "poses_bounds.npy").unlink()
    return "which has 5 images and no poses"


def _fewer_images(folder):
    (folder / "images" / "image001.png").unlink()
    (folder / "images" / "image003.png").unlink()
    return "views 1 (image001), 3 (image003)"


def _no_images(folder):
    shutil.rmtree(folder / "images")
    return "no images or images_N folder in"


def _other_shape(folder):
    Image.new("RGB", (7, 9)).save(folder / "images" / "image002.png")
    return "image002.png is 7 x 9, which does not have the aspect ratio of its camera"


def _truncated_png(folder):
    _cut(folder / "images" / "image002.png", 90)
    return "image002.png"


def _nan_in_poses(folder):
    poses = np.load(folder / "poses_bounds.npy")
    poses[3, 5] = np.nan
    np.save(folder / "poses_bounds.npy", poses)
    return "view 3 (image003) contain NaN or infinity"


def _truncated_poses(folder):
    _cut(folder / "poses_bounds.npy", 200)
    return "cannot read"


@pytest.mark.parametrize(
    "spoil",
    [
        _without_poses,
        _fewer_images,
        _no_images,
        _other_shape,
        _truncated_png,
        _nan_in_poses,
        _truncated_poses,
    ],
)
def test_a_spoilt_scene_is_described(spoil, bad_scene, trained):
    reason = spoil(bad_scene)
    message = refused(f"--scene={bad_scene}", f"--run_dir={trained}", untouched=trained)
    assert reason in message


def test_a_scene_of_one_view_has_nothing_to_train_on(tmp_path, trained):
    lonely = write_scene(tmp_path / "lonely", num_views=1)
    run_dir = tmp_path / "run"
    message = refused("--mode=train", f"--scene={lonely}", *TINY, f"--run_dir={run_dir}")
    assert "no view to train on" in message
    assert not run_dir.exists()
    flags = (
        f"--scene={lonely}",
        f"--init_from={trained}",
        f"--run_dir={run_dir}",
        "--video_frames=1",
    )
    out = call_successfully(*flags, "--camera_path=interpolate")
    assert "note: the parameters were trained on scene meadow" in out
    assert json.loads((run_dir / "eval.json").read_text())["split"] == {"train": [], "test": [0]}


def test_another_scene_does_not_overwrite_a_trained_runs_scores(tmp_path, trained):
    lonely = write_scene(tmp_path / "lonely", num_views=2)
    message = refused(f"--scene={lonely}", f"--run_dir={trained}", untouched=trained)
    assert "holds a training run on scene meadow (photographs), not lonely" in message


# Parameters.


def test_truncated_arrays_are_refused(scene, published, trained, tmp_path):
    _cut(published / "arrays.npy", 1000)
    flags = (f"--scene={scene}", "--backend=haiku", f"--init_from={published}", *TINY_RENDERED)
    assert "arrays.npy breaks off" in refused(*flags, f"--run_dir={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()


class _Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_hostile_tree_is_refused_and_runs_nothing(scene, published, tmp_path):
    victim = tmp_path / "victim"
    (published / "tree.pkl").write_bytes(pickle.dumps(_Hostile(victim)))
    flags = (f"--scene={scene}", f"--init_from={published}", f"--run_dir={tmp_path / 'run'}")
    assert "tree.pkl was refused" in refused(*flags)
    assert not victim.exists()
    pickle.loads((published / "tree.pkl").read_bytes()).close()
    assert victim.exists()  # it would have


def test_parameters_of_another_width_are_refused_with_what_differs(scene, published, tmp_path):
    flags = (f"--scene={scene}", "--backend=haiku", f"--init_from={published}")
    small = ("--set=field.skip_layer=1", "--set=field.num_layers=3", "--set=field.rgb_width=8")
    message = refused(*flags, *small, "--set=field.width=32", f"--run_dir={tmp_path / 'run'}")
    assert "linear_relu_block/~/linear/w: 60x16 where 60x32 is needed" in message
    assert "shared/linear/b: " not in message  # one density, whatever the width
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("form", ["run folder", "published"])
def test_parameters_of_one_preset_do_not_pass_for_the_others(
    form, scene, trained, published, tmp_path
):
    start = trained if form == "run folder" else published
    flags = (f"--scene={scene}", f"--init_from={start}", f"--run_dir={tmp_path / 'run'}")
    message = refused(*flags, "--preset=paper", *TINY_FIELD)
    assert "preset 'notebook', not 'paper'" in message or "needs coarse, fine" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("size", [0, 7, 100, 3000])
def test_a_corrupt_file_is_refused(size, scene, trained, tmp_path):
    file = tmp_path / "cut.safetensors"
    shutil.copy(trained / "params.safetensors", file)
    _cut(file, size)
    flags = (f"--scene={scene}", f"--init_from={file}", f"--run_dir={tmp_path / 'run'}")
    assert "cut.safetensors is damaged or not a safetensors file" in refused(*flags)
    assert not (tmp_path / "run").exists()


def test_other_parameters_do_not_overwrite_a_trained_run(scene, trained, published):
    flags = (f"--scene={scene}", f"--init_from={published}", f"--run_dir={trained}", *TINY_RENDERED)
    assert "holds a training run" in refused(*flags, untouched=trained)


# Run folders.


def _train(scene, run_dir):
    return (
        "--mode=train",
        f"--scene={scene}",
        *TINY,
        "--steps=5",
        "--video_frames=0",
        f"--run_dir={run_dir}",
    )


@pytest.mark.parametrize("size", [0, 10])
def test_a_half_written_checkpoint_is_refused(size, scene, trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "run")
    for path in (folder / "checkpoints" / "2").rglob("*"):
        if path.is_file():
            _cut(path, size)
    message = refused(*_train(scene, folder), untouched=folder)
    assert "no training state can be read" in message
    assert "step 2: " in message
    assert "--noresume" in message
    call_successfully(
        f"--scene={scene}", f"--run_dir={folder}", "--video_frames=0"
    )  # its parameters are whole


@pytest.mark.parametrize("text", ["", '{"mode": "tra', "[]", "{}", '{"config": 3}'])
def test_a_corrupt_record_is_refused(text, scene, trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "run")
    (folder / "config.json").write_text(text)
    message = refused(*_train(scene, folder), untouched=folder)
    assert "config.json" in message
    assert "give another --run_dir" in message


@pytest.mark.parametrize("where", ["below a file", "a file", "/proc/nowhere/run"])
def test_a_run_folder_that_cannot_be_written_is_refused(where, scene, trained, tmp_path):
    file = tmp_path / "file"
    file.write_text("precious")
    run_dir = {"below a file": file / "run", "a file": file}.get(where, where)
    flags = (f"--scene={scene}", f"--init_from={trained}", f"--run_dir={run_dir}")
    assert "cannot be written" in refused(*flags)
    assert file.read_text() == "precious"


@pytest.mark.parametrize(
    "name", ["file/x.safetensors", "folder.safetensors", "/proc/x.safetensors", "file"]
)
def test_an_output_that_cannot_be_written_is_refused(name, trained, tmp_path):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder.safetensors").mkdir()
    before = sorted(tmp_path.rglob("*"))
    flags = ("--mode=convert", "--backend=haiku", f"--init_from={trained}")
    assert "cannot be read or written: " in refused(*flags, f"--out={tmp_path / name}")
    assert (tmp_path / "file").read_text() == "precious"
    assert sorted(tmp_path.rglob("*")) == before


def test_training_that_diverges_leaves_the_parameters_from_before(scene, trained, tmp_path):
    folder = tmp_path / "run"
    flags = (*_train(scene, folder), "--lr=1e38", "--set=train.clip_norm=0", "--save_every=100")
    ended = call(*flags, "--steps=3")
    assert ended.status == 1
    assert "not finite" in ended.err or "no longer finite" in ended.err
    assert ended.err.splitlines()[-1].startswith("error: ")
    assert not (folder / "params.safetensors").exists()
    assert not any((folder / "checkpoints").glob("[0-9]*"))


def test_a_process_ends_with_one_sentence_and_a_status(tmp_path):
    ended = run_process("--scene=./nowhere", cwd=tmp_path)
    assert ended.status == 1
    assert ended.out == ""
    assert ended.err.startswith("error: nowhere is not a folder")
    assert ended.err.count("\n") == 1
