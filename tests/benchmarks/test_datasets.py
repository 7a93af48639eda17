"""A whole data set, in a short form: every scene has its row, and what is complete stays."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

import nerf
from benchmarks import dataset_table, datasets, published, suites
from nerf.runtime.events import ignore_event
from nerf.runtime.interrupts import Interrupted
from tests.support.captures import orbit_poses, transforms, write_images
from tests.support.command_line import (
    SMALL_PLANES,
    assert_is_one_sentence,
    call_benchmark,
    contents,
    write_scene,
)

QUICK = (*SMALL_PLANES, "--steps=2")


def measure(data, out, *flags):
    return call_benchmark(
        datasets, "--suite=llff", f"--data={data}", f"--out={out}", *QUICK, *flags
    )


def read(out):
    return json.loads(out.read_text())


def write_blender(folder, *parts):
    """A transparent capture with the files of these parts, two views each."""
    for part in parts:
        names = [f"{part}/r_{i}.png" for i in range(2)]
        write_images(folder, names, size=(16, 12), channels=4)
        content = transforms(orbit_poses(2), names, w=16, h=12)
        (folder / f"transforms_{part}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two scenes of LLFF, one of them with a published name, and a folder that is none."""
    folder = tmp_path_factory.mktemp("llff")
    write_scene(folder / "fern", num_views=9)
    write_scene(folder / "meadow", num_views=9)
    (folder / "horns").mkdir()
    (folder / ".hidden").mkdir()
    return folder


@pytest.fixture(scope="module")
def measured(data, tmp_path_factory):
    """The file of results of both scenes with two seeds, and how the command ended."""
    out = tmp_path_factory.mktemp("out") / "table.json"
    return out, measure(data, out, "--seeds=0,1")


def test_every_scene_and_seed_has_its_figures(measured):
    out, _ = measured
    result = read(out)
    scored = [run for run in result["runs"] if run["state"] == "scored"]
    assert [(run["scene"], run["seed"]) for run in scored] == [
        *(("fern", 0), ("fern", 1)),
        *(("meadow", 0), ("meadow", 1)),
    ]
    for run in scored:
        folder = out.parent / "table" / f"{run['scene']}-seed{run['seed']}"
        evaluated = read(folder / "eval.json")
        assert (run["psnr"], run["ssim"]) == (evaluated["psnr"], evaluated["ssim"])
        assert evaluated["split"]["test"] == [0, 8]  # every 8th view, as the papers do
        assert (run["steps"], run["rays"], run["resolution"]) == (2, 128, [12, 16])
        assert run["rays_per_second"] == pytest.approx(128 / run["train_seconds"])
        assert run["machine"]["versions"]["nerf"] == nerf.__version__
    assert scored[0]["psnr"] != scored[1]["psnr"]
    assert result["mean"]["num_scenes"] == 2
    assert result["processor"]


def test_a_scene_that_cannot_be_read_is_a_row_and_the_status(measured):
    out, ended = measured
    (failed,) = [run for run in read(out)["runs"] if run["state"] == "failed"]
    assert (failed["scene"], failed["seed"]) == ("horns", None)
    assert "poses_bounds.npy" in failed["error"]
    assert f"| horns | {failed['error']} |" in out.with_suffix(".md").read_text()
    assert ended.status == 1
    assert ended.err.endswith("see the table: horns failed\n")


def test_the_table_has_published_figures_of_the_scenes_that_are_known(measured):
    out, ended = measured
    table = out.with_suffix(".md").read_text()
    assert table in ended.out
    fern = read(out)["scenes"][0]
    psnr, ssim = fern["psnr"], fern["ssim"]
    assert (
        f"| fern | 16x12 | 7 + 2 | 2 | {psnr['mean']:.2f} ± {psnr['sd']:.2f} | "
        f"{ssim['mean']:.4f} ± {ssim['sd']:.4f} | "
    ) in table
    ours = f"{psnr['mean']:.2f} / {ssim['mean']:.3f}"
    assert f"| fern | {ours} | 25.17 | 24.83 | 25.19 / 0.805 | 24.91 / 0.808 | 25.27 / " in table
    assert f"| mean of 1 | {ours} | 25.17 | " in table
    assert "published scores are of 1008x756: fern." in table
    assert "nerf-factory, docs/performance" in table


