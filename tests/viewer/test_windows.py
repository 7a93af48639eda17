"""The page's server and its windows, by clients that speak as the page does; no browser."""

import dataclasses
import json
import logging
import threading

import imageio.v3 as iio
import numpy as np
import pytest

from nerf.errors import UserError
from nerf.geometry.poses import similarity, transform_poses
from nerf.jobs.videos.frames import video_frames
from nerf.viewer.cameras import PageFrame, home_index, window_fov
from tests.support.viser_client import SECONDS, ViserClient
from tests.viewer.conftest import meadow

RED, BLUE = (1.0, 0.1, 0.0), (0.0, 0.1, 1.0)
BEHIND = (0.0, 0.0, 0.0, 1.0)  # a quaternion: it looks along +z, away from the ball


def wait_for(is_so):
    """Waits for another thread, which says nothing when it is done."""
    done = threading.Event()
    for _ in range(round(SECONDS / 0.02)):
        if is_so():
            return
        done.wait(0.02)
    raise AssertionError("it took too long")


def test_the_page_s_server_reports_again_when_the_page_has_ended(open_page):
    """While a page is there, requests that are not a browser's are not reported."""
    log = logging.getLogger("websockets.server")
    record = log.makeRecord(log.name, logging.ERROR, __file__, 1, "not a browser", (), None)
    first, second = open_page(), open_page()
    assert not log.filter(record)
    first.close()
    assert not log.filter(record)
    second.close()
    assert log.filter(record)


def test_the_first_image_shows_the_field_and_moving_changes_it(window):
    image = window.images()[-1]
    rows = image[20:28]
    np.testing.assert_allclose(rows[:, 24].mean(axis=0), RED, atol=0.15)
    np.testing.assert_allclose(rows[:, 40].mean(axis=0), BLUE, atol=0.15)
    start = len(window.messages)
    window.look(wxyz=BEHIND)
    away = window.sharp(start)
    assert away[..., 1].mean() > away[..., [0, 2]].mean()
    assert np.abs(away - image).mean() > 0.05


def test_depth_and_opacity_and_a_box(window):
    def after(label, value):
        start = len(window.messages)
        window.set(label, value)
        return window.sharp(start)

    opacity = after("Show", "opacity")
    assert opacity[24, 32].min() > 0.95
    assert 0 < opacity[0, 0].max() < 0.6
    assert np.ptp(opacity, axis=-1).max() < 0.02
    after("Show", "colour")
    boxed = after("Draw only the box", True)
    assert boxed[24, 24, 0] > 0.8  # the largest box holds the ball
    cut = after("x", (-1.5, 0.0))
    assert cut[20:28, 24, 0].min() > 0.8
    assert cut[20:28, 40].max() < 0.3  # the blue half is gone
    assert window.of("LineSegmentsMessage")
    depth = after("Show", "depth")
    assert np.ptp(depth[24, 24]) > 0.1  # a colour


def test_the_field_of_view_makes_things_larger(window):
    def red(image):
        return (image[..., 0] > 0.6).sum()

    before, start = red(window.images()[-1]), len(window.messages)
    window.set("Field of view", 30.0)
    window.wait(lambda client: client.of("SetCameraFovMessage", start))
    sent = window.of("SetCameraFovMessage", start)[-1]["fov"]
    assert sent == pytest.approx(np.radians(30.0))
    start = len(window.messages)
    window.look(fov=sent)
    assert red(window.sharp(start)) > 1.5 * before


def test_a_window_that_changes_its_size_before_it_moves_still_shows_all_of_the_view(page, ball):
    view = ball.scene.cameras[home_index(ball.scene)]
    client = ViserClient(page.address, 120, 48)
    client.look()
    client.sharp()
    home = next(iter(page._windows.values())).camera()
    assert home.fov == pytest.approx(window_fov(view, 120 / 48))
    for width, expected in ((40, window_fov(view, 40 / 48)), (60, None)):
        start = len(client.messages)
        client.resize(width, 48)
        moved = 0.0 if expected else 0.5  # whoever has moved keeps the camera
        client.look(home.position + moved, home.wxyz, home.fov)
        client.sharp(start)
        sent = [message["fov"] for message in client.of("SetCameraFovMessage", start)]
        assert sent == ([pytest.approx(expected)] if expected else [])
        home = home._replace(fov=expected)
    client.close()


