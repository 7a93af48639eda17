"""Whether depth images have the scale of the poses: by points, or by comparing views."""

import itertools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nerf.captures.capture import Capture
from nerf.captures.known_depths import PointDepths
from nerf.captures.lens_models import HALF_PIXEL
from nerf.captures.sized_lenses import scaled_lens
from nerf.geometry import lenses
from nerf.scenes.depth_scale import Alignment, align, scale_by_views

Floats = npt.NDArray[np.float64]

_NUM_COMPARED = 20_000  # pixels


def find_alignment(
    depths: PointDepths,
    read: Mapping[int, Floats],
    capture: Capture,
    sizes: npt.NDArray[np.int64],
    points: PointDepths | None,
) -> tuple[Alignment | None, str]:
    """How the depths of images become those of the scene.

    Args:
      depths: of pixels of the depth images, with pixel coordinates in the scene's images.
      read: the depth images by their views.
      capture: poses and lenses.
      sizes: `[num_views, 2]`, width and height of the scene's images.
      points: depths of points, which have the scale of the poses; None for none.

    Returns:
      The alignment, and to what they are aligned; where that cannot be found, None and the reason.
    """
    advice = "give depth in the unit of the poses, or train without"
    alignment = None if points is None else align(*_pairs(read, sizes, points))
    if alignment is not None:
        if alignment.is_good:
            return alignment, "fit COLMAP's points"
        return None, (
            "they do not fit COLMAP's points under one scale and shift (the rest differs by "
            f"{alignment.spread:.0%}), as depth that is guessed from single images does: {advice}"
        )
    files = [file for file in capture.depth_files if file is not None]
    has_scale_of_poses = all(file.has_scale_of_poses for file in files)
    found = _by_views(depths, read, capture, sizes)
    if found is not None and not found.is_good:
        return None, (
            f"they contradict each other under every scale (by {found.spread:.0%}), as depth that "
            f"is guessed from single images does: {advice}"
        )
    if found is None and not has_scale_of_poses:
        return None, (
            "the views do not overlap enough to check their scale, or hardly differ in position, "
            f"and there are no points: {advice}"
        )
    return found or Alignment(1.0, 0.0, 0.0), "agree between the views"


def _pairs(
    read: Mapping[int, Floats], sizes: npt.NDArray[np.int64], points: PointDepths
) -> tuple[Floats, Floats]:
    """Depths of the images and of points at the same pixels, where both are known."""
    ours, theirs = [], []
    for view, depth in read.items():
        which = points.view == view
        at = _interpolated(depth, points.column[which], points.row[which], sizes[view])
        known = at > 0
        ours.append(at[known])
        theirs.append(points.depth[which][known])
    return (np.concatenate(ours), np.concatenate(theirs)) if ours else (np.zeros(0), np.zeros(0))


def _interpolated(
    depth: Floats, column: Floats, row: Floats, size: Sequence[int] | npt.NDArray[np.int64]
) -> Floats:
    """A depth image at pixels of an image of a width and height; 0 beyond, and where not known.

    1 / depth is interpolated, which is linear on a plane.
    """
    rows = (row + HALF_PIXEL) * depth.shape[0] / size[1] - HALF_PIXEL
    columns = (column + HALF_PIXEL) * depth.shape[1] / size[0] - HALF_PIXEL
    is_inside = (rows >= 0) & (rows <= depth.shape[0] - 1) & (columns >= 0)
    is_inside &= columns <= depth.shape[1] - 1
    inverse, total = np.zeros(len(rows)), np.zeros(len(rows))
    top, left = (np.where(is_inside, np.floor(x), 0).astype(np.int64) for x in (rows, columns))
    is_known = is_inside
    for down, across in itertools.product((0, 1), (0, 1)):
        share_down, share_across = rows - top, columns - left
        share = np.where(down, share_down, 1 - share_down)
        share = share * np.where(across, share_across, 1 - share_across)
        at = (
            np.minimum(top + down, depth.shape[0] - 1),
            np.minimum(left + across, depth.shape[1] - 1),
        )
        is_known = is_known & ((depth[at] > 0) | (share == 0))
        inverse += share / np.where(depth[at] > 0, depth[at], 1.0)
        total += share
    return np.where(is_known, total / np.where(is_known, inverse, 1.0), 0.0)


def _by_views(
    depths: PointDepths,
    read: Mapping[int, Floats],
    capture: Capture,
    sizes: npt.NDArray[np.int64],
) -> Alignment | None:
    """The scale under which the depths of one view are those of its neighbours."""
    widths, heights = sizes.T
    lens = scaled_lens(capture, heights, widths)
    if lens.panorama is not None:
        return None
    rng = np.random.default_rng(0)
    which = rng.permutation(len(depths.view))[:_NUM_COMPARED]
    neighbours = _neighbours(capture, sorted(read))
    which = which[neighbours[depths.view[which]] != depths.view[which]]
    if len(which) == 0:
        return None
    view = depths.view[which]
    each = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[view]), lens)
    slopes = np.asarray(
        jax.jit(lenses.slopes)(
            jnp.asarray(depths.column[which]), jnp.asarray(depths.row[which]), each
        ),
        np.float64,
    )
    local = np.stack([slopes[:, 0], -slopes[:, 1], -np.ones(len(view))], axis=-1)
    steps = np.einsum("pij,pj->pi", capture.camtoworlds[view][:, :, :3], local)
    origins = capture.camtoworlds[view][:, :, 3]
    other = neighbours[view]
    poses = capture.camtoworlds[other]
    focal, centre = np.asarray(lens.focal)[other], np.asarray(lens.centre)[other]

    def compared(scale: float) -> tuple[Floats, Floats]:
        """Depths of the points in the neighbours, and those of the neighbours' own images."""
        points = origins + scale * depths.depth[which][:, None] * steps
        seen = np.einsum("pji,pj->pi", poses[:, :, :3], points - poses[:, :, 3])
        z = -seen[:, 2]
        ahead = z > 0
        with np.errstate(all="ignore"):
            pixels = seen[:, :2] * [1, -1] / z[:, None] * focal + centre
        own = np.zeros(len(z))
        for index in np.unique(other).tolist():
            of = np.flatnonzero((other == index) & ahead & np.isfinite(pixels).all(axis=-1))
            own[of] = _interpolated(read[index], pixels[of, 0], pixels[of, 1], sizes[index])
        known = own > 0
        return z[known], scale * own[known]

    return scale_by_views(compared, len(which))


def _neighbours(capture: Capture, views: Sequence[int]) -> npt.NDArray[np.int64]:
    """`[num_views]`: the view nearest to each that looks a similar way, of some; else itself."""
    positions, backs = capture.camtoworlds[:, :, 3], capture.camtoworlds[:, :, 2]
    found = np.arange(capture.num_views)
    chosen = np.asarray(views)
    for index in views:
        away = np.linalg.norm(positions[chosen] - positions[index], axis=-1)
        facing = backs[chosen] @ backs[index]
        cost = np.where((away > 0) & (facing > 0.8), away, np.inf)
        if np.isfinite(cost).any():
            # Not the nearest of all: a wrong scale shows in the parallax alone.
            order = np.argsort(cost)[: np.isfinite(cost).sum()]
            found[index] = chosen[order[min(len(order) - 1, len(order) // 4)]]
    return found
