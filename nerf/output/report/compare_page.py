"""The page of several runs: a table, the same views side by side, and what differs."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from nerf.errors import counted
from nerf.output.report import parts
from nerf.output.report.assets import page
from nerf.output.report.content import ViewContent
from nerf.output.report.encoding import Encoded, Source, encode_images, max_bytes
from nerf.output.report.markup import Child, Markup, element, joined, with_code


class TableCell(NamedTuple):
    """A cell: its text, its sort key, and whether it is the best of its scene."""

    text: str
    key: float | str | None
    is_best: bool = False


@dataclasses.dataclass(frozen=True)
class ViewGroup:
    """The views that the runs of one scene have in common.

    Attributes:
      title: the scene.
      labels: of the runs.
      views: for each view, its content in each run.
      num_others: how many views only some of the runs have scored.
      truth_name: the word for the scene's own images.
    """

    title: str
    labels: Sequence[str]
    views: Sequence[Sequence[ViewContent]]
    num_others: int
    truth_name: str


@dataclasses.dataclass(frozen=True)
class CompareContent:
    """What the page shows.

    Attributes:
      columns: of the table: heading, and whether it holds numbers.
      rows: its cells.
      groups: the views, scene by scene.
      same: what is the same in all runs: name and value.
      remarks: what is left out, and why.
      labels: of the runs.
      differences: settings that differ: name, and value of each run.
      version: of this program.
    """

    columns: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[TableCell]]
    groups: Sequence[ViewGroup]
    same: Sequence[tuple[str, str]]
    remarks: Sequence[str]
    labels: Sequence[str]
    differences: Sequence[tuple[str, Sequence[str]]]
    version: str


_Key = tuple[int, int, int, str]  # group, view, run, kind of an image
_TRUTH = -1  # in the place of a run: the truth is in the page once for all runs


def compare_page(content: CompareContent) -> str:
    """The whole page as text."""
    title = f"{len(content.rows)} runs beside each other"
    images = _encoded(content.groups)
    return page(
        title,
        element("header", element("p", "Comparison", class_="kicker"), element("h1", title)),
        _table(content),
        [_group(group, number, images) for number, group in enumerate(content.groups)],
        _differences(content),
        element("footer", f"Written by nerf {content.version}. This file fetches nothing."),
    )


def _encoded(groups: Sequence[ViewGroup]) -> dict[_Key, Encoded]:
    """All images of the page as data URIs."""
    found: dict[_Key, Source] = {}
    for group_number, group in enumerate(groups):
        for view_number, views in enumerate(group.views):
            where = (group_number, view_number)
            for run, view in enumerate(views):
                if view.truth is not None:
                    found.setdefault((*where, _TRUTH, "truth"), view.truth)
                for kind in ("rendered", "depth", "error"):
                    if (source := getattr(view, kind)) is not None:
                        found[(*where, run, kind)] = source
    num_views = sum(len(views) for group in groups for views in group.views)
    return dict(zip(found, encode_images(list(found.values()), max_bytes(num_views)), strict=True))


def _table(content: CompareContent) -> Markup:
    rows = [
        [(element("b", cell.text) if cell.is_best else cell.text, cell.key) for cell in row]
        for row in content.rows
    ]
    remarks = [element("li", with_code(remark)) for remark in content.remarks]
    return element(
        "section",
        element("h2", "Table"),
        parts.table(content.columns, rows),
        element("p", "The same in all: ", _list(content.same), ".") if content.same else None,
        element("ul", remarks, class_="notes") if remarks else None,
        element("p", "Bold is the best of its scene. ", parts.SSIM_TEXT, class_="aside"),
    )


def _list(pairs: Sequence[tuple[str, str]]) -> Markup:
    """Names and values in a line."""
    return joined(
        [", " if n else "", f"{name} ", parts.file_name(value)]
        for n, (name, value) in enumerate(pairs)
    )


def _group(group: ViewGroup, number: int, images: dict[_Key, Encoded]) -> Markup:
    """The views of one scene, of which a chooser shows one at a time."""
    names = [views[0].name for views in group.views]
    options = [element("option", name) for name in names]
    chooser = element(
        "div",
        element("label", "View ", element("select", options)),
        element("button", "previous", type="button", data_step=-1),
        element("button", "next", type="button", data_step=1),
        class_="chooser",
    )
    text = (
        f"All handles move together: the rendering is on their left, the {group.truth_name} on "
        "their right. The error of a pixel is the mean of |rendering - truth| over its colours."
    )
    if group.num_others:
        more = counted(group.num_others, "more view is", "more views are")
        text += f" {more} not shown, since not all runs have scored the same."
    choices = [
        element(
            "div",
            [
                _run(group, label, view, (number, view_number, run), images)
                for run, (label, view) in enumerate(zip(group.labels, views, strict=True))
            ],
            class_="choice views together",
        )
        for view_number, views in enumerate(group.views)
    ]
    heading = element("h2", "Views of ", parts.file_name(group.title))
    return element("section", heading, element("p", text, class_="aside"), chooser, choices)


def _run(
    group: ViewGroup,
    label: str,
    view: ViewContent,
    where: tuple[int, int, int],
    images: dict[_Key, Encoded],
) -> Markup:
    """A view as one run has rendered it."""
    group_number, view_number, run = where
    rendered, depth, error = (images.get((*where, k)) for k in ("rendered", "depth", "error"))
    truth = images.get((group_number, view_number, _TRUTH, "truth"))
    main: Child = None
    if rendered is not None and truth is not None:
        main = parts.slider(
            rendered,
            truth,
            "rendering",
            group.truth_name,
            f"Position of the handles between rendering and {group.truth_name} of {view.name}",
            shared_as=f"truth-{group_number}-{view_number}",
            is_first=not any(
                (group_number, view_number, n, "rendered") in images for n in range(run)
            ),
        )
    elif rendered is not None:
        main = parts.plain_image(rendered, "rendering")
    size = "" if view.size is None else "{}x{}".format(*view.size)
    return element(
        "article",
        element("h3", parts.file_name(label), element("small", size)),
        parts.scores_line(view.scores),
        main,
        parts.maps(view, depth, error),
        class_="view",
    )


def _differences(content: CompareContent) -> Markup | None:
    if not content.differences:
        return None
    columns = [("setting", False), *((label, False) for label in content.labels)]
    rows = [[(text, None) for text in (name, *values)] for name, values in content.differences]
    text = "A dash stands for a setting that the field of the run does not have."
    return element(
        "section",
        element("h2", "Settings that differ"),
        element("p", text, class_="aside"),
        parts.table(columns, rows, is_sortable=False),
    )
