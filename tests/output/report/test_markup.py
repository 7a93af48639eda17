"""Laws of markup: all text is escaped, whatever it holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerf.errors import printable
from nerf.output.report.markup import element, joined, with_code
from tests.support.pages import HARMFUL, Page


@pytest.mark.parametrize("text", HARMFUL)
def test_text_and_attributes_make_no_elements(text):
    page = Page(element("p", text, joined(text), [text], title=text, data_name=text))
    shown = printable(text)
    assert page.elements == [("p", {"title": shown, "data-name": shown})]
    assert page.text == shown * 3


@given(st.text())
def test_every_text_can_be_written_and_comes_back_or_is_an_escape(text):
    written = element("p", text, title=text)
    written.encode("utf-8")  # a name of a file may hold half a character
    page = Page(written)
    assert len(page.elements) == 1
    if text.isprintable():
        assert page.text == text
        assert page.elements[0][1]["title"] == text


def test_elements_are_not_escaped_twice():
    assert element("b", element("i", "<")) == "<b><i>&lt;</i></b>"
    assert joined(element("br"), None, "a&b") == "<br>a&amp;b"


def test_attributes_may_be_left_out():
    assert element("input", type="radio", checked=True, disabled=False, id=None, x=3) == (
        '<input type="radio" checked x="3">'
    )


def test_code_in_backticks_is_escaped_too():
    assert with_code("a `<b>` c") == "a <code>&lt;b&gt;</code> c"
    assert with_code("no `pair") == "no `pair"
