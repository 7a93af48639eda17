"""The page in a real browser, as a user sees and uses it; skips where there is none."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from nerf.viewer.server import Viewer
from tests.support.browser import chromium
from tests.viewer.test_windows import Photos

pytestmark = pytest.mark.slow
MILLISECONDS = 30_000  # at most
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
            asked = []
            page.on("request", lambda request: asked.append(request.url))
            page.goto(viewer.address)
            wait_until_sharp(page)
            yield page, asked, folder, viewer
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
    page, asked, _, viewer = shown
    until(page, lambda found: num_red(found) > 500)
    assert not [url for url in asked if not re.match(rf"(blob:|data:)?{viewer.address}|data:", url)]
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


def test_a_keyframe_path_is_saved_and_rendered(shown):
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
