import dataclasses
import itertools
import json

import imageio.v3 as iio
import numpy as np
import pytest

from nerf.errors import UserError
from nerf.geometry.ndc import NDC
from nerf.jobs.videos.frames import video_frames
from nerf.render.tiles import RenderedPixels
from nerf.viewer.cameras import PageFrame
from nerf.viewer.keyframes import (
    DisplayOptions,
    PathOptions,
    claimed_file,
    keyframe_cameras,
    render_path,
    save_path,
)
from nerf.viewer.loaded_path import load_path
from tests.viewer.test_cameras import page_camera

STOPS = [
    page_camera((0.0, 0.1, 0.0), (0.0, 0.0, 4.0), fov=0.8),
    page_camera((0.2, 0.3, 0.0), (1.0, 0.5, 3.0), fov=1.2),
    page_camera((0.1, 0.0, 0.3), (2.0, 0.0, 4.0), fov=1.0),
]
OPEN = PathOptions(seconds=2.1, fps=10.0, is_loop=False, size=(40, 30))
LOOP = PathOptions(seconds=2.1, fps=10.0, is_loop=True, size=(40, 30))


def fov_of(camera):
    return 2 * np.arctan(0.5 * camera.height / float(camera.focal))


def assert_is_at(frame, camera, stop):
    np.testing.assert_allclose(camera.camtoworlds, frame.to_scene(stop), atol=1e-5)
    assert fov_of(camera) == pytest.approx(stop.fov, rel=1e-5)


def test_an_open_path_goes_through_all_keyframes(record):
    frame = PageFrame.of(record)
    cameras = keyframe_cameras(frame, STOPS, OPEN)
    assert len(cameras) == 21
    for camera, stop in zip((cameras[0], cameras[10], cameras[20]), STOPS, strict=True):
        assert_is_at(frame, camera, stop)
    assert {(camera.height, camera.width) for camera in cameras} == {(30, 40)}


def test_a_loop_stops_short_of_its_first_frame(record):
    frame = PageFrame.of(record)
    cameras = keyframe_cameras(frame, STOPS, LOOP)
    assert len(cameras) == 21
    for camera, stop in zip((cameras[0], cameras[7], cameras[14]), STOPS, strict=True):
        assert_is_at(frame, camera, stop)
    steps = [b.camtoworlds[:, 3] - a.camtoworlds[:, 3] for a, b in itertools.pairwise(cameras)]
    last = np.linalg.norm(cameras[0].camtoworlds[:, 3] - cameras[-1].camtoworlds[:, 3])
    assert 0 < last < 3 * max(np.linalg.norm(step) for step in steps)


def test_one_keyframe_is_no_path(record):
    with pytest.raises(UserError, match="two keyframes"):
        keyframe_cameras(PageFrame.of(record), STOPS[:1], OPEN)


def test_a_saved_path_is_read_as_the_same_frames(record, tmp_path):
    """The file is in the frame of the capture, which is turned, moved and scaled."""
    frame = PageFrame.of(record)
    cameras = keyframe_cameras(frame, STOPS, OPEN)
    file = save_path(tmp_path / "new", "path", record, frame, STOPS, OPEN)
    assert file == tmp_path / "new" / "path.json"
    assert len(json.loads(file.read_text())["keyframes"]) == len(STOPS)
    read = video_frames(record, file)
    assert read.fps == OPEN.fps
    for before, after in zip(cameras, read.cameras, strict=True):
        np.testing.assert_allclose(after.camtoworlds, before.camtoworlds, atol=1e-5)
        assert fov_of(after) == pytest.approx(fov_of(before), rel=1e-5)
        assert (after.height, after.width) == (30, 40)


@pytest.mark.parametrize("options", [OPEN, LOOP])
def test_a_saved_path_that_is_opened_has_its_keyframes_and_options(record, tmp_path, options):
    frame = PageFrame.of(record)
    file = save_path(tmp_path, "path", record, frame, STOPS, options)
    usual = PathOptions(seconds=1.0, fps=1.0, is_loop=False, size=(16, 16))
    found = load_path("path.json", file.read_bytes(), record, frame, usual)
    assert found.options == dataclasses.replace(options, seconds=pytest.approx(options.seconds))
    for opened, stop in zip(found.keyframes, STOPS, strict=True):
        assert opened.is_near(stop)
        assert opened.fov == pytest.approx(stop.fov)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "no JSON object"),
        (b'{"keyframes": []}', "was not saved by this page"),
        (b'{"frame": "capture", "keyframes": [{}]}', "one keyframe"),
        (b'{"frame": "capture", "keyframes": [%s{}]}' % (b"{}," * 200), "201 keyframes: at most"),
    ],
)
def test_what_cannot_be_opened_is_refused(record, content, reason):
    with pytest.raises(UserError, match=reason):
        load_path("path.json", content, record, PageFrame.of(record), OPEN)


