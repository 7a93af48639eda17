"""What a page of HTML holds, as Python's own parser reads it."""

import re
from html.parser import HTMLParser

HARMFUL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "&lt;b&gt; `</code><b>`",
    "]]></style><script>",
    "\U0001f33b \u202e \ud800 \x00 \n",
]
_ADDRESSES = ("src", "href", "srcset", "poster", "action", "data", "xlink:href")


class Page(HTMLParser):
    """A parsed page.

    Attributes:
      elements: name and attributes of each element.
      addresses: what attributes refer to.
      text: all text but that of style and script.
      scripts, styles: their texts.
    """

    def __init__(self, content):
        super().__init__(convert_charrefs=True)
        self.elements, self.addresses = [], []
        self.scripts, self.styles, self.text = [], [], ""
        self._inside = []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.addresses += [value for name, value in attrs if name in _ADDRESSES]
        if tag in ("script", "style"):
            self._inside.append(tag)

    def handle_endtag(self, tag):
        if self._inside and tag == self._inside[-1]:
            self._inside.pop()

    def handle_data(self, data):
        if not self._inside:
            self.text += data
        elif self._inside[-1] == "script":
            self.scripts.append(data)
        else:
            self.styles.append(data)

    def num(self, tag):
        """How many elements of a name there are."""
        return sum(name == tag for name, _ in self.elements)


def assert_fetches_nothing(content):
    """Nothing of a page is elsewhere: neither an address nor its style or script leads away."""
    page = Page(content)
    for address in page.addresses:
        assert address.startswith(("data:", "#")) or re.match(r"video[^:]*$", address), address[:80]
    for text in [*page.styles, *page.scripts]:
        assert "http" not in text
        assert "@import" not in text
        assert "url(" not in text
    assert not any(name in ("link", "iframe", "object", "embed") for name, _ in page.elements)
    policy = [a["content"] for _, a in page.elements if a.get("http-equiv")]
    assert len(policy) == 1
    assert policy[0].startswith("default-src 'none'")
    return page
