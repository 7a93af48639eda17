"""Frames of a video: the sharpest of each part, none twice, none blurred, and any damage named."""

import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from nerf.errors import UserError
from nerf.posing.frames import choose_frames, laplacian_variance, read_video_frames
from nerf.runtime.events import Progress, ignore_event

RNG = np.random.default_rng(0)


def thumbnails(num):
    """Each unlike the one before."""
    return np.arange(num)[:, None] * np.full((1, 4), 5.0)


def test_the_sharpest_frame_of_each_part_is_chosen():
    sharpness = np.array([1.0, 2, 3, 3, 1, 2, 2, 3, 1])
    assert choose_frames(sharpness, thumbnails(9), 3).chosen == (2, 3, 7)


def test_a_part_that_is_all_blurred_is_left_out():
    sharpness = np.ones(12)
    sharpness[4:6] = 0.2
    choice = choose_frames(sharpness, thumbnails(12), 6)
    assert choice.chosen == (0, 2, 6, 8, 10)
    assert (choice.num_blurred, choice.num_alike) == (1, 0)


def test_a_scene_that_becomes_plain_slowly_is_not_taken_for_blur():
    sharpness = np.geomspace(1.0, 0.01, 60)
    assert choose_frames(sharpness, thumbnails(60), 30).num_blurred == 0


def test_of_frames_that_are_alike_one_is_kept():
    small = thumbnails(10)
    small[3:8] = small[3]
    choice = choose_frames(np.ones(10), small, 10)
    assert choice.chosen == (0, 1, 2, 3, 8, 9)
    assert choice.num_alike == 4


def test_more_parts_than_frames_choose_all_frames():
    assert choose_frames(np.ones(4), thumbnails(4), 100).chosen == (0, 1, 2, 3)


def test_blur_lowers_the_sharpness_and_brightness_does_not():
    noise = RNG.integers(0, 128, (40, 60), np.uint8)
    around = noise[:-1, :-1], noise[1:, 1:], noise[:-1, 1:], noise[1:, :-1]
    blurred = sum(image // 4 for image in around).astype(np.uint8)
    assert laplacian_variance(blurred) < 0.5 * laplacian_variance(noise)
    assert laplacian_variance(noise + np.uint8(100)) == pytest.approx(laplacian_variance(noise))


def grey_levels(num):
    """Frames with bright stripes at the top, each of another grey level below."""
    images = np.empty((num, 48, 64, 3), np.uint8)
    for i, image in enumerate(images):
        image[:] = 30 + 8 * i
        image[:8] = 0
        image[:8:2] = 250
    return images


def write_video(path, images, *options):
    height, width = images.shape[1:3]
    writer = imageio_ffmpeg.write_frames(
        str(path), (width, height), fps=10, quality=9, macro_block_size=2, output_params=[*options]
    )
    writer.send(None)
    for image in images:
        writer.send(np.ascontiguousarray(image))
    writer.close()
    return path


def read(video, folder, num_frames=None):
    folder.mkdir()
    names, _ = read_video_frames(video, folder, num_frames, ignore_event)
    return names, [np.asarray(Image.open(folder / name)) for name in names]


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "avi"])
def test_the_files_are_the_frames_that_their_names_say(tmp_path, ending):
    images = grey_levels(20)
    names, found = read(write_video(tmp_path / f"a.{ending}", images), tmp_path / "frames", 7)
    assert len(names) == 7
    for name, pixels in zip(names, found, strict=True):
        number = int(name.removeprefix("frame_").removesuffix(".jpg"))
        assert np.abs(pixels[40, 60].astype(int) - images[number - 1][40, 60]).max() < 4


def test_a_video_that_a_phone_held_upright_took_is_upright(tmp_path):
    """Phones store such a video as it lies, with a matrix that says how to turn it."""
    plain = write_video(tmp_path / "plain.mp4", grey_levels(9))
    program = imageio_ffmpeg.get_ffmpeg_exe()
    turned = tmp_path / "turned.mp4"
    command = [program, "-v", "error", "-display_rotation", "90", "-i", plain, "-c", "copy", turned]
    subprocess.run(list(map(str, command)), check=True)
    _, found = read(turned, tmp_path / "frames", 5)
    assert found[0].shape == (64, 48, 3)


def test_the_progress_ends_at_its_total(tmp_path):
    events = []
    (tmp_path / "frames").mkdir()
    video = write_video(tmp_path / "a.mp4", grey_levels(12))
    read_video_frames(video, tmp_path / "frames", 6, events.append)
    ends = [e for e in events if isinstance(e, Progress) and e.is_last]
    assert [(e.task, e.done, e.total) for e in ends] == [
        ("choosing frames", 12, 12), ("frames", 6, 6)
    ]  # fmt: skip


def refusal(video, folder):
    folder.mkdir()
    with pytest.raises(UserError) as caught:
        read_video_frames(video, folder, None, ignore_event)
    message = str(caught.value)
    assert "\n" not in message
    assert str(video) in message
    return message


@pytest.mark.parametrize("content", [b"", b"no video at all" * 99, b"\x00\x00\x00\x18ftypmp42"])
def test_what_is_no_video_is_refused_in_one_sentence(tmp_path, content):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    assert "as a video" in refusal(path, tmp_path / "frames")


def test_a_playlist_is_not_followed(tmp_path):
    write_video(tmp_path / "secret.mp4", grey_levels(9))
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n")
    assert "as a video" in refusal(tmp_path / "list.mp4", tmp_path / "frames")


def test_a_video_that_stands_still_is_refused(tmp_path):
    still = np.repeat(grey_levels(1), 20, axis=0)
    message = refusal(write_video(tmp_path / "a.mp4", still), tmp_path / "frames")
    assert "only 1 sharp frame" in message
