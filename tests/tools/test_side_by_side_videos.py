"""Videos side by side: every frame of both, and what cannot be joined."""

import imageio.v3 as iio
import numpy as np
import pytest

from nerf.errors import UserError
from nerf.output import images, video
from tests.support.command_line import assert_is_one_sentence, call_tool
from tools import side_by_side_videos
from tools.side_by_side_videos import write_side_by_side

pytestmark = pytest.mark.slow


def grey_video(folder, name, levels, width=500):
    """Each frame is of one grey."""
    files = []
    for number, level in enumerate(levels):
        files.append(folder / f"{name}{number}.png")
        images.write_png(files[-1], np.full((300, width, 3), level, np.float32))
    video.write_video(folder / f"{name}.mp4", files)
    return folder / f"{name}.mp4"


def test_each_frame_shows_both(tmp_path):
    rising = grey_video(tmp_path, "rising", [0.2, 0.4, 0.6])
    falling = grey_video(tmp_path, "falling", [0.8, 0.6, 0.4])
    write_side_by_side(tmp_path / "both.mp4", [("rising", rising), ("falling", falling)])
    frames = iio.imread(tmp_path / "both.mp4", plugin="FFMPEG")
    assert len(frames) == 3
    middle = frames[:, frames.shape[1] // 2] / 255.0
    quarter = frames.shape[2] // 4
    np.testing.assert_allclose(middle[:, quarter].mean(axis=1), [0.2, 0.4, 0.6], atol=0.03)
    np.testing.assert_allclose(middle[:, 3 * quarter].mean(axis=1), [0.8, 0.6, 0.4], atol=0.03)


def test_a_video_with_half_the_frames_stands_still_in_between(tmp_path):
    many = grey_video(tmp_path, "many", [0.1, 0.3, 0.5, 0.7])
    few = grey_video(tmp_path, "few", [0.2, 0.6])
    write_side_by_side(tmp_path / "both.mp4", [("many", many), ("few", few)])
    frames = iio.imread(tmp_path / "both.mp4", plugin="FFMPEG")
    middle = frames[:, frames.shape[1] // 2] / 255.0
    quarter = frames.shape[2] // 4
    for column, levels in ((quarter, [0.1, 0.3, 0.5, 0.7]), (3 * quarter, [0.2, 0.2, 0.6, 0.6])):
        np.testing.assert_allclose(middle[:, column].mean(axis=1), levels, atol=0.03)


def test_what_cannot_be_joined_is_explained(tmp_path):
    video = grey_video(tmp_path, "a", [0.2, 0.4])
    longer = grey_video(tmp_path, "b", [0.2, 0.4, 0.6])
    with pytest.raises(UserError, match="do not match: 2 frames of 500x300, 3 frames of 500x300"):
        write_side_by_side(tmp_path / "out.mp4", [("a", video), ("b", longer)])
    with pytest.raises(UserError, match=r"no video at .*nowhere\.mp4"):
        write_side_by_side(tmp_path / "out.mp4", [("a", video), ("b", tmp_path / "nowhere.mp4")])
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(UserError, match=r"text\.mp4 cannot be read as a video"):
        write_side_by_side(tmp_path / "out.mp4", [("a", video), ("b", tmp_path / "text.mp4")])
    assert not (tmp_path / "out.mp4").exists()


def test_the_command_takes_captions_and_files(tmp_path):
    a, b = (grey_video(tmp_path, name, [0.2, 0.4]) for name in "ab")
    ended = call_tool(side_by_side_videos, f"--out={tmp_path}/both.mp4", f"A={a}", f"B={b}")
    assert ended.status == 0, ended.err
    assert iio.improps(tmp_path / "both.mp4", plugin="FFMPEG").shape[2] > 1000
    ended = call_tool(side_by_side_videos, f"--out={tmp_path}/c.mp4", f"A={a}", "B=nowhere.mp4")
    assert_is_one_sentence(ended, "no video at nowhere.mp4: render it first")
