import itertools

import numpy as np
import pytest

from nerf.errors import UserError
from nerf.jobs.video_frames import video_frames
from nerf.viewer.cameras import PageFrame
from nerf.viewer.keyframes import PathOptions, free_file, path_cameras, save_path
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
    cameras = path_cameras(frame, STOPS, OPEN)
    assert len(cameras) == 21
    for camera, stop in zip((cameras[0], cameras[10], cameras[20]), STOPS, strict=True):
        assert_is_at(frame, camera, stop)
    assert {(camera.height, camera.width) for camera in cameras} == {(30, 40)}


def test_a_loop_stops_short_of_its_first_frame(record):
    frame = PageFrame.of(record)
    cameras = path_cameras(frame, STOPS, LOOP)
    assert len(cameras) == 21
    for camera, stop in zip((cameras[0], cameras[7], cameras[14]), STOPS, strict=True):
        assert_is_at(frame, camera, stop)
    steps = [b.camtoworlds[:, 3] - a.camtoworlds[:, 3] for a, b in itertools.pairwise(cameras)]
    last = np.linalg.norm(cameras[0].camtoworlds[:, 3] - cameras[-1].camtoworlds[:, 3])
    assert 0 < last < 3 * max(np.linalg.norm(step) for step in steps)


def test_one_keyframe_is_no_path(record):
    with pytest.raises(UserError, match="two keyframes"):
        path_cameras(PageFrame.of(record), STOPS[:1], OPEN)


def test_a_saved_path_is_read_as_the_same_frames(record, tmp_path):
    """The file is in the frame of the capture, which is turned, moved and scaled."""
    cameras = path_cameras(PageFrame.of(record), STOPS, OPEN)
    file = tmp_path / "new" / "path.json"
    save_path(file, record, cameras, OPEN.fps)
    read = video_frames(record, file)
    assert read.fps == OPEN.fps
    for before, after in zip(cameras, read.cameras, strict=True):
        np.testing.assert_allclose(after.camtoworlds, before.camtoworlds, atol=1e-5)
        assert fov_of(after) == pytest.approx(fov_of(before), rel=1e-5)
        assert (after.height, after.width) == (30, 40)


def test_nothing_that_is_saved_is_replaced(tmp_path):
    first = free_file(tmp_path, "my path.json", ".json")
    assert first == tmp_path / "my path.json"
    first.touch()
    assert free_file(tmp_path, "my path", ".json") == tmp_path / "my path-2.json"


@pytest.mark.parametrize(
    "name", ["", "  ", "../up", "a/b", ".hidden", "a\\b", "C:x", "a\nb", "end."]
)
def test_a_name_leads_to_no_other_folder(tmp_path, name):
    with pytest.raises(UserError, match="no name of a file"):
        free_file(tmp_path, name, ".json")
