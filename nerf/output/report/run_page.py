"""The page of one run, `report.html`."""

from collections.abc import Sequence
from urllib.parse import quote

from nerf.output.report import parts
from nerf.output.report.assets import page
from nerf.output.report.content import SCORES, RunContent, VideoContent, ViewContent
from nerf.output.report.curves import charts_over
from nerf.output.report.encoding import Encoded, Source, encode_images, max_bytes
from nerf.output.report.markup import Child, Markup, element, joined, with_code

_KINDS = ("rendered", "truth", "error", "depth")

Images = dict[str, Encoded]  # of a view, by kind


def run_page(run: RunContent) -> str:
    """The whole page as text."""
    used = sum(len(video.uri) for video in run.videos if video.uri is not None) * 3 // 4
    images = encode_views(run.views, max_bytes(len(run.views)) - used)
    return page(
        f"{run.name}: report of a run",
        _heading(run),
        _section("What the check of the capture said", _notes(run.notes)),
        _section("Held-out views", _views(run, images)),
        _section("Scores", _scores(run)),
        _section("Curves", _curves(run)),
        _section("Videos" if len(run.videos) > 1 else "Video", _videos(run), css="screen"),
        _section("Settings", _settings(run)),
        _section("Machine", parts.facts(run.machine) if run.machine else None),
        element("footer", f"Written by nerf {run.version}. This file fetches nothing."),
    )


def encode_views(views: Sequence[ViewContent], limit: int) -> list[Images]:
    """The images of each view as data URIs, by kind; those that are not there are left out."""
    found: list[tuple[int, str, Source]] = []
    for number, view in enumerate(views):
        for kind in _KINDS:
            source = getattr(view, kind)
            if source is not None:
                found.append((number, kind, source))
    encoded = encode_images([source for _, _, source in found], limit)
    images: list[Images] = [{} for _ in views]
    for (number, kind, _), image in zip(found, encoded, strict=True):
        images[number][kind] = image
    return images


def _section(title: str, content: Child, css: str | None = None) -> Markup | None:
    """A section with its heading; None without content."""
    if content is None:
        return None
    return element("section", element("h2", title), content, class_=css)


def _heading(run: RunContent) -> Markup:
    tiles = [
        element(
            "div",
            element("dt", score.label),
            element("dd", score.text(run.scores[score.key])),
            class_="tile",
        )
        for score in SCORES
        if score.key in run.scores
    ]
    return element(
        "header",
        element("p", "Report of a run", class_="kicker"),
        element("h1", parts.file_name(run.name)),
        element("p", run.subtitle, class_="subtitle"),
        element("dl", tiles, class_="tiles") if tiles else None,
        element("p", run.scored, class_="aside"),
        parts.facts(run.facts),
    )


def _notes(notes: Sequence[str] | None) -> Markup | None:
    if not notes:
        return None
    return element("ul", [element("li", with_code(note)) for note in notes], class_="notes")


def _views(run: RunContent, images: Sequence[Images]) -> Markup | None:
    cards = [_view(run, view, shown) for view, shown in zip(run.views, images, strict=True)]
    if not cards:
        return None
    text = (
        f"Move the handle over an image: the rendering is on its left, the {run.truth_name} on its "
        "right. "
    )
    error = (
        "The error of a pixel is the mean of |rendering - truth| over its colours, on one scale "
        "for all views. Depth is measured along the viewing axis, and near is bright."
    )
    smaller = _sizes_text(run, images)
    return joined(
        element("p", text, error, smaller, class_="aside"), element("div", cards, class_="views")
    )


def _sizes_text(run: RunContent, images: Sequence[Images]) -> str:
    """What the page has done to the images to keep the file small."""
    for view, shown in zip(run.views, images, strict=True):
        image = shown.get("rendered")
        if view.size is not None and image is not None and image.width < view.size[0]:
            width, height = view.size
            return (
                f" To keep this file small, the images are scaled down, e.g. from {width}x{height} "
                f"to {image.width}x{image.height}, and compressed; the folder renders/ has them "
                "pixel for pixel."
            )
    return " Large images are compressed; the folder renders/ has them pixel for pixel."