@pytest.mark.parametrize("options", [OPEN, LOOP])
def test_a_saved_path_without_its_frames_is_the_same_path(record, tmp_path, options):
    frame = PageFrame.of(record)
    file = save_path(tmp_path, "path", record, frame, STOPS, options)
    content = json.loads(file.read_text())
    content.pop("camera_path")
    file.write_text(json.dumps(content))
    read = video_frames(record, file).cameras
    # The frames of an open path end one before the last keyframe, as in nerfstudio.
    longer = dataclasses.replace(options, seconds=options.seconds + (0 if options.is_loop else 0.1))
    assert len(read) == 21
    for before, after in zip(keyframe_cameras(frame, STOPS, longer), read, strict=False):
        np.testing.assert_allclose(after.camtoworlds, before.camtoworlds, atol=1e-5)


def test_too_many_frames_and_what_ndc_cannot_draw_are_refused(record, tmp_path):
    frame = PageFrame.of(record)
    long = PathOptions(seconds=3600.0, fps=24.0, is_loop=False, size=(40, 30))
    with pytest.raises(UserError, match="86,400 frames: at most 10,000"):
        keyframe_cameras(frame, STOPS, long)
    record = dataclasses.replace(record, space=NDC((1.0, 1.0)))
    forward = page_camera((0.0, np.pi, 0.0))
    save_path(tmp_path / "saved", "path", record, frame, [forward] * 2, OPEN)
    aside = [forward, page_camera((0.0, 0.5 * np.pi, 0.0))]
    with pytest.raises(UserError, match=r"frame \d+ of the path looks aside or stands in"):
        save_path(tmp_path / "files", "path", record, frame, aside, OPEN)
    assert not (tmp_path / "files").exists()


def test_nothing_that_is_saved_is_replaced(tmp_path):
    with claimed_file(tmp_path, "my path.json", ".json") as first:
        assert first == tmp_path / "my path.json"
        with claimed_file(tmp_path, "my path", ".json") as second:  # at the same time
            assert second == tmp_path / "my path-2.json"
    with pytest.raises(KeyboardInterrupt), claimed_file(tmp_path, "gone", ".json"):
        raise KeyboardInterrupt
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my path-2.json", "my path.json"]


class Grey:
    """Draws one colour; what is asked for while it draws is asked then."""

    def __init__(self, space, meanwhile=lambda: None):
        self.trained, self._meanwhile = (
            type("", (), {"needed_space": lambda self: space})(),
            meanwhile,
        )

    def renderer(self, box):
        return None

    def tiles(self, renderer, camera, **others):
        self._meanwhile()
        index = np.arange(camera.height * camera.width)
        yield index, RenderedPixels(np.ones((len(index), 3)), np.ones(len(index)), index * 0 + 1.0)


def test_two_videos_of_one_name_that_are_drawn_at_once_are_two_files(record, tmp_path):
    frame, made = PageFrame.of(record), []
    cameras = keyframe_cameras(frame, STOPS, OPEN)[:2]

    def draw(meanwhile=lambda: None):
        source = Grey(record.space, meanwhile)
        made.append(
            render_path(
                tmp_path, "a", source, cameras, 5.0, DisplayOptions(), lambda done, total: None
            )
        )

    draw(lambda: made or draw())
    assert made == [tmp_path / "a-2.mp4", tmp_path / "a.mp4"]
    assert sorted(tmp_path.iterdir()) == made


def test_a_video_is_grey_where_the_page_is(record, tmp_path):
    """Beyond what NDC can show, which is what lies along -z."""
    frame, source, levels = PageFrame.of(record), Grey(NDC((1.0, 1.0))), {}
    for angle in (0.0, np.pi):
        stops = [page_camera((0.0, angle, 0.0))] * 2
        camera = keyframe_cameras(frame, stops, OPEN)[:1]
        file = render_path(
            tmp_path, "a", source, camera, 5.0, DisplayOptions(), lambda done, total: None
        )
        levels[round(float(-camera[0].camtoworlds[2, 2]))] = iio.imread(file)[0].mean()
    assert levels[-1] > 240  # the colour of the field
    assert 80 < levels[1] < 110


@pytest.mark.parametrize(
    "name", ["", "  ", "../up", "a/b", ".hidden", "a\\b", "C:x", "a\nb", "end."]
)
def test_a_name_leads_to_no_other_folder(tmp_path, name):
    with (
        pytest.raises(UserError, match="not a valid file name"),
        claimed_file(tmp_path, name, ".json"),
    ):
        pass
