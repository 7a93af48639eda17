"""Whether depth images have the scale of the poses: by points, or by comparing views.

In the same way it is found whether they hold depth along the viewing axis, as they should, or the
distance from the camera, which is sqrt(1 + slope^2) times that.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nerf.captures.capture import Capture
from nerf.captures.depths.known import PointDepths
from nerf.captures.lenses.models import HALF_PIXEL
from nerf.captures.lenses.scaled import scaled_lens
from nerf.geometry import lenses
from nerf.scenes.depth_scale import Alignment, align, scale_by_views

Floats = npt.NDArray[np.float64]

_NUM_COMPARED = 20_000  # pixels
_DISTANCE = 0.5  # of the spread as depths, the most as distances, for which they are taken


class DepthConversion(NamedTuple):
    """How the depths of images become those of the scene.

    Attributes:
      alignment: None where it cannot be found.
      description: to what the depths are aligned, or why they are not.
      lengths: `[num_depths]`, the distance from the camera at depth 1, where the images clearly
        hold distances; else None.
    """

    alignment: Alignment | None
    description: str
    lengths: Floats | None = None


def find_alignment(
    depths: PointDepths,
    read: Mapping[int, Floats],
    capture: Capture,
    sizes: npt.NDArray[np.int64],
    points: PointDepths | None,
) -> DepthConversion:
    """How the depths of images become those of the scene.

    Args:
      depths: of pixels of the depth images, with pixel coordinates in the scene's images.
      read: the depth images by their views.
      capture: poses and lenses.
      sizes: `[num_views, 2]`, width and height of the scene's images.
      points: depths of points, which have the scale of the poses; None for none.
    """
    widths, heights = sizes.T
    lens = scaled_lens(capture, heights, widths)
    files = [file for file in capture.depth_files if file is not None]
    has_scale_of_poses = all(file.has_scale_of_poses for file in files)
    may_be_distance = lens.panorama is None and not has_scale_of_poses
    advice = "give depth in the unit of the poses, or train without"
    found, is_distance = None, False
    description = "fit COLMAP's points"
    fault = "they do not fit COLMAP's points under one scale and shift (the rest differs by {:.0%})"
    if points is not None:
        ours, theirs, used = _pairs(read, sizes, points)
        found = align(ours, theirs)
        if found is not None and may_be_distance:
            length = _lengths(_slopes(points.subset(used), lens))
            found, is_distance = _better(found, align(ours, theirs * length))
    if found is None and lens.panorama is None:
        description = "agree between the views"
        fault = "they contradict each other under every scale (by {:.0%})"
        views = _DepthComparison(depths, read, capture, sizes, lens)
        found = views.alignment(is_distance=False)
        if found is not None and may_be_distance:
            found, is_distance = _better(found, views.alignment(is_distance=True))
    if found is None and has_scale_of_poses:
        found = Alignment(1.0, 0.0, 0.0)
    if found is None:
        reason = "the views do not overlap enough to check their scale, or hardly differ in "
        return DepthConversion(None, f"{reason}position, and there are no points: {advice}")
    if not found.is_good:
        guessed = "as depth that is guessed from single images does"
        return DepthConversion(None, f"{fault.format(found.spread)}, {guessed}: {advice}")
    return DepthConversion(
        found, description, _lengths(_slopes(depths, lens)) if is_distance else None
    )


def _better(of_depth: Alignment, of_distance: Alignment | None) -> tuple[Alignment, bool]:
    """The better alignment, and whether the images hold the distance from the camera."""
    if of_distance is None or not of_distance.spread < _DISTANCE * of_depth.spread:
        return of_depth, False
    return (of_distance, True) if of_distance.is_good else (of_depth, False)


def _slopes(depths: PointDepths, lens: lenses.Lens) -> Floats:
    """`[num_depths, 2]`: the slopes of the rays through pixels, right and down."""
    each = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[depths.view]), lens)
    columns, rows = jnp.asarray(depths.column), jnp.asarray(depths.row)
    return np.asarray(jax.jit(lenses.slopes)(columns, rows, each), np.float64)


def _lengths(slopes: Floats) -> Floats:
    """The distance from the camera at depth 1."""
    return np.asarray(np.sqrt(1.0 + np.sum(np.square(slopes), axis=-1)))


def _pairs(
    read: Mapping[int, Floats], sizes: npt.NDArray[np.int64], points: PointDepths
) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Depths of the images and of points at the same pixels, where both are known; and the indices
    of these points.
    """
    ours, used = [np.zeros(0)], [np.zeros(0, np.int64)]
    for view, depth in read.items():
        which = np.flatnonzero(points.view == view)
        at = _interpolated(depth, points.column[which], points.row[which], sizes[view])
        ours.append(at[at > 0])
        used.append(which[at > 0])
    indices = np.concatenate(used)
    return np.concatenate(ours), points.depth[indices], indices


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


class _DepthComparison:
    """Some pixels of depth images, and a neighbour of the view of each to compare them with."""

    def __init__(
        self,
        depths: PointDepths,
        read: Mapping[int, Floats],
        capture: Capture,
        sizes: npt.NDArray[np.int64],
        lens: lenses.Lens,
    ):
        self._read, self._sizes = read, sizes
        neighbours = _neighbours(capture, sorted(read))
        which = np.random.default_rng(0).permutation(len(depths.view))[:_NUM_COMPARED]
        which = which[neighbours[depths.view[which]] != depths.view[which]]
        chosen = depths.subset(which)
        self._depth = chosen.depth
        slopes = _slopes(chosen, lens) if len(which) else np.zeros((0, 2))
        self._length = _lengths(slopes)
        local = np.stack([slopes[:, 0], -slopes[:, 1], -np.ones(len(which))], axis=-1)
        poses = capture.camtoworlds[chosen.view]
        self._origins = poses[:, :, 3]
        self._steps = np.einsum("pij,pj->pi", poses[:, :, :3], local)
        self._other = neighbours[chosen.view]
        self._poses = capture.camtoworlds[self._other]
        self._focal = np.asarray(lens.focal)[self._other]
        self._centre = np.asarray(lens.centre)[self._other]

    def alignment(self, *, is_distance: bool) -> Alignment | None:
        """The scale under which the depths of one view are those of its neighbours.

        Args:
          is_distance: whether the images hold the distance from the camera.
        """
        if len(self._depth) == 0:
            return None
        return scale_by_views(
            lambda scale: self._compared(scale, is_distance=is_distance), len(self._depth)
        )

    def _compared(self, scale: float, *, is_distance: bool) -> tuple[Floats, Floats]:
        """Depths of the points in the neighbours, and those of the neighbours' own images."""
        depth = self._depth / self._length if is_distance else self._depth
        points = self._origins + scale * depth[:, None] * self._steps
        in_camera = np.einsum("pji,pj->pi", self._poses[:, :, :3], points - self._poses[:, :, 3])
        z = -in_camera[:, 2]
        with np.errstate(all="ignore"):
            pixels = in_camera[:, :2] * [1, -1] / z[:, None] * self._focal + self._centre
        is_ahead = (z > 0) & np.isfinite(pixels).all(axis=-1)
        own = np.zeros(len(z))
        for index in np.unique(self._other).tolist():
            of = np.flatnonzero((self._other == index) & is_ahead)
            own[of] = _interpolated(
                self._read[index], pixels[of, 0], pixels[of, 1], self._sizes[index]
            )
        known = own > 0
        theirs = np.linalg.norm(in_camera, axis=-1) if is_distance else z
        return theirs[known], scale * own[known]


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
