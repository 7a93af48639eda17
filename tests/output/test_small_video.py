"""Laws of the smaller video: it is as small as asked for, with the same frames, or it is none."""

import numpy as np
import pytest

from nerf.output import images
from nerf.output.small_video import small_video
from nerf.output.video import write_video
from tests.output.test_video import read_video


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    folder = tmp_path_factory.mktemp("video")
    noise = np.random.default_rng(0).uniform(size=(3, 500, 800, 3)).astype(np.float32)
    frames = [folder / f"{number}.png" for number in range(len(noise))]
    for frame, image in zip(frames, noise, strict=True):
        images.write_png(frame, image)
    path = folder / "-video :1.mp4"
    write_video(path, frames)
    return path


def test_a_small_one_is_the_file_itself(video):
    assert small_video(video, 10**9) == video.read_bytes()


def test_a_large_one_has_the_same_frames_with_fewer_pixels(video, tmp_path):
    before = video.read_bytes()
    content = small_video(video, len(before) - 1)
    assert len(content) < len(before)
    (tmp_path / "small.mp4").write_bytes(content)
    _, shown = read_video(tmp_path / "small.mp4")
    assert [frame.shape for frame in shown] == [(450, 720, 3)] * 3
    assert video.read_bytes() == before


def test_what_is_too_large_damaged_or_missing_is_none(video, tmp_path):
    assert small_video(video, 10) is None
    (tmp_path / "damaged.mp4").write_bytes(video.read_bytes()[:2000])
    assert small_video(tmp_path / "damaged.mp4", 100) is None
    assert small_video(tmp_path / "none.mp4", 100) is None
    (tmp_path / "folder.mp4").mkdir()
    assert small_video(tmp_path / "folder.mp4", 10**9) is None
