"""What is found in a capture, in words and as a picture."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nerf.captures.capture import Array, Capture, depths_in_view
from nerf.captures.formats import LoadedScene
from nerf.errors import UserError, listed
from nerf.geometry.cameras import SPACES
from nerf.geometry.rigs import Rig, classify_rig, upright, widest_gap

_KINDS = {
    "forward": "all look much the same way",
    "inward": "stand around something and look at it",
    "free": "look in many directions",
}
_MAX_POINTS = 20_000


def describe_capture(capture: Capture) -> Iterator[str]:
    """Lines about what the files say."""
    yield _line("folder", str(capture.folder))
    yield _line("format", capture.format)
    sizes = {tuple(size) for size in capture.sizes.tolist()}
    yield _line(
        "views", f"{capture.num_views}, cameras for {listed(f'{w}x{h}' for w, h in sorted(sizes))}"
    )
    yield _line("lens", _lens(capture))
    if capture.bounds is None:
        yield _line("bounds", "not in the files")
    else:
        near, far = capture.bounds.T
        yield _line("bounds", f"{near.min():.4g} to {far.max():.4g}, in the files' unit")
    rig = classify_rig(capture.camtoworlds)
    yield _line("cameras", f"{_KINDS[rig.kind]}; {_spread(capture, rig)}")
    yield _line("coverage", _coverage(capture, rig))


def describe_scene(loaded: LoadedScene, holdout: int) -> Iterator[str]:
    """Lines about what a field would be trained on."""
    scene = loaded.scene
    height, width = scene.cameras.height, scene.cameras.width
    split = scene.split(holdout)
    over = "" if scene.alpha is None else f", transparent, over {scene.background}"
    yield _line("pictures", f"{width}x{height}{over}")
    near, far = scene.bounds[:, 0].min(), scene.bounds[:, 1].max()
    yield _line("space", SPACES[scene.space])
    yield _line(
        "scene units",
        f"{scene.unit_scale:.4g} make one of the files' unit; bounds {near:.3g} to {far:.3g}",
    )
    said = "named in the files" if scene.given_split else f"every {holdout}th from 0 on"
    yield _line(
        "split", f"{len(split.train)} to train on, {len(split.test)} held out ({said}): "
        f"{listed(split.test)}"
    )  # fmt: skip


def _line(name: str, value: str) -> str:
    return f"{name + ':':<13}{value}"


def _lens(capture: Capture) -> str:
    lens = capture.lens
    assert lens.distortion is not None
    assert lens.fisheye is not None
    focal, sizes = np.asarray(lens.focal), capture.sizes
    low, high = focal[:, 0].min(), focal[:, 0].max()
    shown = f"{low:.1f}" if high - low < 0.05 else f"{low:.1f} to {high:.1f}"
    half = 0.5 * sizes[:, 0] / focal[:, 0]
    angle = np.degrees(2 * np.where(lens.fisheye, half, np.arctan(half))).mean()
    off = np.abs(np.asarray(lens.centre) + 0.5 - 0.5 * sizes).max()
    kind = "fisheye" if lens.fisheye.all() else "perspective and fisheye"
    kind = kind if lens.fisheye.any() else "perspective"
    bent = "distorted" if np.any(lens.distortion) else "not distorted"
    axis = "in the middle" if off <= 1.0 else f"up to {off:.1f} pixels off the middle"
    return f"{kind}, {bent}, focal length {shown} pixels ({angle:.0f} degrees), axis {axis}"


def _spread(capture: Capture, rig: Rig) -> str:
    positions = capture.camtoworlds[:, :, 3]
    baseline = float(np.linalg.norm(positions.max(axis=0) - positions.min(axis=0)))
    distance = np.linalg.norm(positions - rig.focus, axis=-1)
    where = f"{distance.min():.4g} to {distance.max():.4g} from their focus"
    return f"baseline {baseline:.4g}, {where}, in the files' unit"


def _coverage(capture: Capture, rig: Rig) -> str:
    back = capture.camtoworlds[:, :, 2]
    if rig.kind == "forward":
        mean = back.sum(axis=0) / np.linalg.norm(back.sum(axis=0))
        widest = np.degrees(np.arccos(np.clip(back @ mean, -1, 1))).max()
        found = f"views up to {widest:.0f} degrees from their mean"
    else:
        local = back @ upright(rig.up).T
        gap = np.degrees(widest_gap(local)[1])
        height = np.degrees(np.arcsin(np.clip(local[:, 1], -1, 1)))
        found = (
            f"{360 - gap:.0f} degrees around, the widest gap {gap:.0f}; from {height.min():.0f} to "
            f"{height.max():.0f} degrees above the horizon"
        )
    if len(capture.points):
        found += f"; {len(capture.points):,} points, {_seen_share(capture):.0%} of views see each"
    return found


def _seen_share(capture: Capture) -> float:
    """The mean share of the views in whose frame a point lies."""
    some = capture.points[:: max(1, len(capture.points) // 1000)]
    views = range(capture.num_views)
    return float(np.mean([len(depths_in_view(capture, i, some)) for i in views])) / len(some)


def draw(path: Path, capture: Capture, bounds: Array | None) -> None:
    """Draws the cameras from above and from the side, what they see, and the points.

    Args:
      path: a .png file.
      capture: the cameras.
      bounds: `[num_views, 2]`, near and far, or None.

    Raises:
      UserError: if the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rig = classify_rig(capture.camtoworlds)
    turn = upright(rig.up)
    positions = capture.camtoworlds[:, :, 3] @ turn.T
    points = capture.points[:: max(1, len(capture.points) // _MAX_POINTS)] @ turn.T
    distance = np.linalg.norm(positions - turn @ rig.focus, axis=-1)
    shown = np.median(distance) if rig.num_aimed > 0.5 * capture.num_views else 0.0
    near = bounds[:, 0] if bounds is not None else np.full(len(positions), 0.25 * shown)
    corners = _corners(capture) @ turn.T
    spread = np.ptp(positions, axis=0).max()
    length = np.maximum(near, 0.03 * max(spread, 1e-9))
    ends = positions[:, None] + length[:, None, None] * corners
    everything = np.concatenate([positions, ends.reshape(-1, 3)])
    if len(points):
        everything = np.concatenate([everything, points[_is_usual(points)]])
    figure = Figure(figsize=(12.0, 6.4), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    titles = {"from above": (0, 2, "x", "z"), "from the side": (2, 1, "z", "y (up)")}
    for number, (title, (a, b, across, upwards)) in enumerate(titles.items(), 1):
        axes = figure.add_subplot(1, 2, number)
        if len(points):
            axes.scatter(points[:, a], points[:, b], s=1.0, c="0.6", linewidths=0, label="points")
        for index in range(len(positions)):
            outline = ends[index, [0, 1, 3, 2, 0]]
            axes.plot(outline[:, a], outline[:, b], color="tab:orange", linewidth=0.5)
            for corner in ends[index]:
                both = np.stack([positions[index], corner])
                axes.plot(both[:, a], both[:, b], color="tab:blue", linewidth=0.4, alpha=0.6)
        axes.scatter(
            positions[:, a], positions[:, b], s=14, c="tab:blue", zorder=3, label="cameras"
        )
        if rig.num_aimed > 0.5 * capture.num_views:
            focus = turn @ rig.focus
            axes.scatter(focus[a], focus[b], s=60, c="tab:red", marker="+", label="focus", zorder=4)
            everything = np.concatenate([everything, focus[None]])
        low, high = everything.min(axis=0), everything.max(axis=0)
        margin = 0.05 * max((high - low).max(), 1e-9)
        axes.set_xlim(low[a] - margin, high[a] + margin)
        limits = (low[b] - margin, high[b] + margin)
        axes.set_ylim(limits if title != "from above" else limits[::-1])
        axes.set_aspect("equal")
        axes.set_xlabel(across)
        axes.set_ylabel(upwards)
        axes.set_title(title)
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
    axes.legend(loc="best", fontsize=8)
    tip = "orange: the nearest depth" if bounds is not None else "no bounds in the files"
    figure.suptitle(
        f"{capture.folder.name}: {capture.num_views} cameras ({capture.format}), in the files' "
        f"unit, turned upright; {tip}",
        fontsize=11,
    )
    try:
        figure.savefig(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def _corners(capture: Capture) -> Array:
    """World directions `[num_views, 4, 3]` through pictures' corners, one unit of depth long."""
    focal, centre = np.asarray(capture.lens.focal), np.asarray(capture.lens.centre)
    units = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    slopes = (units[None] * capture.sizes[:, None] - centre[:, None]) / focal[:, None]
    slopes = np.clip(slopes, -3.0, 3.0)
    local = np.stack([slopes[..., 0], -slopes[..., 1], -np.ones(slopes.shape[:2])], axis=-1)
    return np.asarray(np.einsum("vij,vcj->vci", capture.camtoworlds[:, :, :3], local))


def _is_usual(points: Array) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    """Points that are not among the farthest out on any axis."""
    low, high = np.percentile(points, [1, 99], axis=0)
    return np.asarray(((points >= low) & (points <= high)).all(axis=1))
