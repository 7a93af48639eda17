"""`--mode=export`: a run folder is all it needs."""

import json

import numpy as np
import pytest

from tests.support.command_line import assert_is_one_sentence, call, call_successfully, contents

pytestmark = pytest.mark.slow


def test_depth_maps_and_poses_are_in_the_capture_s_frame(trained, scene, tmp_path):
    run_dir, _ = trained["flax"]
    before = contents(run_dir)
    call_successfully(
        "--mode=export", f"--run_dir={run_dir}", "--export=depth", f"--out={tmp_path}"
    )
    cameras = json.loads((tmp_path / "depth" / "depth_cameras.json").read_text())
    rows = np.load(scene / "poses_bounds.npy")[:, :15].reshape(-1, 3, 5)
    found = np.array([frame["transform_matrix"] for frame in cameras["frames"]])
    np.testing.assert_allclose(found[:, :3, 3], rows[:, :, 3], atol=1e-4)
    record = json.loads((tmp_path / "export.json").read_text())["files"]["depth"]
    assert record["frame"] == "capture"
    assert (tmp_path / "depth" / "image000.png").is_file()
    depth = np.load(tmp_path / "depth" / "image000.npz")["depth"]
    assert depth.dtype == np.float32
    assert contents(run_dir) == before


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--export=mesh,texture"], "--export is one or more of mesh, points, depth"),
        (["--mesh_format=stl"], "--mesh_format is one or more of ply, glb, obj"),
        (["--field=planes"], "leave out --field"),
        (["--preset=paper"], "holds the preset 'notebook': leave out --preset"),
        (["--steps=3"], "--mode=export does not use --steps"),
        (["--export=depth", "--mesh_faces=500"], "--export=depth has no use for --mesh_faces"),
        (["--export="], "--export is one or more of mesh, points, depth"),
        (
            ["--export=mesh", "--out={file}"],
            "is a file, and a folder is written: name a folder",
        ),
        (["--scene=procedural:room@12x9"], "holds a training run on scene"),
    ],
)
def test_what_cannot_be_written_is_refused(flags, reason, trained, tmp_path):
    run_dir, _ = trained["flax"]
    (tmp_path / "file").write_text("mine")
    flags = [flag.format(file=tmp_path / "file") for flag in flags]
    ended = call("--mode=export", f"--run_dir={run_dir}", f"--out={tmp_path}", *flags)
    assert_is_one_sentence(ended, reason)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_run_folder_that_is_not_there_is_not_made(scene, tmp_path):
    ended = call("--mode=export", f"--scene={scene}", f"--run_dir={tmp_path / 'run'}")
    assert_is_one_sentence(ended, "holds no training run with checkpoints")
    assert not (tmp_path / "run").exists()
