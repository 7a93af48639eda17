"""HTML and SVG as nested elements. All text is escaped here, and nowhere else."""

import html
import re
from collections.abc import Iterable

from nerf.errors import printable

_VOID = {"br", "col", "hr", "img", "input", "link", "meta", "source"}  # without an end tag


class Markup(str):
    """Text that is HTML already. Only this module makes it, apart from the project's own files."""

    __slots__ = ()


Child = str | None | Iterable["Child"]


def element(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    r"""One element with its children.

    Args:
      name: of the element.
      *children: text, which is escaped; elements; lists of both; None is left out.
      **attributes: a name ends with `_` where Python would take it for a keyword, and other `_`
        stand for `-`; True writes the name alone, None and False write nothing.

    >>> print(
    ...     element(
    ...         "p", "a < b", element("br"), class_="note", data_view=3, hidden=True
    ...     )
    ... )
    <p class="note" data-view="3" hidden>a &lt; b<br></p>
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(*children)}</{name}>")


def joined(*children: Child) -> Markup:
    """Several elements and texts, one after the other."""
    return Markup("".join(_child(child) for child in children))


def with_code(text: str) -> Markup:
    """Text whose parts in backticks are shown as code.

    >>> print(with_code("give `near` < 1"))
    give <code>near</code> &lt; 1
    """
    parts = re.split(r"`([^`]+)`", text)
    return joined(
        *(element("code", part) if index % 2 else part for index, part in enumerate(parts))
    )


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return str(child)
    if isinstance(child, str):
        return _escaped(child)
    return "".join(_child(each) for each in child)


def _attribute(key: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{_escaped(str(value))}"'


def _escaped(text: str) -> str:
    """Text for HTML; what no page can hold, e.g. half a character, becomes an escape."""
    return html.escape(printable(text))