def test_two_windows_show_their_own_cameras(page, window):
    with ViserClient(page.address, 40, 30) as other:
        other.look(wxyz=BEHIND)
        window.look((0.1, 0.0, 0.0))
        assert page.num_windows == 2
        wait_for(lambda: any(x.shape == (30, 40, 3) and x.max() < 0.5 for x in other.images()))
        assert all(x.shape == (48, 64, 3) for x in window.images())
        assert window.images()[-1][..., 0].max() > 0.8
    wait_for(lambda: page.num_windows == 1)
    start = len(window.messages)
    window.look((0.2, 0.0, 0.0))
    assert window.sharp(start)[..., 0].max() > 0.8


def test_a_window_that_is_closed_stops_its_drawing(page, monkeypatch):
    """Its video, too, of which a file is never left."""
    may_draw, num_tiles = threading.Semaphore(30), [0]
    tiles = page.source.tiles

    def slow(*arguments, **options):
        for tile in tiles(*arguments, **options):
            assert may_draw.acquire(timeout=SECONDS)
            num_tiles[0] += 1
            yield tile

    monkeypatch.setattr(page.source, "tiles", slow)
    client = ViserClient(page.address, 200, 150)
    client.look()
    wait_for(lambda: num_tiles[0] == 30)
    client.close()
    wait_for(lambda: page.num_windows == 0)
    may_draw.release(1000)
    wait_for(lambda: not [t for t in threading.enumerate() if t.name.startswith("nerf-viewer")])
    assert num_tiles[0] <= 31  # of some 44


def test_a_page_that_ends_tells_its_windows_why(open_page):
    page = open_page(at_end="training has ended")
    with ViserClient(page.address) as window:
        assert page.close()
        window.wait(lambda client: client.texts()[-1] == "training has ended")


def test_a_click_on_a_camera_flies_there(window, ball):
    frame, start = PageFrame.of(ball.scene), len(window.messages)
    window.click("/cameras/4")
    window.wait(lambda client: client.looks_along(start) is not None)
    pose = ball.scene.cameras.camtoworlds[4]
    np.testing.assert_allclose(window.looks_along(start), -pose[:, 2], atol=1e-5)
    sent = window.of("SetCameraPositionMessage", start)[-1]["position"]
    np.testing.assert_allclose(sent, frame.scale * pose[:, 3], atol=1e-5)


def test_held_out_cameras_have_another_colour(window, ball):
    window.wait(lambda client: len(client.of("CameraFrustumMessage")) >= 5)
    colours = {m["name"][-1]: tuple(m["props"]["color"]) for m in window.of("CameraFrustumMessage")}
    assert len({colours[str(view)] for view in ball.scene.split.train}) == 1
    assert colours["4"] != colours["0"]


class Photos:
    """A scene of the meadow's cameras, or of its first ones, each with an image of one colour.

    Its scene units are other ones than those of the run: only the capture's frame is the same.
    """

    name = "field"

    def __init__(self, names, moved=0.0):
        record, self.image_names, self.num_views = meadow(), names, len(names)
        levels = np.linspace(0.2, 1.0, len(names), dtype=np.float32)
        self.images = [np.full((6, 8, 3), level) for level in levels]
        other_units = similarity(np.eye(3), 3.0, np.array([1.0, 2.0, 3.0]))
        poses = np.array(record.cameras.camtoworlds[: len(names)], np.float64)
        poses[-1, 0, 3] += moved
        self.cameras = dataclasses.replace(
            record.cameras[: len(names)], camtoworlds=transform_poses(other_units, poses)
        )
        self.capture_to_scene = other_units @ record.capture_to_scene


def test_photographs_are_shown_and_stand_beside_the_rendering(open_page):
    page = open_page(lambda: Photos(("a", "b", "c", "d", "e")))
    with ViserClient(page.address) as window:
        window.wait(lambda client: "_image_data" in str(client.of("SceneNodeUpdateMessage")))
        window.set("View", "3: d")
        window.set("Beside its photograph", True)

        def is_beside(client):
            image = client.images()[-1] if client.images() else np.zeros((48, 64, 3))
            return image.shape[1] == 64 and np.abs(image[20:28, 40:60] - 0.8).max() < 0.03

        window.wait(is_beside)
        assert np.ptp(window.images()[-1][20:28, 4:28]) > 0.2  # the rendering
        start = len(window.messages)
        window.look((0.0, 5.0, 0.0))  # whoever moves looks at the field again
        window.set("Beside its photograph", False)
        window.wait(lambda client: client.images(start) and not is_beside(client))


@pytest.mark.parametrize(
    ("photos", "sentence"),
    [
        (Photos(("a", "b", "c")), "2 of 5 views of the run are not among the 3 images"),
        (Photos(("a", "b", "c"), moved=0.1), "the names of those of the run and other poses"),
        (UserError("no such folder"), "no photographs are shown: no such folder"),
    ],
)
def test_photographs_that_are_not_there_are_a_sentence(open_page, photos, sentence):
    messages = []

    def load():
        if isinstance(photos, UserError):
            raise photos
        return photos

    open_page(load, say=messages.append)
    wait_for(lambda: messages)
    assert sentence in messages[0]


