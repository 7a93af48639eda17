"""The survey of a capture that `nerf.inspect` prints and draws."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.captures.capture import Array, Capture, arrangement_of, depths_in_view
from nerf.captures.images.size_counts import sizes_in_words
from nerf.errors import UserError, counted, printable
from nerf.geometry.arrangement import CameraArrangement, rotation_to_upright, widest_gap

_KINDS = {
    "forward": "all look in about the same direction",
    "inward": "are arranged around a point and look at it",
    "free": "look in many directions",
}
_MAX_POINTS = 20_000  # that are drawn
_MAX_SLOPE = 3.0  # of the rays that are drawn through the corners of an image


def describe_capture(capture: Capture) -> Iterator[str]:
    """Lines about the files: format, lens, bounds, and the arrangement of the cameras."""
    yield survey_line("folder", printable(str(capture.folder)))
    yield survey_line("format", capture.format)
    sizes = sizes_in_words(capture.sizes)
    yield survey_line("views", f"{capture.num_views}, cameras for {sizes}")
    yield survey_line("lens", _lens(capture))
    if capture.bounds is None:
        yield survey_line("bounds", "not in the files")
    else:
        near, far = capture.bounds.T
        yield survey_line("bounds", f"{near.min():.4g} to {far.max():.4g}, in the files' unit")
    arrangement = arrangement_of(capture)
    yield survey_line("cameras", f"{_KINDS[arrangement.kind]}; {_spread(capture, arrangement)}")
    yield survey_line("coverage", _coverage(capture, arrangement))


def survey_line(name: str, value: str) -> str:
    """One line of the survey, with values in a column."""
    return f"{name + ':':<13}{value}"


def _lens(capture: Capture) -> str:
    """Model, distortion, focal length and principal point of the lenses, in words."""
    lens, is_panorama = capture.lens, capture.is_panorama
    if is_panorama.any():
        angles = capture.sizes[is_panorama] / np.asarray(lens.focal)[is_panorama]
        across, upright = np.degrees(angles).mean(axis=0)
        others = "" if is_panorama.all() else f", and {np.sum(~is_panorama)} other images"
        return f"equirectangular panoramas of {across:.0f} x {upright:.0f} degrees{others}"
    assert lens.distortion is not None
    assert lens.fisheye is not None
    focal, sizes = np.asarray(lens.focal), capture.sizes
    low, high = focal[:, 0].min(), focal[:, 0].max()
    shown = f"{low:.1f}" if high - low < 0.05 else f"{low:.1f} to {high:.1f}"
    half = 0.5 * sizes[:, 0] / focal[:, 0]
    angle = np.degrees(2 * np.where(lens.fisheye, half, np.arctan(half))).mean()
    offset = np.abs(np.asarray(lens.centre) + 0.5 - 0.5 * sizes).max()
    kind = "fisheye" if lens.fisheye.all() else "perspective and fisheye"
    kind = kind if lens.fisheye.any() else "perspective"
    distortion = "distorted" if np.any(lens.distortion) else "not distorted"
    axis = "in the centre" if offset <= 1.0 else f"up to {offset:.1f} pixels from the centre"
    return f"{kind}, {distortion}, focal length {shown} pixels ({angle:.0f} degrees), axis {axis}"


def _spread(capture: Capture, arrangement: CameraArrangement) -> str:
    """The extent of the positions and their distances to the focus, in words."""
    positions = capture.camtoworlds[:, :, 3]
    baseline = float(np.linalg.norm(positions.max(axis=0) - positions.min(axis=0)))
    distance = np.linalg.norm(positions - arrangement.focus, axis=-1)
    distances = f"{distance.min():.4g} to {distance.max():.4g} from their focus"
    return f"baseline {baseline:.4g}, {distances}, in the files' unit"


def _coverage(capture: Capture, arrangement: CameraArrangement) -> str:
    """The range of viewing directions, and how many views show a point, in words."""
    back = capture.camtoworlds[:, :, 2]
    if capture.is_panorama.all():
        return "panoramas show all directions"
    if arrangement.kind == "forward":
        mean = back.sum(axis=0) / np.linalg.norm(back.sum(axis=0))
        widest = np.degrees(np.arccos(np.clip(back @ mean, -1, 1))).max()
        text = f"views up to {widest:.0f} degrees from their mean"
    else:
        local = back @ rotation_to_upright(arrangement.up).T
        gap = np.degrees(widest_gap(local)[1])
        height = np.degrees(np.arcsin(np.clip(local[:, 1], -1, 1)))
        text = (
            f"{360 - gap:.0f} degrees around, the widest gap {gap:.0f}; from {height.min():.0f} to "
            f"{height.max():.0f} degrees above the horizon"
        )
    if len(capture.points):
        points = counted(len(capture.points), "point")
        text += f"; {points}, each in {_visibility(capture):.0%} of the views"
    return text


def _visibility(capture: Capture) -> float:
    """The mean fraction of the views that have a point in their image."""
    sample = capture.points[:: max(1, len(capture.points) // 1000)]
    views = range(capture.num_views)
    return float(np.mean([len(depths_in_view(capture, i, sample)) for i in views])) / len(sample)


class _Plot(NamedTuple):
    """What a plot shows: points `[..., 3]` in the files' unit, y up, x and z horizontal.

    Attributes:
      positions: `[num_views, 3]`, the cameras.
      corners: `[num_views, 4, 3]`, the corners of the images at the nearest depth.
      points: `[num_points, 3]`, the capture's points, or a sample of them.
      focus: `[1, 3]`, the point that the cameras look at; `[0, 3]` without one.
      limits: `[2, 3]`, the lowest and the highest coordinates that the plot shows.
    """

    positions: Array
    corners: Array
    points: Array
    focus: Array
    limits: Array


def draw(path: Path, capture: Capture, bounds: Array | None) -> None:
    """Draws cameras, their images at the nearest depth, and points, from above and from the side.

    Args:
      path: the .png file to write.
      capture: the cameras.
      bounds: `[num_views, 2]`, near and far in the files' unit; None if they are not known.

    Raises:
      UserError: if the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = _drawing(capture, bounds)
    figure = Figure(figsize=(12.0, 6.4), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    above, side = figure.subplots(1, 2)
    _draw_projection(above, drawing, across=0, upwards=2)
    above.set(title="from above", xlabel="x", ylabel="z")
    above.invert_yaxis()
    _draw_projection(side, drawing, across=2, upwards=1)
    side.set(title="from the side", xlabel="z", ylabel="y (up)")
    side.legend(loc="best", fontsize=8)
    meaning = "orange: the nearest depth" if bounds is not None else "no bounds in the files"
    figure.suptitle(
        f"{printable(capture.folder.name)}: {capture.num_views} cameras ({capture.format}), in the "
        f"files' unit, turned upright; {meaning}",
        fontsize=11,
        parse_math=False,  # a name may contain $
    )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")  # in the folder's name
            figure.savefig(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def _drawing(capture: Capture, bounds: Array | None) -> _Plot:
    arrangement = arrangement_of(capture)
    turn = rotation_to_upright(arrangement.up)
    positions = capture.camtoworlds[:, :, 3] @ turn.T
    points = capture.points[:: max(1, len(capture.points) // _MAX_POINTS)] @ turn.T
    has_focus = arrangement.num_aimed > 0.5 * capture.num_views
    focus = (turn @ arrangement.focus)[None] if has_focus else np.zeros((0, 3))
    near = np.zeros(len(positions)) if bounds is None else bounds[:, 0]
    if bounds is None and has_focus:
        near[:] = 0.25 * np.median(np.linalg.norm(positions - focus, axis=-1))
    depth = np.maximum(near, 0.03 * max(np.ptp(positions, axis=0).max(), 1e-9))
    corners = positions[:, None] + depth[:, None, None] * (_corner_rays(capture) @ turn.T)
    inliers = points[_is_inlier(points)] if len(points) else points
    shown = np.concatenate([positions, corners.reshape(-1, 3), inliers, focus])
    limits = np.stack([shown.min(axis=0), shown.max(axis=0)])
    margin = 0.05 * max(np.ptp(limits, axis=0).max(), 1e-9)
    return _Plot(positions, corners, points, focus, limits + margin * np.array([[-1], [1]]))


def _draw_projection(axes: Any, drawing: _Plot, across: int, upwards: int) -> None:
    """Draws one side of a drawing; `across` and `upwards` choose the coordinates."""
    positions, corners, points, focus, limits = (x[..., [across, upwards]] for x in drawing)
    if len(points):
        axes.scatter(*points.T, s=1.0, c="0.6", linewidths=0, label="points")
    for position, image in zip(positions, corners, strict=True):
        axes.plot(*image[[0, 1, 3, 2, 0]].T, color="tab:orange", linewidth=0.5)
        for corner in image:
            ray = np.stack([position, corner])
            axes.plot(*ray.T, color="tab:blue", linewidth=0.4, alpha=0.6)
    axes.scatter(*positions.T, s=14, c="tab:blue", zorder=3, label="cameras")
    if len(focus):
        axes.scatter(*focus.T, s=60, c="tab:red", marker="+", label="focus", zorder=4)
    axes.set_xlim(*limits[:, 0])
    axes.set_ylim(*limits[:, 1])
    axes.set_aspect("equal")
    axes.grid(color="0.92")
    axes.set_axisbelow(True)


def _corner_rays(capture: Capture) -> Array:
    """World directions `[num_views, 4, 3]` through the image corners, one unit of depth long."""
    focal, centre = np.asarray(capture.lens.focal), np.asarray(capture.lens.centre)
    units = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    slopes = (units[None] * capture.sizes[:, None] - centre[:, None]) / focal[:, None]
    slopes = np.clip(slopes, -_MAX_SLOPE, _MAX_SLOPE)
    # Of a panorama, whose corners lie behind the camera, a square ahead is drawn.
    slopes = np.where(capture.is_panorama[:, None, None], 2.0 * units[None] - 1.0, slopes)
    local = np.stack([slopes[..., 0], -slopes[..., 1], -np.ones(slopes.shape[:2])], axis=-1)
    return np.asarray(np.einsum("vij,vcj->vci", capture.camtoworlds[:, :, :3], local))


def _is_inlier(points: Array) -> npt.NDArray[np.bool_]:
    """`[num_points]`, whether a point is between the percentiles 1 and 99 of each coordinate."""
    low, high = np.percentile(points, [1, 99], axis=0)
    return np.asarray(((points >= low) & (points <= high)).all(axis=1))
