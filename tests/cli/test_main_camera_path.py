"""--camera_path on the command line: files and training views; damage is said first."""

import json
import shutil

import imageio_ffmpeg
import numpy as np
import pytest

from nerf.captures.camera_paths.nerfstudio import write_camera_path
from nerf.captures.camera_paths.values import CameraPathFile
from nerf.captures.reading import read_capture
from tests.support.command_line import (
    NUM_VIEWS,
    assert_is_one_sentence,
    call,
    call_successfully,
    train_flags,
    write_scene,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A scene and a run folder, whose training has drawn the training views."""
    folder = tmp_path_factory.mktemp("paths")
    scene, run = write_scene(folder / "meadow"), folder / "run"
    flags = [flag for flag in train_flags(scene, "flax") if not flag.startswith("--video_frames")]
    call_successfully(*flags, f"--run_dir={run}", "--camera_path=training", "--set=train.holdout=3")
    return scene, run


def render(trained, *flags):
    scene, run = trained
    return call(f"--scene={scene}", f"--run_dir={run}", "--mode=render", *flags)


def video(run, name="video.mp4"):
    reader = imageio_ffmpeg.read_frames(str(run / name))
    header = next(reader)
    return header, sum(1 for _ in reader)


def test_training_ends_with_a_video_of_all_training_views(trained):
    _, run = trained
    split = json.loads((run / "scene.json").read_text())["split"]
    assert video(run)[1] == len(split["train"]) == NUM_VIEWS - 2
    assert json.loads((run / "config.json").read_text())["video"]["path"] == "training"


def test_a_file_gives_the_frames_their_rate_and_their_size(trained, tmp_path):
    scene, run = trained
    poses = read_capture(scene).camtoworlds[:2]
    path = CameraPathFile(poses, np.full(2, 40.0), (480, 320), 5.0)
    write_camera_path(tmp_path / "path.json", path)
    before = (tmp_path / "path.json").read_bytes()
    ended = render(trained, f"--camera_path={tmp_path / 'path.json'}")
    assert ended.status == 0, ended.err
    header, num_frames = video(run, "video-path.mp4")
    assert num_frames == 2
    assert header["fps"] == 5.0
    assert header["size"] == (480, 320)
    assert (tmp_path / "path.json").read_bytes() == before


def test_poses_in_an_array_are_drawn_and_fewer_where_that_is_asked_for(trained, tmp_path):
    scene, run = trained
    np.save(tmp_path / "poses.npy", read_capture(scene).camtoworlds)
    ended = render(trained, f"--camera_path={tmp_path / 'poses.npy'}", "--video_frames=2")
    assert ended.status == 0, ended.err
    assert video(run, "video-poses.mp4")[1] == 2


def test_a_video_along_another_path_does_not_replace_that_of_the_run(trained):
    _, run = trained
    before = (run / "video.mp4").read_bytes()
    flags = ("--video_frames=2", "--video_format=gif", "--video_content=rgb,opacity")
    for path, name in ((["--camera_path=orbit"], "orbit"), ([], "spiral")):  # what suits the scene
        ended = render(trained, *path, *flags)
        assert ended.status == 0, ended.err
        assert ended.out.splitlines()[-1].endswith(f"the video is {run / f'video-{name}.gif'}")
        assert (run / f"video-{name}_opacity.gif").is_file()
    assert (run / "video.mp4").read_bytes() == before


def test_a_run_folder_alone_gives_the_frames_that_it_gives_with_its_scene(trained, tmp_path):
    scene, run = trained
    alone = ("--mode=render", f"--run_dir={run}")
    flags = ("--camera_path=interpolate", "--video_frames=2", "--video_format=frames")
    found = []
    for more in ((), (f"--scene={scene}",)):
        call_successfully(*alone, *flags, *more)
        folder = run / "video-interpolate"
        found.append({file.name: file.read_bytes() for file in folder.iterdir()})
        shutil.rmtree(folder)
    assert found[0] == found[1]
    assert len(found[0]) == 2
    assert_is_one_sentence(call(*alone, "--field=planes"), "leave out --field")
    ended = call("--mode=render", f"--run_dir={tmp_path / 'nothing'}")
    assert_is_one_sentence(ended, "nothing holds no training run with checkpoints")
    np.save(tmp_path / "p.npy", read_capture(scene).camtoworlds)
    (tmp_path / "dataparser_transforms.json").write_text("{}")
    ended = call(*alone, f"--camera_path={tmp_path / 'p.npy'}")
    assert_is_one_sentence(ended, "is in the frame of a run of nerfstudio")


def test_unknown_contents_are_refused_before_anything_is_drawn(trained):
    ended = render(trained, "--video_content=rgb,normals")
    assert_is_one_sentence(ended, "--video_content is one or more of rgb, depth, opacity, not 'nor")
    ended = render(trained, "--video_frames=0", "--video_format=gif")
    assert_is_one_sentence(ended, "--video_frames=0")


def test_a_damaged_file_is_refused_before_anything_is_trained(trained, tmp_path):
    scene, _ = trained
    (tmp_path / "path.json").write_text('{"camera_path": [{"fov": 40}]}')
    run = tmp_path / "run"
    flags = (f"--run_dir={run}", f"--camera_path={tmp_path / 'path.json'}")
    ended = call(*train_flags(scene, "flax", *flags))
    assert_is_one_sentence(ended, "frame 0: camera_to_world does not have 16 numbers")
    assert not run.exists()
