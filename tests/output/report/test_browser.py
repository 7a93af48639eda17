"""Pages in a real browser, from the file system: the handle moves, and nothing is fetched."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

import nerf
from nerf.jobs.compare import compare_runs
from nerf.output.report.content import VideoContent
from nerf.output.report.run_page import run_page
from tests.output.report.test_run_page import RUN
from tests.support.browser import chromium
from tests.support.run_folders import write_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs, whose names need escapes in an address."""
    folder = tmp_path_factory.mktemp("pages")
    runs = [
        write_run(folder / f"run #{n} <b>%20", names=("<i>a\"'", "b"), quality=0.1 * n)
        for n in (1, 2)
    ]
    for run in runs:
        nerf.write_report(run)
    compare_runs(runs).write(page=folder / "compare.html")
    return folder


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


class Opened:
    """A page, what it has asked for, and what its console said."""

    def __init__(self, browser, file, **options):
        self.page = browser.new_page(**options)
        self.requests, self.errors = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda line: self.errors.append(line.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.address = file.as_uri()
        self.page.goto(self.address)

    def shown(self, locator):
        """The pixels of an element, `[height, width, 3]`."""
        png = locator.screenshot()
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.float32)

    def assert_quiet(self):
        outside = [url for url in self.requests if not url.startswith("data:")]
        assert outside == [self.address]
        assert self.errors == []


@pytest.fixture
def report(browser, folder):
    opened = Opened(browser, folder / "run #1 <b>%20" / "report.html")
    yield opened
    opened.assert_quiet()
    opened.page.close()


@pytest.fixture
def comparison(browser, folder):
    opened = Opened(browser, folder / "compare.html")
    yield opened
    opened.assert_quiet()
    opened.page.close()


def without_handle(pixels):
    """The middle of the height has the knob, the ends of the width may have the line."""
    height = len(pixels)
    return pixels[height // 8 : height // 3, 8:-8]


def test_the_handle_shows_rendering_or_truth(report):
    pair = report.page.locator(".pair").first
    handle = pair.locator("input")
    shown = {}
    for at in ("0", "100"):
        handle.evaluate(
            "(range, at) => { range.value = at; range.dispatchEvent(new Event('input')); }", at
        )
        shown[at] = without_handle(report.shown(pair))
    assert np.abs(shown["0"] - shown["100"]).mean() > 3.0
    shown["image"] = without_handle(report.shown(pair.locator(".over img")))
    assert np.abs(shown["100"] - shown["image"]).mean() < 1.0


def test_mouse_and_keys_move_one_handle_of_a_report(report):
    pairs = report.page.locator(".pair")
    pairs.first.scroll_into_view_if_needed()
    box = pairs.first.bounding_box()
    across, middle = box["width"], box["y"] + 0.5 * box["height"]
    report.page.mouse.move(box["x"] + 0.5 * across, middle)
    report.page.mouse.down()
    report.page.mouse.move(box["x"] + 0.25 * across, middle, steps=3)
    report.page.mouse.up()
    at = [float(pairs.nth(n).locator("input").input_value()) for n in (0, 1)]
    assert at == [pytest.approx(25.0, abs=2.0), 50.0]
    style = pairs.first.evaluate("pair => pair.style.getPropertyValue('--at')")
    assert style == f"{at[0]:g}%"
    pairs.first.locator("input").press("ArrowRight")
    assert float(pairs.first.locator("input").input_value()) == at[0] + 0.5


def test_all_images_of_a_report_are_drawn_and_a_name_is_text(report):
    sizes = report.page.evaluate("[...document.images].map((i) => [i.complete, i.naturalWidth])")
    assert sizes == [[True, 60]] * 8
    assert report.page.locator("h3").first.inner_text().startswith("<i>a\"'")
    assert report.page.locator("i").count() == 0


def test_a_click_on_a_heading_sorts_the_scores(report):
    table = report.page.locator("table").first

    def files():
        return [text.split("\t")[0] for text in table.locator("tbody tr").all_inner_texts()]

    assert files() == ["<i>a\"'", "b"]
    table.locator("th button").first.click()
    table.locator("th button").first.click()
    assert files() == ["b", "<i>a\"'"]
    assert table.locator("th").first.get_attribute("aria-sort") == "descending"


def test_a_report_is_no_wider_than_a_telephone(browser, folder):
    file = folder / "run #1 <b>%20" / "report.html"
    opened = Opened(browser, file, viewport={"width": 360, "height": 640})
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 360
    opened.assert_quiet()


def test_both_images_are_printed_side_by_side_and_no_handle(report):
    report.page.emulate_media(media="print")
    boxes = [report.page.locator(f".pair .{side} img").first.bounding_box()
             for side in ("over", "under")]  # fmt: skip
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    assert not report.page.locator(".pair input").first.is_visible()
    assert report.page.pdf()[:5] == b"%PDF-"
    assert report.page.locator("details").first.get_attribute("open") is not None


def test_two_views_fit_on_a_printed_page(report):
    report.page.emulate_media(media="print")
    width, height = (round(mm / 25.4 * 96) for mm in (210 - 2 * 14, 297 - 2 * 16))  # A4
    report.page.set_viewport_size({"width": width, "height": height})
    first, second = (report.page.locator(".view").nth(number).bounding_box() for number in (0, 1))
    assert second["y"] + second["height"] - first["y"] < height


def test_videos_stand_beside_each_other_or_apart_on_a_telephone(browser):
    videos = [VideoContent(f"{name}.mp4", "data:video/mp4;base64,AAAA") for name in "ab"]
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.set_content(run_page(dataclasses.replace(RUN, videos=videos)))
    names = page.locator(".videos h3")
    assert names.nth(0).bounding_box()["y"] == names.nth(1).bounding_box()["y"]
    page.set_viewport_size({"width": 360, "height": 640})
    player = page.locator("video").first.bounding_box()
    assert names.nth(1).bounding_box()["y"] > player["y"] + player["height"] + 16
    page.close()


def test_the_handles_of_a_comparison_move_together_and_views_are_chosen(comparison):
    page = comparison.page
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth === 60)")
    choices = page.locator(".choice")
    assert [choices.nth(n).is_visible() for n in (0, 1)] == [True, False]
    page.locator(".choice >> nth=0 >> .pair input >> nth=0").press("ArrowLeft")
    values = page.locator(".pair input").evaluate_all("all => all.map((each) => each.value)")
    assert values == ["49.5", "49.5", "50", "50"]
    page.locator(".chooser button").last.click()
    assert [choices.nth(n).is_visible() for n in (0, 1)] == [False, True]
    assert page.locator(".chooser select").evaluate("select => select.selectedIndex") == 1


def test_nothing_could_be_fetched_even_if_a_page_tried(report):
    loaded = report.page.evaluate(
        """() => new Promise((done) => {
          const image = new Image();
          image.onload = () => done(true);
          image.onerror = () => done(false);
          image.src = new URL("renders/view_000.png", location.href);
        })"""
    )
    assert loaded is False
    assert any("Content Security Policy" in line for line in report.errors)
    report.errors.clear()
    report.requests[:] = report.requests[:1]
