"""The images of a run's held-out views, as they lie in its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nerf.jobs.reports.run_summary import RunSummary, view_name
from nerf.output import images
from nerf.output.images import ByteImage
from nerf.output.report.content import SCORES, ViewContent, finite
from nerf.output.report.encoding import Source
from nerf.runs import run_folder

_MAP_PIXELS = 504 * 378  # of depth and error, which are shown small
_UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # what Pillow raises
_NUM_PANELS = 3  # of a comparison: rendered, truth, depth


def view_contents(run: RunSummary) -> list[ViewContent]:
    """The scored views of a run with their images; those that cannot be read are left out."""
    return [_view(run, view) for view in run.views]


def _view(run: RunSummary, view: Mapping[str, Any]) -> ViewContent:
    stem = run.folder / run_folder.RENDERS_FOLDER / f"view_{view['index']:03d}"
    masked = finite(view.get("masked"))
    found = _sources(stem, is_masked=masked is not None)
    own = _file(stem.with_suffix(".png"), small=False)  # a comparison may be larger
    ends = view.get("depth_range")
    near_far = [finite(x) for x in ends] if isinstance(ends, list) else []
    known = [x for x in near_far if x is not None]
    return ViewContent(
        index=view["index"],
        name=view_name(view),
        scores={s.key: x for s in SCORES if (x := finite(view.get(s.key))) is not None},
        masked=masked,
        size=None if own is None else (own.width, own.height),
        depth_range=(known[0], known[1]) if len(known) == 2 else None,
        **found,
    )


def _sources(stem: Path, *, is_masked: bool) -> dict[str, Source]:
    """The images by their kind; an older folder has some only in its comparison.

    Args:
      stem: path of the view's images, without their endings.
      is_masked: whether a mask leaves out pixels, which an older folder does not say.
    """
    endings = {"rendered": "", "truth": "_truth", "error": "_error", "depth": "_depth"}
    files = {kind: stem.with_name(f"{stem.name}{e}.png") for kind, e in endings.items()}
    found = {}
    for kind, file in files.items():
        source = _file(file, small=kind in ("error", "depth"))
        if source is not None:
            found[kind] = source
    if "truth" not in found:
        found |= _from_comparison(stem.with_name(f"{stem.name}_comparison.png"))
        if {"rendered", "truth"} <= set(found) and not is_masked:
            found["error"] = _error(found["rendered"], found["truth"])
    return found


def _file(file: Path, *, small: bool) -> Source | None:
    """The file as a source, if it is an image; else None."""
    try:
        with Image.open(file) as image:
            width, height = image.size
    except _UNREADABLE:
        return None
    limit = _MAP_PIXELS if small else float("inf")
    return Source(lambda: _read(file, (height, width)), height, width, limit)


def _read(file: Path, size: tuple[int, int]) -> ByteImage:
    """The pixels of a file; grey where it is damaged further on."""
    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
    except _UNREADABLE:
        return np.full((*size, 3), 128, np.uint8)


def _from_comparison(file: Path) -> dict[str, Source]:
    """Rendering and truth from a comparison, in which small images are enlarged."""
    try:
        with Image.open(file) as image:
            panels = images.panels(np.asarray(image.convert("RGB")), _NUM_PANELS)
    except _UNREADABLE:
        return {}
    height, width, _ = panels[0].shape

    def source(number: int) -> Source:
        def read() -> ByteImage:
            sheet = _read(file, (0, 0))
            return images.panels(sheet, _NUM_PANELS)[number]

        return Source(read, height, width)

    return {"rendered": source(0), "truth": source(1)}


def _error(rendered: Source, truth: Source) -> Source:
    def read() -> ByteImage:
        one, other = (source.read().astype(np.float32) / 255.0 for source in (rendered, truth))
        return images.to_bytes(images.colorize_error(one, other))

    return Source(read, truth.height, truth.width, _MAP_PIXELS)