def _view(run: RunContent, view: ViewContent, images: Images) -> Markup:
    main: Child = None
    if "rendered" in images and "truth" in images:
        label = f"Position of the handle between rendering and {run.truth_name} of {view.name}"
        main = parts.slider(images["rendered"], images["truth"], "rendering", run.truth_name, label)
    elif "rendered" in images:
        main = parts.plain_image(images["rendered"], "rendering")
    masked = "" if view.masked is None else f"without the {view.masked:.0%} that is masked"
    return element(
        "article",
        element("h3", parts.file_name(view.name), element("small", f"view {view.index}")),
        parts.scores_line(view.scores),
        main,
        parts.maps(view, images.get("depth"), images.get("error")),
        element("p", masked, class_="aside") if masked else None,
        id=f"view-{view.index}",
        class_="view",
    )


def _scores(run: RunContent) -> Markup | None:
    if not run.views:
        return element("p", run.scored, class_="aside")
    known = [score for score in SCORES if any(score.key in view.scores for view in run.views)]
    columns = [("file", False), *((score.label, True) for score in known)]
    rows = []
    for view in run.views:
        link = element("a", parts.file_name(view.name), href=f"#view-{view.index}")
        cells: list[tuple[Child, float | str | None]] = [(link, view.name)]
        for score in known:
            value = view.scores.get(score.key)
            cells.append((score.text(value), value))
        rows.append(cells)
    return joined(
        parts.table(columns, rows),
        element("p", parts.SSIM_TEXT, class_="aside"),
    )


def _curves(run: RunContent) -> Markup | None:
    over = {axis: charts_over(axis, run.lines) for axis in ("seconds", "step")}
    if not any(over.values()):
        return None
    choices = [
        element(
            "label",
            element("input", type="radio", name="axis", value=axis, checked=axis == "seconds"),
            f" over {'time' if axis == 'seconds' else 'steps'}",
        )
        for axis in over
    ]
    text = (
        "Faint: each reading of a training batch. Strong: medians of neighbours. Dots: the middle "
        "held-out view, drawn small during training."
    )
    return element(
        "div",
        element("fieldset", element("legend", "Curves"), choices),
        [element("div", charts, class_=f"charts over-{axis}") for axis, charts in over.items()],
        element("p", text, class_="aside"),
        class_="curves",
    )


def _videos(run: RunContent) -> Markup | None:
    if len(run.videos) < 2:
        return _video(run.videos[0], is_alone=True) if run.videos else None
    shown = [_video(video, is_alone=False) for video in run.videos]
    return element("div", shown, class_="videos")


def _video(video: VideoContent, *, is_alone: bool) -> Markup:
    player: Child = None
    if video.uri is not None and video.is_image:
        player = element("img", src=video.uri, alt=f"the video {video.name}", class_="video")
    elif video.uri is not None:
        player = element("video", src=video.uri, controls=True, loop=True, muted=True)
    note: Child = None
    if video.note is not None:
        link = element("a", video.name, href=quote(video.name))
        note = element("p", f"{video.note} It is beside this file: ", link, ".", class_="aside")
    heading = None if is_alone else element("h3", parts.file_name(video.name))
    return element("div", heading, player, note)


def _settings(run: RunContent) -> Markup | None:
    if not run.settings and run.changed is None:
        return None
    groups = [
        element("div", element("h3", part), parts.facts(pairs))
        for part, pairs in run.settings.items()
    ]
    if run.changed is None:
        first: Child = None
    elif not run.changed:
        first = element("p", "All settings are those of the preset.", class_="aside")
    else:
        text = "These differ from the preset: they were given, or fitted to the scene."
        columns = [("setting", False), ("this run", False), ("preset", False)]
        rows = [[(value, None) for value in row] for row in run.changed]
        first = joined(element("p", text, class_="aside"), parts.table(columns, rows,
                       is_sortable=False))  # fmt: skip
    all_of_them = element("details", element("summary", "All settings"),
                          element("div", groups, class_="groups"))  # fmt: skip
    return joined(first, all_of_them if groups else None)
