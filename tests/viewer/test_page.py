"""The page in a real browser, as a user sees and uses it; skips where there is none."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from nerf.viewer.cameras import PageFrame
from nerf.viewer.server import Viewer
from tests.support.browser import chromium
from tests.viewer.test_windows import Photos, wait_for

pytestmark = pytest.mark.slow
MILLISECONDS = 60_000  # at most
SIZE = {"width": 700, "height": 320}


@pytest.fixture(scope="module")
def shown(ball, tmp_path_factory):
    """A page of a browser that shows the ball, the requests it made, and the folder of files."""
    folder = tmp_path_factory.mktemp("page")
    names = ("a", "b", "c", "d", "e")
    viewer = Viewer(ball, lambda: Photos(names), port=18080, folder=folder)
    try:
        with chromium() as browser:
            page = browser.new_page(viewport=SIZE)
            page.set_default_timeout(MILLISECONDS)
            requests = []
            page.on("request", lambda request: requests.append(request.url))
            page.goto(viewer.address)
            wait_until_sharp(page)
            yield page, requests, folder, viewer
    finally:
        viewer.close()


def wait_until_sharp(page):
    page.wait_for_function("() => /\\d+ x \\d+ after [^,]* step/.test(document.body.innerText)")


def image(page):
    """What is left of the controls and below the notice that WebGL is slow, in [0, 1]."""
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    return np.asarray(shot, np.float32)[150:, :350] / 255.0


def until(page, is_so):
    """The image, as soon as it is as a function says: the browser draws when it can."""
    for _ in range(MILLISECONDS // 100):
        if is_so(found := image(page)):
            return found
        page.wait_for_timeout(100)
    raise AssertionError("it took too long")


def settled(page):
    """The image, when it has not changed for a while."""
    found = [image(page)]
    for _ in range(MILLISECONDS // 500):
        page.wait_for_timeout(500)
        found.append(image(page))
        if len(found) > 4 and all(np.array_equal(x, found[-1]) for x in found[-4:]):
            return found[-1]
    raise AssertionError("it never rests")


def num_red(found):
    """The pixels of the ball's left half."""
    return int(((found[..., 0] > 0.7) & (found[..., 2] < 0.3)).sum())


def num_grey(found):
    """The pixels of photographs."""
    return int(((np.ptp(found, axis=-1) < 0.03) & (found[..., 0] > 0.3)).sum())


def test_the_first_image_is_that_of_the_field_and_nothing_is_fetched_elsewhere(shown):
    page, requests, _, viewer = shown
    until(page, lambda found: num_red(found) > 500)
    assert not [
        url for url in requests if not re.match(rf"(blob:|data:)?{viewer.address}|data:", url)
    ]
    assert page.get_by_text("Share", exact=True).count() == 0


def test_moving_changes_the_image(shown):
    page, *_ = shown
    home = page.get_by_role("button", name="Back to the start")
    until(page, lambda found: num_grey(found) > 500)  # the photograph of the nearest camera
    home.click()
    before = settled(page)
    page.mouse.move(200, 250)
    page.mouse.wheel(0, -300)
    until(page, lambda found: num_red(found) > 1.3 * num_red(before))
    home.click()
    until(page, lambda found: np.abs(found - before).mean() < 0.02)


def test_a_click_on_a_camera_goes_there(shown, ball):
    """It stands in the middle of the image, seen from behind."""
    page, _, _, viewer = shown
    frame, pose = PageFrame.of(ball.scene), np.asarray(ball.scene.cameras.camtoworlds[4])
    wxyz, position = frame.to_page(pose)
    (window,) = viewer._windows.values()
    behind = position + 0.8 * pose[:, 2]
    window.fly(window.camera()._replace(wxyz=wxyz, position=behind))
    settled(page)
    canvas = page.locator("canvas").first.bounding_box()  # a slow page draws fewer pixels
    middle = (canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2)
    page.mouse.move(middle[0] + 5, middle[1])
    page.mouse.move(*middle)
    page.wait_for_timeout(500)  # the page looks for what is under the pointer when it draws
    page.mouse.click(*middle, delay=300)
    wait_for(lambda: np.allclose(window.camera().position, position, atol=1e-3))
    page.get_by_role("tab", name="Cameras").click()
    assert page.get_by_label("View", exact=True).input_value() == "4: e (held out)"