def test_what_is_complete_is_not_run_again_and_what_failed_is(measured, data, tmp_path):
    """The table is moved with its run folders, so that the others keep theirs."""
    out, _ = measured
    moved = tmp_path / "moved.json"
    moved.write_bytes(out.read_bytes())
    runs = out.with_suffix("")
    before = contents(runs)
    (out.parent / "table").rename(tmp_path / "moved")
    try:
        ended = measure(data, moved, "--seeds=0,1")
        after = contents(tmp_path / "moved")
    finally:
        (tmp_path / "moved").rename(runs)
    assert ended.out.count("complete\n") == 2
    assert before == after
    assert read(moved)["runs"] == read(out)["runs"]
    assert ended.status == 1


def test_other_settings_are_refused(measured, data):
    out, _ = measured
    before = out.read_bytes()
    ended = measure(data, out, "--set=field.width=4")
    assert_is_one_sentence(ended, "holds results of other settings: set was ")
    assert out.read_bytes() == before


def test_training_that_is_done_is_only_scored(data, tmp_path, monkeypatch):
    """The command is stopped while it scores, and started again."""
    out = tmp_path / "table.json"

    def stop(*_, **__):
        raise Interrupted(signal.SIGINT, "stopped")

    with monkeypatch.context() as patch:
        patch.setattr(nerf, "evaluate", stop)
        ended = measure(data, out, "--scene=fern")
    assert ended.status == 128 + signal.SIGINT
    assert "to resume: python -m benchmarks.datasets --suite=llff " in ended.err
    assert [run["state"] for run in read(out)["runs"]] == ["trained"]
    monkeypatch.setattr(nerf, "train", stop)
    assert measure(data, out, "--scene=fern").status == 0
    assert [run["state"] for run in read(out)["runs"]] == ["scored"]


@pytest.mark.slow
def test_a_command_that_is_killed_after_the_first_scene_continues_with_the_second(data, tmp_path):
    """In the end the scores are those of a command that nobody disturbed."""
    out, undisturbed = tmp_path / "table.json", tmp_path / "undisturbed.json"
    flags = ("--scene=fern,meadow", "--set=train.warmup_steps=1")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.datasets", "--suite=llff", f"--data={data}"),
            *(f"--out={out}", *QUICK, *flags),
        ],
        env=os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not out.exists() or not [r for r in read(out)["runs"] if r["state"] == "scored"]:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    first = contents(tmp_path / "table" / "fern-seed0")
    assert len(read(out)["runs"]) == 1
    assert measure(data, out, *flags).status == 0
    assert contents(tmp_path / "table" / "fern-seed0") == first
    assert measure(data, undisturbed, *flags).status == 0
    scores, expected = (
        {run["scene"]: run["psnr"] for run in read(path)["runs"]} for path in (out, undisturbed)
    )
    assert scores == pytest.approx(expected, abs=1e-3)


def test_blender_has_the_views_of_its_files_on_white(tmp_path):
    scene = suites.SUITES["blender"].load(write_blender(tmp_path, "train", "test"), ignore_event)
    assert scene.background == "white"
    assert (scene.given_split.train, scene.given_split.test) == ((0, 1), (2, 3))


def test_blender_without_test_views_is_refused(tmp_path):
    with pytest.raises(nerf.UserError, match=r"has no test views: put transforms_test\.json"):
        suites.SUITES["blender"].load(write_blender(tmp_path, "train", "val"), ignore_event)


