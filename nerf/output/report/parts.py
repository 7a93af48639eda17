"""Parts that several pages use: the slider over two images, their maps, and tables."""

from collections.abc import Mapping, Sequence

from nerf.output.images import MAX_ERROR
from nerf.output.report.content import SCORES, ViewContent
from nerf.output.report.encoding import Encoded
from nerf.output.report.markup import Child, Markup, element, joined

_NUM_TICKS = 6  # of the errors

SSIM_TEXT = (
    "PSNR is -10 log10 of the mean squared error of colours in [0, 1]. SSIM is that of Wang et al. "
    "2004: an 11x11 Gaussian window with a standard deviation of 1.5 pixels, K1 = 0.01, "
    "K2 = 0.03, in windows that lie wholly inside the image, the mean over the three colours "
    "(computed by dm-pix; other programs use other windows, and their numbers differ). MS-SSIM is "
    "that of Wang et al. 2003 with its five scales and weights, and needs images of at least 161 "
    "pixels on each side. FLIP is that of Andersson et al. 2020 at 67 pixels per degree (by "
    "flip-evaluator, where it is installed); 0 means equal. Pixels that a mask leaves out count in "
    "none of them. LPIPS is not computed."
)


def slider(
    left: Encoded,
    right: Encoded,
    left_name: str,
    right_name: str,
    label: str,
    *,
    shared_as: str | None = None,
    is_first: bool = True,
) -> Markup:
    """Two images on top of each other, with a handle that shows more of one or of the other.

    It is a range of HTML, so mouse, touch and keys move it. On paper both stand side by side.

    Args:
      left, right: the images.
      left_name, right_name: what they are.
      label: what the handle does, for those who cannot see it.
      shared_as: the name of `right` where several sliders of the page show it; it is in the page
        once, with the first of them.
      is_first: whether this is the first.
    """
    size = {"width": left.width, "height": left.height}
    same = {"id": shared_as, "src": right.uri} if is_first else {"data_same": shared_as}
    return element(
        "div",
        element(
            "div",
            element("img", alt=right_name, **same, **size),
            element("span", right_name, class_="tag right"),
            class_="under",
        ),
        element(
            "div",
            element("img", src=left.uri, alt=left_name, **size),
            element("span", left_name, class_="tag left"),
            class_="over",
        ),
        element("input", type="range", min=0, max=100, step=0.5, value=50, aria_label=label),
        class_="pair",
        style=f"aspect-ratio:{left.width}/{left.height}",
    )


def plain_image(image: Encoded, name: str) -> Markup:
    """One image with its name in a corner, as large as a slider."""
    shown = element("img", src=image.uri, alt=name, width=image.width,
                    height=image.height)  # fmt: skip
    ratio = f"aspect-ratio:{image.width}/{image.height}"
    tag = element("span", name, class_="tag left")
    return element("div", shown, tag, class_="single", style=ratio)


def maps(view: ViewContent, depth: Encoded | None, error: Encoded | None) -> Markup | None:
    """Depth and error of a view beside each other, each with its scale; None without both."""
    shown = [
        None if depth is None else _depth_map(depth, view),
        None if error is None else _error_map(error, view.name),
    ]
    return element("div", shown, class_="maps") if any(shown) else None


def _error_map(image: Encoded, name: str) -> Markup:
    """The error of a view with its scale."""
    ticks = [(MAX_ERROR * (n / (_NUM_TICKS - 1)) ** 2) for n in range(_NUM_TICKS)]
    texts = [f"{tick:.2g}" for tick in ticks]
    texts[-1] = f"≥ {texts[-1]}"
    return _map(image, f"error of {name}", "error", element("div", class_="bar"), texts)


def _depth_map(image: Encoded, view: ViewContent) -> Markup:
    """The depth of a view with its scale."""
    if view.depth_range is None:
        texts = ["near", "far"]
    else:
        near, far = view.depth_range
        texts = [f"{near:.3g}", f"{far:.3g} scene units"]
    bar = element("div", class_="bar reversed")
    return _map(image, f"depth of {view.name}", "depth", bar, texts)


def _map(image: Encoded, alt: str, title: str, bar: Markup, texts: Sequence[str]) -> Markup:
    ticks = element("div", [element("span", text) for text in texts], class_="ticks")
    return element(
        "figure",
        element("img", src=image.uri, alt=alt, width=image.width,
                height=image.height),
        element("figcaption", element("span", title, class_="name"), bar, ticks),
        class_="map",
    )  # fmt: skip


def scores_line(scores: Mapping[str, float]) -> Markup:
    """The scores of a view in a line."""
    known = [
        element("span", f"{score.label} ", element("b", score.text(scores[score.key])))
        for score in SCORES
        if score.key in scores
    ]
    return element("p", known, class_="scores")


def table(
    columns: Sequence[tuple[str, bool]],
    rows: Sequence[Sequence[tuple[Child, float | str | None]]],
    *,
    is_sortable: bool = True,
) -> Markup:
    """A table in a box that scrolls by itself where the window is narrow.

    Args:
      columns: the heading of each, and whether it holds numbers.
      rows: what each cell shows, and by what it is sorted; None goes last.
      is_sortable: whether a click on a heading sorts the rows.
    """
    head = [
        element(
            "th",
            element("button", name, type="button") if is_sortable else name,
            scope="col",
            class_="number" if is_number else None,
        )
        for name, is_number in columns
    ]
    body = [
        element(
            "tr",
            [
                element(
                    "td",
                    shown,
                    class_="number" if is_number else None,
                    data_sort="" if key is None else str(key),
                )
                for (shown, key), (_, is_number) in zip(row, columns, strict=True)
            ],
        )
        for row in rows
    ]
    content = joined(element("thead", element("tr", head)), element("tbody", body))
    css = "table" if is_sortable else "table fixed"
    return element("div", element("table", content), class_=css, tabindex=0)


def file_name(name: str) -> Markup:
    """The name of a file, which may be written from right to left."""
    return element("bdi", name, class_="file")


def facts(pairs: Sequence[tuple[str, str]]) -> Markup:
    """Names and values, one under the other."""
    return element(
        "dl", [joined(element("dt", name), element("dd", value)) for name, value in pairs]
    )
