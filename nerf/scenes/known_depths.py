"""Converts the known depths of a capture to depth samples of a scene: sizes, scale, masks."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.captures.capture import Capture
from nerf.captures.depths.images import read_depth
from nerf.captures.depths.known import DepthFile, PointDepths
from nerf.captures.lenses.models import HALF_PIXEL
from nerf.errors import UserError, counted
from nerf.scenes.alpha import OPAQUE_FROM
from nerf.scenes.clamped_depths import without_clamped
from nerf.scenes.depth_alignment import find_alignment
from nerf.scenes.depth_samples import DepthSamples
from nerf.scenes.image_store import ImageStore

Floats = npt.NDArray[np.float64]

_MAX_IMAGES = 400  # depth images that are read, an even choice of them
_MAX_SAMPLES = 2**21  # of a scene
_MAX_OF_IMAGE = 2**14  # pixels of a depth image that are used, on a grid
# Of 1 / depth, off the line between its neighbours: the depth at an edge is that of neither side.
_BEND = 0.03
_NEAREST = 1e-9  # in the files' unit, of a pixel of a depth image
_ERROR = 0.01  # of the depth, its standard deviation in a depth image


class _DepthsOfOneKind(NamedTuple):
    """Depths of one kind in the files' unit, with pixel coordinates in the scene's images."""

    depths: PointDepths
    source: str


def depth_samples(
    capture: Capture, images: ImageStore, unit_scale: float
) -> tuple[DepthSamples | None, list[str]]:
    """The known depths of a capture, for its images as they are trained on.

    Args:
      capture: matched to its images.
      images: `[num_views]`, with the pixels that are used.
      unit_scale: scene units in the files' unit.

    Returns:
      The depths, or None; and notes on what is used, and what is not.
    """
    sizes = np.stack([images.widths, images.heights], axis=-1)
    points = None if capture.point_depths is None else _resized(capture, sizes)
    found, notes = [], []
    if points is not None:
        found.append(_DepthsOfOneKind(points, "COLMAP's points"))
    if any(capture.depth_files):
        of_images, image_notes = _of_images(capture, sizes, points)
        notes += image_notes
        if of_images is not None:
            found.append(_DepthsOfOneKind(of_images, "depth images"))
    if not found:
        return None, notes
    joined = PointDepths._make(
        np.concatenate(each) for each in zip(*(known.depths for known in found), strict=True)
    )
    source = " and ".join(known.source for known in found)
    samples = _samples(_where_used(joined, images), unit_scale, source)
    if len(samples) == 0:
        return None, notes
    num_views = len(np.unique(samples.view))
    notes.append(f"{len(samples):,} depths in {counted(num_views, 'view')} are known from {source}")
    return samples, notes


def _samples(depths: PointDepths, unit_scale: float, source: str) -> DepthSamples:
    """Depths in scene units that float32 can hold; an even choice where there are very many."""
    if len(depths.view) > _MAX_SAMPLES:
        which = np.linspace(0, len(depths.view) - 1, _MAX_SAMPLES).astype(np.int64)
        depths = depths.subset(which)
    with np.errstate(all="ignore"):
        samples = DepthSamples(
            depths.view.astype(np.int32),
            depths.column.astype(np.float32),
            depths.row.astype(np.float32),
            (depths.depth * unit_scale).astype(np.float32),
            (depths.sigma * unit_scale).astype(np.float32),
            depths.weight.astype(np.float32),
            source,
        )
    is_good = np.isfinite(samples.depth + samples.weight) & (samples.depth > 0)
    return samples.subset(is_good & (samples.sigma > 0))


def _resized(capture: Capture, sizes: npt.NDArray[np.int64]) -> PointDepths:
    """The depths of points, with pixel coordinates in images of other sizes."""
    points = capture.point_depths
    assert points is not None
    scale = (sizes / capture.sizes)[points.view]
    return points._replace(
        column=(points.column + HALF_PIXEL) * scale[:, 0] - HALF_PIXEL,
        row=(points.row + HALF_PIXEL) * scale[:, 1] - HALF_PIXEL,
    )


def _where_used(depths: PointDepths, images: ImageStore) -> PointDepths:
    """The depths at pixels that no mask leaves out, and at which an object is opaque."""
    if images.mask is None and not images.is_transparent:
        return depths
    is_used = np.ones(len(depths.view), np.bool_)
    for view in np.unique(depths.view).tolist():
        which = np.flatnonzero(depths.view == view)
        height, width = int(images.heights[view]), int(images.widths[view])
        rows = np.clip(np.round(depths.row[which]).astype(np.int64), 0, height - 1)
        columns = np.clip(np.round(depths.column[which]).astype(np.int64), 0, width - 1)
        mask = images.mask_of(view)
        if mask is not None:
            is_used[which] &= mask[rows, columns]
        if images.is_transparent:
            is_used[which] &= images.bytes_of(view)[rows, columns, 3] >= OPAQUE_FROM
    return depths.subset(is_used)


# Depth images.


def _of_images(
    capture: Capture, sizes: npt.NDArray[np.int64], points: PointDepths | None
) -> tuple[PointDepths | None, list[str]]:
    """The depths of depth images in the scale of the poses; None where it cannot be found."""
    with_depth = [index for index, file in enumerate(capture.depth_files) if file is not None]
    notes = []
    if len(with_depth) > _MAX_IMAGES:
        notes.append(f"of {len(with_depth):,} depth images, {_MAX_IMAGES} are read")
        chosen = np.linspace(0, len(with_depth) - 1, _MAX_IMAGES).astype(np.int64)
        with_depth = [with_depth[index] for index in chosen]
    read: dict[int, Floats] = {}
    problems: list[str] = []
    for view in with_depth:
        file = capture.depth_files[view]
        assert file is not None
        try:
            read[view] = _fitting(file, capture, view)
        except UserError as problem:
            problems.append(str(problem))
    if problems:
        rest = f", and {len(problems) - 1} more like it" if len(problems) > 1 else ""
        notes.append(f"a depth image is not used: {problems[0]}{rest}")
    read, clamped = without_clamped(read, capture)
    notes += clamped
    depths = _on_grids(read, capture, sizes)
    if depths is None:
        if read:
            notes.append("no pixel of the depth images has a known depth: they are not used")
        return None, notes
    alignment, description, lengths = find_alignment(depths, read, capture, sizes, points)
    if alignment is None:
        return None, [*notes, f"the depth images are not used: {description}"]
    if lengths is not None:
        notes.append(
            "the depth images hold distances from the camera, not depths along its axis: read so, "
            f"they {description} much better"
        )
    if alignment.is_needed:
        shift = f" and shifted by {alignment.shift:.3g}" if alignment.shift else ""
        notes.append(
            f"the depth images are scaled by {alignment.scale:.4g}{shift} to {description}: their "
            "scale is not that of the poses"
        )
    depth = alignment.scale * depths.depth + alignment.shift
    depth = depth if lengths is None else depth / lengths
    relative = max(_ERROR, alignment.spread) if alignment.is_needed else _ERROR
    is_known = depth > 0
    aligned = depths._replace(depth=depth, sigma=relative * depth)
    return aligned.subset(is_known), notes


def _fitting(file: DepthFile, capture: Capture, view: int) -> Floats:
    """The depth image of a view, whose aspect ratio must be that of its lens."""
    depth = read_depth(file, follow_links=capture.follow_links)
    (rows, columns), (width, height) = depth.shape, capture.sizes[view]
    pixel = max(2.0, width / columns, height / rows)  # of the depth image, which may be rounded
    if min(abs(rows * width / columns - height), abs(columns * height / rows - width)) > pixel:
        raise UserError(
            f"{file.file} is {columns} x {rows}, which does not have the aspect ratio of its "
            f"image, {width} x {height}: make it again"
        )
    return depth


def _on_grids(
    read: dict[int, Floats], capture: Capture, sizes: npt.NDArray[np.int64]
) -> PointDepths | None:
    """Depths of pixels on a grid of each depth image, but for those at edges and unknown ones."""
    found: list[tuple[npt.NDArray[Any], ...]] = []
    for view, depth in read.items():
        rows, columns = np.nonzero(_is_smooth(depth))
        step = max(1, int(np.ceil(np.sqrt(depth.size / _MAX_OF_IMAGE))))
        on_grid = (rows % step == step // 2) & (columns % step == step // 2)
        rows, columns = rows[on_grid], columns[on_grid]
        width, height = sizes[view]
        column = (columns + HALF_PIXEL) * width / depth.shape[1] - HALF_PIXEL
        row = (rows + HALF_PIXEL) * height / depth.shape[0] - HALF_PIXEL
        values = depth[rows, columns]
        found.append((np.full(len(rows), view), column, row, values))
    if not found:
        return None
    views, column, row, values = (np.concatenate(each) for each in zip(*found, strict=True))
    if len(views) == 0:
        return None
    error, weight = _ERROR * values, np.ones_like(values)
    return PointDepths(views.astype(np.int64), column, row, values, error, weight)


def _is_smooth(depth: Floats) -> npt.NDArray[np.bool_]:
    """`[height, width]`: known pixels between two known ones along both axes, on nearly one plane.

    On a plane, 1 / depth is linear in the pixel.
    """
    is_smooth = depth > 0
    inverse = 1.0 / np.where(is_smooth, np.maximum(depth, _NEAREST), np.inf)
    for axis in (0, 1):
        of_rows, x = (np.moveaxis(each, axis, 0) for each in (is_smooth, inverse))
        bend = np.abs(x[2:] + x[:-2] - 2.0 * x[1:-1])
        of_rows[1:-1] &= (x[2:] > 0) & (x[:-2] > 0) & (bend <= _BEND * x[1:-1])
        of_rows[0] &= x[1 % len(x)] > 0
        of_rows[-1] &= x[-2 % len(x)] > 0
    return is_smooth