def test_llff_is_read_at_a_quarter_of_the_originals(tmp_path):
    """`images_4`, also where there are smaller ones; only without it the originals."""
    folder = write_scene(tmp_path / "fern", num_views=9)
    for factor in (2, 4):
        (folder / f"images_{factor}").mkdir()
        for file in (folder / "images").iterdir():
            with Image.open(file) as image:
                small = image.resize((image.width // factor, image.height // factor))
            small.save(folder / f"images_{factor}" / file.name)
    load = suites.SUITES["llff"].load
    assert load(folder, ignore_event).images.stack().shape == (9, 3, 4, 3)
    (folder / "images_4").rename(folder / "unused")
    assert load(folder, ignore_event).images.stack().shape == (9, 12, 16, 3)


def test_any_folder_of_captures_is_a_suite(tmp_path):
    data = tmp_path / "mine"
    write_blender(data / "chair", "train", "test")
    out = tmp_path / "table.json"
    ended = call_benchmark(datasets, f"--suite={data}", f"--out={out}", *QUICK)
    assert ended.status == 0, ended.err
    ((chair,),) = [read(out)["scenes"]]
    assert (chair["scene"], chair["num_views"]) == ("chair", {"train": 2, "test": 2})
    assert "Beside published scores" not in out.with_suffix(".md").read_text()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ([], "--suite is missing: name one of llff, blender, or a folder of captures"),
        (["--suite=llff"], "--suite=llff needs --data, the folder that holds its scenes"),
        (["--suite=./nowhere"], "nowhere is not a folder"),
        (
            ["--suite=.", "--data=."],
            "--data is for the suites llff, blender; --suite=. is a folder",
        ),
        (["--suite=llff", "--data=DATA/fern"], "fern is one scene: name the folder that holds"),
        (["--suite=DATA/.hidden"], ".hidden holds no folders"),
        (["--suite=DATA", "--scene=trex"], "has no folder trex: there is fern, horns, meadow"),
        (["--suite=llff", "--data=DATA", "--set=train.holdout=4"], "means train.holdout=8: leave"),
        (
            ["--suite=DATA", "--set=train.holdouts=4"],
            "--set=train.holdouts=4: no setting 'holdouts'",
        ),
        (["--suite=DATA", "--preset=quick"], "preset 'quick' is for the field 'mlp'"),
        (["--suite=DATA", "--backend=torch"], "unknown backend 'torch'"),
        (["--suite=DATA", "--seeds=-1"], "'-1' is not"),
        (["--suite=DATA", "--train_seconds=nan"], "train_seconds=nan: must be finite"),
        (["--suite=DATA", "--out=table.md"], "--out=table.md: name a .json file"),
    ],
)
def test_a_mistake_is_named(flags, reason, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = [flag.replace("DATA", str(data)) for flag in flags]
    ended = call_benchmark(datasets, *flags, "--steps=1")  # few, in case it is not refused
    assert_is_one_sentence(ended, reason)
    assert not list(tmp_path.iterdir())


def scored(scene, seed, psnr):
    figures = dict.fromkeys(("ssim", "train_seconds", "steps", "rays", "rays_per_second"), 1.0)
    views = {"train": 7, "test": 1}
    labels = {"scene": scene, "seed": seed, "state": "scored", "resolution": [3, 4]}
    return {**labels, "num_views": views, "psnr": psnr, **figures}


def test_means_and_spread_are_those_of_the_seeds():
    runs = [scored("a", 0, 20.0), scored("a", 1, 24.0), scored("b", 0, 30.0), scored("b", 1, 31.0)]
    summary = dataset_table.summary(runs)
    first, second = (scene["psnr"] for scene in summary["scenes"])
    assert first == {"mean": 22.0, "sd": pytest.approx(8**0.5)}
    assert second == {"mean": 30.5, "sd": pytest.approx(0.5**0.5)}
    # The seeds' means over both scenes are 25 and 27.5.
    assert summary["mean"]["psnr"] == {"mean": 26.25, "sd": pytest.approx(3.125**0.5)}
    assert dataset_table.summary(runs[:1])["mean"]["psnr"] == {"mean": 20.0, "sd": None}
    infinite = dataset_table.summary([*runs, scored("b", 2, None)])
    assert infinite["scenes"][1]["psnr"] == {"mean": None, "sd": None}
    assert infinite["mean"]["psnr"]["mean"] is None
    assert dataset_table.summary([]) == {"scenes": [], "mean": {}}


def test_a_run_takes_the_place_of_an_earlier_one_and_of_the_failure_of_its_scene():
    failed = {"scene": "a", "seed": None, "state": "failed", "error": "none"}
    runs = dataset_table.with_run([scored("b", 0, 1.0)], failed)
    assert [(run["scene"], run["seed"]) for run in runs] == [("a", None), ("b", 0)]
    runs = dataset_table.with_run(dataset_table.with_run(runs, scored("a", 1, 2.0)), failed)
    runs = dataset_table.with_run(runs, scored("a", 1, 3.0))
    assert runs == [scored("a", 1, 3.0), scored("b", 0, 1.0)]


@pytest.mark.parametrize(
    ("methods", "means"),
    [(published.LLFF[:2], (26.50, 26.84)), (published.BLENDER[:2], (31.01, 31.69))],
)
def test_published_scores_have_the_mean_that_is_published_with_them(methods, means):
    for method, mean in zip(methods, means, strict=True):
        psnr = [scores.psnr for scores in method.scores.values()]
        assert len(psnr) == 8
        assert sum(psnr) / 8 == pytest.approx(mean, abs=0.006)
