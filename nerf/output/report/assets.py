"""The style and the script of a page, and the frame around its content."""

import base64
import hashlib
from importlib import resources

import numpy as np

from nerf.output.images import magma, to_bytes
from nerf.output.report.markup import Child, Markup, element, joined

_FOLDER = resources.files("nerf") / "assets" / "report"
_NUM_STOPS = 12


def page(title: str, *content: Child) -> str:
    """A whole page as text: one file, which may fetch nothing and runs no script but its own.

    Args:
      title: of the window.
      *content: what stands in it.
    """
    style, script = (_read(name) for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(f":root{{--magma:{_magma_gradient()}}}\n{style}")),
    )
    body = element("body", element("main", *content), element("script", Markup(script)))
    return f"<!doctype html>\n{element('html', joined(head, body), lang='en')}\n"


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _magma_gradient() -> str:
    """The colours of errors and depths, from dark to bright."""
    colours = to_bytes(magma(np.linspace(0.0, 1.0, _NUM_STOPS))[None])[0]
    stops = ",".join("#{:02x}{:02x}{:02x}".format(*colour) for colour in colours)
    return f"linear-gradient(90deg,{stops})"
