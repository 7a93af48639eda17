"""Laws of the page of a comparison: each truth is in it once, and all text is text."""

import dataclasses

import numpy as np
import pytest

from nerf.output.report.compare_page import CompareContent, TableCell, ViewGroup, compare_page
from nerf.output.report.content import ViewContent
from nerf.output.report.encoding import Source
from tests.support.pages import HARMFUL, Page, assert_fetches_nothing

RNG = np.random.default_rng(0)


def source():
    image = RNG.integers(0, 255, (6, 8, 3), np.uint8)
    return Source(lambda: image, 6, 8)


TRUTHS = [source(), source()]


def view(index):
    return ViewContent(
        index, f"IMG_{index}", {"psnr": 20.0}, None, (8, 6), source(), TRUTHS[index], source(),
        source(),
    )  # fmt: skip


GROUP = ViewGroup("meadow", ("a", "b"), [[view(0), view(0)], [view(1), view(1)]], 3, "photograph")
CONTENT = CompareContent(
    columns=[("run", False), ("PSNR", True)],
    rows=[
        [TableCell("a", "a"), TableCell("20.0 dB", 20.0)],
        [TableCell("b", "b"), TableCell("21.0 dB", 21.0, True)],
        [TableCell("c", "c"), TableCell("-", None)],
    ],
    groups=[GROUP],
    same=[("field", "planes"), ("backend", "flax")],
    remarks=["left out: `c`"],
    labels=["a", "b", "c"],
    differences=[("seed", ["0", "1", "0"])],
    version="9.9",
)


def test_the_table_the_views_and_what_differs_are_shown():
    page = assert_fetches_nothing(compare_page(CONTENT))
    for text in (
        "3 runs", "20.0 dB", "left out: c", "Views of meadow", "IMG_1", "3 more views", "seed",
        "The same in all: field planes, backend flax.", "Written by nerf 9.9",
    ):  # fmt: skip
        assert text in page.text, text
    assert page.num("b") >= 1
    keys = [a["data-sort"] for _, a in page.elements if "data-sort" in a]
    assert keys[:6] == ["a", "20.0", "b", "21.0", "c", ""]


def test_every_truth_is_in_the_page_once_and_shown_with_each_run():
    page = Page(compare_page(CONTENT))
    images = [attributes for name, attributes in page.elements if name == "img"]
    truths = [image for image in images if image["alt"] == "photograph"]
    own = [image["id"] for image in truths if "src" in image]
    again = [image["data-same"] for image in truths if "src" not in image]
    assert len(set(own)) == 2
    assert own == again
    written = [image["src"] for image in images if "src" in image]
    assert len(written) == len(set(written)) == 2 + 4 * 3


def test_a_chooser_has_one_choice_for_each_view():
    page = Page(compare_page(CONTENT))
    assert page.num("option") == 2
    assert sum("choice" in (a.get("class") or "").split() for _, a in page.elements) == 2


@pytest.mark.parametrize("text", HARMFUL)
def test_no_text_of_a_run_becomes_an_element(text):
    views = [[dataclasses.replace(v, name=text) for v in views] for views in GROUP.views]
    harmful = dataclasses.replace(
        CONTENT,
        columns=[(text, False), (text, True)],
        rows=[[cell._replace(text=text, key=text) for cell in row] for row in CONTENT.rows],
        groups=[dataclasses.replace(GROUP, title=text, labels=(text, text), views=views)],
        same=[(text, text), (text, text)],
        remarks=[text],
        labels=[text] * 3,
        differences=[(text, [text] * 3)],
    )
    page = assert_fetches_nothing(compare_page(harmful))
    plain = Page(compare_page(CONTENT))
    assert [n for n, _ in page.elements if n != "code"] == [
        n for n, _ in plain.elements if n != "code"
    ]
    assert page.scripts == plain.scripts


def test_without_views_in_common_there_is_the_table():
    page = assert_fetches_nothing(
        compare_page(dataclasses.replace(CONTENT, groups=[], differences=[], remarks=[]))
    )
    assert page.num("img") == 0
    assert page.num("table") == 1


def test_a_run_may_lack_an_image():
    poor = ViewContent(0, "IMG_0", {}, rendered=source())
    group = dataclasses.replace(GROUP, views=[[view(0), poor]])
    page = assert_fetches_nothing(compare_page(dataclasses.replace(CONTENT, groups=[group])))
    assert page.num("img") == 4 + 2  # the truth is shown with both runs
    none = ViewContent(0, "IMG_0", {})
    group = dataclasses.replace(GROUP, views=[[none, view(0)]])
    page = assert_fetches_nothing(compare_page(dataclasses.replace(CONTENT, groups=[group])))
    ids = {a["id"] for _, a in page.elements if "id" in a}
    assert {a["data-same"] for _, a in page.elements if "data-same" in a} <= ids