def test_a_view_stands_beside_its_photograph_until_the_camera_moves(shown):
    page, *_ = shown
    page.get_by_role("tab", name="Cameras").click()
    page.get_by_role("button", name="Fly to this view").click()
    before = num_grey(settled(page))
    compare = page.get_by_label("Beside its photograph")
    compare.check()
    until(page, lambda found: num_grey(found) > before + 3000)
    until(page, lambda found: num_red(found[:, : found.shape[1] // 2]) > 100)  # the rendering
    compare.uncheck()
    until(page, lambda found: num_grey(found) < before + 500)


def test_the_crop_box_leaves_out_what_is_not_in_it(shown):
    page, *_ = shown
    page.get_by_role("tab", name="View").click()
    page.get_by_role("button", name="Back to the start").click()
    before = settled(page)
    page.get_by_text("Crop box").click()
    crop = page.get_by_label("Draw only the box")
    crop.check()
    thumbs = page.locator(".multi-slider-thumb")  # the lowest and the highest x, then y and z
    thumbs.nth(1).scroll_into_view_if_needed()
    low, high = (thumbs.nth(number).bounding_box() for number in (0, 1))
    page.mouse.move(high["x"] + 3, high["y"] + 3)
    page.mouse.down()
    page.mouse.move(0.7 * low["x"] + 0.3 * high["x"], high["y"] + 3, steps=5)  # left of the ball
    page.mouse.up()
    until(page, lambda found: num_red(found) < 0.5 * num_red(before))
    crop.uncheck()
    until(page, lambda found: num_red(found) > 0.9 * num_red(before))
    page.get_by_text("Crop box").click()


def test_two_windows_have_their_own_cameras_and_a_closed_one_is_gone(shown):
    page, _, _, viewer = shown
    page.get_by_role("tab", name="View").click()
    page.get_by_role("button", name="Back to the start").click()
    before = settled(page)
    other = page.context.browser.new_page(viewport=SIZE)
    other.set_default_timeout(MILLISECONDS)
    other.goto(viewer.address)
    wait_until_sharp(other)
    assert viewer.num_windows == 2
    until(other, lambda found: num_red(found) > 500)
    other.mouse.move(200, 250)
    other.mouse.wheel(0, -400)
    until(other, lambda found: num_red(found) > 1.3 * num_red(before))
    assert np.abs(settled(page) - before).mean() < 0.02
    other.close()
    wait_for(lambda: viewer.num_windows == 1)


def test_a_keyframe_path_is_saved_and_rendered_or_cancelled(shown):
    page, _, folder, _ = shown
    page.get_by_role("tab", name="Path").click()
    for label, value in (("Seconds", "0.5"), ("Frames a second", "6")):
        page.get_by_label(label).fill(value)
        page.keyboard.press("Enter")
    add = page.get_by_role("button", name="Add this view as a keyframe")
    add.click()
    page.get_by_text("1 keyframe (").wait_for()
    page.mouse.move(200, 250)
    page.mouse.wheel(0, -200)
    wait_until_sharp(page)
    add.click()
    page.get_by_text("2 keyframes").wait_for()
    page.get_by_role("button", name="Save the path").click()
    page.get_by_text(f"saved: {folder / 'path.json'}").wait_for()
    page.get_by_role("button", name="Render the video").click()
    page.get_by_text(f"saved: {folder / 'path.mp4'}").wait_for()
    assert sorted(path.name for path in folder.iterdir()) == ["path.json", "path.mp4"]
    assert (folder / "path.mp4").stat().st_size > 500
    page.get_by_role("button", name="Clear").click()
    page.get_by_text("no keyframes yet").wait_for()
    page.locator("input[type=file]").set_input_files(folder / "path.json")
    page.get_by_text("2 keyframes").wait_for()
    page.get_by_label("Seconds").fill("300")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Render the video").click()
    page.get_by_text(re.compile(r"frame \d+ of 1800")).wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("cancelled: nothing is written").wait_for()
    page.get_by_role("button", name="Cancel").wait_for(state="hidden")
    assert sorted(path.name for path in folder.iterdir()) == ["path.json", "path.mp4"]