def test_keyframes_become_a_file_and_a_video(window, ball, tmp_path):
    window.set("Seconds", 1.0)
    window.set("Frames a second", 5)
    for label, value in (("Width", 33), ("Height", 24), ("Name", "my path")):
        window.set(label, value)
    window.set("Save the path", True)
    window.wait(lambda client: any("two keyframes" in text for text in client.texts()))
    window.set("Add this view as a keyframe", True)
    window.wait(lambda client: any("1 keyframe" in text for text in client.texts()))
    start = len(window.messages)
    window.look((1.0, 0.0, 0.0))
    window.sharp(start)
    window.set("Add this view as a keyframe", True)
    window.wait(lambda client: any("2 keyframes" in text for text in client.texts()))
    window.set("Save the path", True)
    window.wait(lambda client: any("my path.json" in text for text in client.texts()))
    file = tmp_path / "files" / "my path.json"
    assert json.loads(file.read_text())["fps"] == 5
    cameras = video_frames(ball.scene, file).cameras
    assert len(cameras) == 5
    np.testing.assert_allclose(cameras[0].camtoworlds[:, 3], 0.0, atol=1e-5)
    x = 1.0 / PageFrame.of(ball.scene).scale
    np.testing.assert_allclose(cameras[-1].camtoworlds[:, 3], [x, 0.0, 0.0], atol=1e-5)
    window.set("Render the video", True)
    window.wait(lambda client: any("my path.mp4" in text for text in client.texts()))
    assert any("frame 5 of 5" in text for text in window.texts())
    frames = iio.imread(tmp_path / "files" / "my path.mp4")
    assert len(frames) == 5
    middle = frames[0, frames.shape[1] // 2]  # small frames are enlarged
    assert middle[frames.shape[2] * 3 // 8, 0] > 150  # the ball's red half
    assert sorted(path.name for path in file.parent.iterdir()) == ["my path.json", "my path.mp4"]


def test_a_path_that_is_saved_leaves_the_bar_of_a_running_video(
    page, window, tmp_path, monkeypatch
):
    may_draw, tiles = threading.Event(), page.source.tiles

    def slow(renderer, camera, **options):
        if camera.height == 24:  # of the video
            assert may_draw.wait(SECONDS)
        yield from tiles(renderer, camera, **options)

    def is_cancel_seen(client):
        uuids = {client.control("Cancel")}
        visibility = [
            m["updates"]["visible"]
            for m in client.of("GuiUpdateMessage")
            if m["uuid"] in uuids and "visible" in m["updates"]
        ]
        return bool(visibility) and visibility[-1]

    monkeypatch.setattr(page.source, "tiles", slow)
    for label, value in (("Seconds", 0.4), ("Frames a second", 5), ("Width", 32), ("Height", 24)):
        window.set(label, value)
    for number in (1, 2):
        window.set("Add this view as a keyframe", True)
        window.wait(lambda client, n=number: any(f"{n} keyframe" in x for x in client.texts()))
    window.set("Render the video", True)
    window.wait(is_cancel_seen)
    window.set("Save the path", True)
    window.wait(lambda client: any("path.json" in text for text in client.texts()))
    assert is_cancel_seen(window)
    window.set("Cancel", True)
    may_draw.set()
    window.wait(lambda client: any(text.startswith("cancelled") for text in client.texts()))
    window.wait(lambda client: not is_cancel_seen(client))
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["path.json"]


@pytest.mark.parametrize("label", ["Save the path", "Render the video"])
def test_a_folder_that_cannot_be_written_is_a_sentence(open_page, tmp_path, label):
    (tmp_path / "file").touch()
    page = open_page(folder=tmp_path / "file" / "files")
    with ViserClient(page.address) as window:
        window.set("Add this view as a keyframe", True)
        window.wait(lambda client: any("1 keyframe" in text for text in client.texts()))
        window.set("Add this view as a keyframe", True)
        window.wait(lambda client: any("2 keyframes" in text for text in client.texts()))
        window.set(label, True)
        window.wait(lambda client: client.texts()[-1].startswith("nothing can be written to"))


def test_new_parameters_are_shown_while_the_camera_stands_still(open_page, ball):
    page = open_page(in_training=True)
    with ViserClient(page.address) as window:
        away = {"shared": ball.params["shared"] + 100.0}
        page.watch(away, 8)
        window.wait(lambda client: any("step 8" in text for text in client.texts()))
        assert window.images()[-1][..., 0].max() < 0.5  # the ball is elsewhere
