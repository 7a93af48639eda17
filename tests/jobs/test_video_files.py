"""What a video shows and how it is stored: colours, depth and opacity as .mp4, .gif or frames."""

import json

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

import nerf
from nerf.errors import UserError
from tests.support.ball import ball_field

CONTENTS = ["rgb", "depth", "opacity"]


@pytest.fixture(scope="module")
def trained():
    return ball_field("world")


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    """Frames of an orbit, of each content."""
    out = tmp_path_factory.mktemp("videos") / "orbit"
    nerf.render_video(trained, out, camera_path="orbit", num_frames=3, content=CONTENTS)
    return out


def test_frames_are_the_images_of_the_path_and_nothing_else_is_left(folder):
    assert sorted(path.name for path in folder.parent.iterdir()) == [
        "orbit", "orbit_depth", "orbit_opacity"
    ]  # fmt: skip
    for path in folder.parent.iterdir():
        names = [file.name for file in sorted(path.iterdir())]
        assert names == [f"frame_00{i}.png" for i in range(3)]
        assert iio.imread(path / names[0]).shape == (40, 48, 3)


def test_opacity_is_white_on_the_ball_and_black_around_it(folder):
    shown = iio.imread(folder.with_name("orbit_opacity") / "frame_001.png")
    assert shown[20, 24].tolist() == [255, 255, 255]
    assert shown[0, 0].tolist() == [0, 0, 0]


def test_depth_is_bright_where_it_is_near_and_black_where_nothing_is(folder):
    frames = [iio.imread(folder.with_name("orbit_depth") / f"frame_00{i}.png") for i in range(3)]
    for shown in frames:
        assert shown[0, 0].tolist() == [0, 0, 0]
        assert shown[20, 24].sum() > shown[20, 13].sum() > 0
    means = [shown[18:22, 22:26].mean() for shown in frames]  # the same distance in all frames
    assert np.ptp(means) < 6


def test_a_gif_repeats_its_frames_at_their_rate(trained, folder, tmp_path):
    path = tmp_path / "orbit.gif"
    nerf.render_video(trained, path, camera_path="orbit", num_frames=3)
    assert [file.name for file in tmp_path.iterdir()] == ["orbit.gif"]
    with Image.open(path) as gif:
        assert (gif.n_frames, gif.info["loop"]) == (3, 0)
        assert gif.info["duration"] == pytest.approx(1000 / 8, abs=10)
        gif.seek(1)
        shown = np.asarray(gif.convert("RGB"))
    height, width, _ = shown.shape
    assert width >= 480
    expected = iio.imread(folder / "frame_001.png")[20, 24]
    np.testing.assert_allclose(shown[height // 2, width // 2], expected, atol=12)
    assert (shown[0, 0] >= 245).all()  # one of 256 colours


def test_a_gif_of_many_frames_a_second_lasts_as_long_with_fewer(trained, tmp_path):
    nerf.save_camera_path(trained, tmp_path / "a.json", camera_path="orbit", num_frames=4)
    content = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps({**content, "fps": 100}))
    messages = []
    nerf.render_video(
        trained, tmp_path / "a.gif", camera_path=tmp_path / "a.json", callback=messages.append
    )
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.info["duration"]) == (2, 20)
    assert "a.gif has 50 of 100 frames a second" in str(messages)


def test_frames_replace_those_of_a_longer_video_and_no_other_files(trained, tmp_path):
    out = tmp_path / "frames"
    for num_frames in (3, 2):
        nerf.render_video(trained, out, camera_path="orbit", num_frames=num_frames)
    assert len(list(out.iterdir())) == 2
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds other files than frames \(notes.txt\)"):
        nerf.render_video(trained, out, camera_path="orbit", num_frames=1)
    assert len(list(out.iterdir())) == 3


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.avi", "rgb", r"written as .mp4 or .gif, or as frames .*a.avi has another ending"),
        ("a.mp4", "normals", "`content` is one or more of rgb, depth, opacity, not 'normals'"),
        ("a.mp4", (), "`content` is one or more of"),
        ("file", "rgb", "file is a file, and frames are written into a folder"),
    ],
)
def test_what_cannot_be_written_is_refused(name, content, reason, trained, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=reason):
        nerf.render_video(trained, tmp_path / name, content=content)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
