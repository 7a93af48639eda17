"""Laws of `report.html`: all that is known is shown, nothing is fetched, and all text is text."""

import dataclasses
import re

import numpy as np
import pytest

from nerf.output.report.content import RunContent, VideoContent, ViewContent
from nerf.output.report.encoding import Source
from nerf.output.report.run_page import run_page
from tests.support.pages import HARMFUL, Page, assert_fetches_nothing

IMAGE = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
SOURCE = Source(lambda: IMAGE, 6, 8)
VIEW = ViewContent(
    index=16,
    name="IMG_4026",
    scores={"psnr": 24.125, "ssim": 0.75, "flip": 0.125},
    masked=0.25,
    size=(8, 6),
    rendered=SOURCE,
    truth=SOURCE,
    error=SOURCE,
    depth=SOURCE,
    depth_range=(1.5, 12.25),
)
RUN = RunContent(
    name="meadow",
    subtitle="Field planes in flax",
    facts=[("scene", "meadow, photographs")],
    scores={"psnr": 24.125, "ms_ssim": 0.875},
    scored="Mean of 1 held-out views",
    truth_name="photograph",
    views=[VIEW],
    lines=[{"step": n, "seconds": n / 2, "loss": 1.0 / n, "psnr": 20.0} for n in (1, 2, 3)],
    videos=[VideoContent("video.mp4", "data:video/mp4;base64,AAAA")],
    notes=["2 images have no pose: `near` was given"],
    changed=[("train.num_rays", "64", "4096")],
    settings={"train": [("num_rays", "64")]},
    machine=[("device", "cpu")],
    version="9.9",
)


def test_all_that_is_known_is_shown():
    page = assert_fetches_nothing(run_page(RUN))
    for text in (
        "meadow", "Field planes in flax", "24.12 dB", "0.7500", "0.8750", "IMG_4026", "view 16",
        "without the 25% that is masked", "1.5", "12.2 scene units", "2 images have no pose",
        "train.num_rays", "4096", "device", "Written by nerf 9.9", "Wang et al. 2004",
    ):  # fmt: skip
        assert text in page.text, text
    assert page.num("video") == 1
    assert page.num("svg") == 4  # loss and PSNR, over time and over steps
    assert page.num("h1") == 1
    assert ("code", {}) in page.elements


def test_a_view_has_its_four_images_and_one_slider():
    page = Page(run_page(RUN))
    images = [attributes for name, attributes in page.elements if name == "img"]
    assert [image["alt"] for image in images] == [
        "photograph", "rendering", "depth of IMG_4026", "error of IMG_4026",
    ]  # fmt: skip
    assert all(image["src"].startswith("data:image/png;base64,") for image in images)
    (slider,) = [a for name, a in page.elements if a.get("type") == "range"]
    assert "IMG_4026" in slider["aria-label"]
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert "view-16" in ids
    assert len(ids) == len(set(ids))
    assert "#view-16" in page.addresses


@pytest.mark.parametrize("text", HARMFUL)
def test_no_text_of_a_run_becomes_an_element(text):
    """Names of files and folders, notes and settings may hold anything."""
    harmful = dataclasses.replace(
        RUN,
        name=text,
        subtitle=text,
        facts=[(text, text)],
        scored=text,
        views=[dataclasses.replace(VIEW, name=text)],
        notes=[text],
        changed=[(text, text, text)],
        settings={text: [(text, text)]},
        machine=[(text, text)],
        version=text,
    )
    page = assert_fetches_nothing(run_page(harmful))
    plain = Page(run_page(RUN))
    tags = [name for name, _ in page.elements if name != "code"]
    assert tags == [name for name, _ in plain.elements if name != "code"]
    assert [sorted(a) for _, a in page.elements if a] == [sorted(a) for _, a in plain.elements if a]
    assert page.scripts == plain.scripts


def test_what_is_not_known_is_left_out():
    nothing = RunContent(
        name="meadow", subtitle="", facts=[], scores={}, scored="Nothing is scored.",
        truth_name="photograph", views=[], lines=[], videos=[], notes=None,
        changed=None, settings={}, machine=[], version="9.9",
    )  # fmt: skip
    page = assert_fetches_nothing(run_page(nothing))
    titles = re.findall(r"<h2>(.*?)</h2>", run_page(nothing))
    assert titles == ["Scores"]
    assert "Nothing is scored." in page.text
    assert (page.num("img"), page.num("video"), page.num("svg")) == (0, 0, 0)


@pytest.mark.parametrize("kinds", [(), ("rendered",), ("truth",), ("depth",), ("error", "truth")])
def test_a_view_may_lack_any_image(kinds):
    missing = {kind: None for kind in ("rendered", "truth", "error", "depth") if kind not in kinds}
    view = dataclasses.replace(VIEW, **missing, scores={}, masked=None, depth_range=None)
    page = assert_fetches_nothing(run_page(dataclasses.replace(RUN, views=[view])))
    assert "IMG_4026" in page.text
    shown = [kind for kind in kinds if kind != "truth"]  # which alone has nothing to stand beside
    assert page.num("img") == len(shown)
    assert not any(a.get("type") == "range" for _, a in page.elements)


def test_a_video_that_is_too_large_is_a_link_to_the_file_beside():
    page = assert_fetches_nothing(
        run_page(dataclasses.replace(RUN, videos=[VideoContent("video.mp4", note="It is large.")]))
    )
    assert "video.mp4" in page.addresses
    assert page.num("video") == 0


def test_a_video_that_is_scaled_down_stands_above_the_link():
    video = dataclasses.replace(RUN.videos[0], note="It is smaller.")
    page = assert_fetches_nothing(run_page(dataclasses.replace(RUN, videos=[video])))
    assert "It is smaller. It is beside this file: video.mp4." in page.text
    assert page.num("video") == 1


def test_all_videos_are_shown_or_named():
    videos = [
        *RUN.videos,
        VideoContent("video-my path.gif", "data:image/gif;base64,AAAA", is_image=True, note="!"),
        VideoContent("video-orbit/", note="A folder of 3 frames."),
    ]
    page = assert_fetches_nothing(run_page(dataclasses.replace(RUN, videos=videos)))
    assert {"video-my%20path.gif", "video-orbit/"} <= set(page.addresses)
    assert all(video.name in page.text for video in videos)
    assert page.num("img") == 1 + Page(run_page(RUN)).num("img")


def test_images_that_are_scaled_down_are_said_to_be():
    small = Source(lambda: IMAGE, 6, 8, max_pixels=12)
    view = dataclasses.replace(VIEW, rendered=small)
    assert "scaled down, e.g. from 8x6 to 4x3" in run_page(dataclasses.replace(RUN, views=[view]))
    assert "scaled down" not in Page(run_page(RUN)).text
