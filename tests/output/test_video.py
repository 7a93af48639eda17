"""Videos: frames in their order, even sides, and encoders that fail."""

import imageio_ffmpeg
import numpy as np
import pytest

from nerf.errors import UserError
from nerf.output import images, video


def frames(folder, height, width, levels):
    folder.mkdir(exist_ok=True)
    paths = []
    for number, level in enumerate(levels):
        paths.append(folder / f"frame_{number:03d}.png")
        images.write_png(paths[-1], np.full((height, width, 3), level, np.float32))
    return paths


def read_video(path):
    reader = imageio_ffmpeg.read_frames(str(path))
    header = next(reader)
    width, height = header["size"]
    return header, [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader]


@pytest.mark.parametrize(
    ("size", "video_size"),
    [
        ((270, 482), (270, 482)),
        ((21, 481), (22, 482)),
        ((33, 241), (66, 482)),
        ((3, 5), (288, 480)),
    ],
)
def test_a_video_has_its_frames_in_order_and_an_even_size(tmp_path, size, video_size):
    levels = (0.1, 0.5, 0.9, 0.3, 0.7)
    path = tmp_path / "video.mp4"
    video.write_video(path, frames(tmp_path / "frames", *size, levels))
    header, shown = read_video(path)
    assert header["codec"].startswith("h264")
    assert header["fps"] == 8
    assert len(shown) == len(levels)
    for image, level in zip(shown, levels, strict=True):
        assert image.shape == (*video_size, 3)
        assert np.abs(image / 255 - level).max() < 0.05
    assert sorted(p.name for p in tmp_path.iterdir()) == ["frames", "video.mp4"]


def test_an_odd_side_is_made_even_by_one_more_pixel_not_by_scaling(tmp_path):
    """Scaling by so little would blur stripes of one pixel into grey in the middle."""
    stripes = np.zeros((21, 481, 3), np.float32)
    stripes[:, ::2] = 1.0
    images.write_png(tmp_path / "frame.png", stripes)
    video.write_video(tmp_path / "video.mp4", [tmp_path / "frame.png"])
    (image,) = read_video(tmp_path / "video.mp4")[1]
    assert (image[:, :480:2] > 180).all()
    assert (image[:, 1:480:2] < 75).all()
    assert (image[:, 481] > 180).all()


def test_one_frame_is_a_video(tmp_path):
    video.write_video(tmp_path / "video.mp4", frames(tmp_path, 20, 480, [0.5]))
    assert len(read_video(tmp_path / "video.mp4")[1]) == 1


@pytest.mark.parametrize(("num_frames", "rate"), [(1, 8), (32, 8), (60, 15), (120, 30), (500, 30)])
def test_a_video_lasts_four_seconds_within_the_limits_of_its_rate(num_frames, rate):
    assert video.frames_per_second(num_frames) == rate


def encoder(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    "script",
    [
        "exit 1",
        "cat > /dev/null; exit 0",
        "head -c 9 >/dev/null",
        'for last; do :; done; : > "$last"; cat > /dev/null',  # an empty file
    ],
)
def test_an_encoder_that_fails_costs_nothing_but_the_video(tmp_path, monkeypatch, script):
    files = frames(tmp_path / "frames", 270, 480, [0.2, 0.8, 0.5])
    before = [file.read_bytes() for file in files]
    path = tmp_path / "run" / "video.mp4"
    path.parent.mkdir()
    path.write_bytes(b"the video from before")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", encoder(tmp_path / "ffmpeg", script))
    with pytest.raises(UserError, match=r"its 3 frames are kept in .*frames"):
        video.write_video(path, files)
    assert [file.read_bytes() for file in files] == before
    assert path.read_bytes() == b"the video from before"
    assert list(path.parent.iterdir()) == [path]


def test_a_frame_that_is_missing_leaves_no_video(tmp_path):
    files = frames(tmp_path / "frames", 20, 480, [0.2, 0.8])
    files[1].unlink()
    with pytest.raises(UserError, match="could not be encoded"):
        video.write_video(tmp_path / "video.mp4", files)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["frames"]


def test_an_encoder_is_found():
    video.check_video_encoder()


def test_a_missing_encoder_is_named_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="no ffmpeg program was found") as caught:
        video.check_video_encoder()
    assert "`num_frames=0`" in str(caught.value)
    assert "\n" not in str(caught.value)
