"""Depth maps of posed views: what meshes and point clouds are made of.

A view is a pinhole camera with its own focal lengths and principal point; its depth is that along
the viewing axis. Lengths are in scene units.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.geometry.cameras import Cameras

Floats = npt.NDArray[np.float32]
MIN_ACC = 0.5  # a pixel of less opacity shows no surface
_NORMAL_RADIUS = 2  # pixels around a pixel whose surface points give its normal
_SAME_SURFACE = 0.05  # of the depth: neighbours that differ more are of another surface


class DepthView(NamedTuple):
    """What one camera sees.

    Attributes:
      camtoworld: `[3, 4]`.
      focal: `[2]`, in pixels, along columns and rows.
      centre: `[2]`, column and row of the principal point.
      depth: `[height, width]`; inf where the ray meets nothing, NaN where it is not known.
      rgb: `[height, width, 3]`, sRGB in [0, 1].
    """

    camtoworld: Floats
    focal: Floats
    centre: Floats
    depth: Floats
    rgb: Floats


def is_pinhole(camera: Cameras) -> bool:
    """Whether one camera's rays have slopes that are linear in its pixels."""
    lens = camera.lens
    if lens is None:
        return True
    bent = (lens.distortion, lens.fisheye, lens.panorama)
    return not any(part is not None and np.any(part) for part in bent)


def depth_view(
    camera: Cameras,
    depth: Floats,
    rgb: Floats,
    acc: Floats | None = None,
    *,
    is_bounded: bool,
    pixel_offset: float,
    max_depth: float = np.inf,
    background: float = 0.0,
) -> DepthView:
    """A view from rendered depth and opacity.

    Args:
      camera: one pinhole camera, see `is_pinhole`.
      depth: `[height, width]`.
      rgb: `[height, width, 3]`, over the background.
      acc: `[height, width]`, opacity; None means that each finite depth is that of a surface.
      is_bounded: whether a ray of little opacity meets nothing; else what it meets is not known.
      pixel_offset: of cameras without a lens, see `nerf.geometry.cameras.pinhole_rays`.
      max_depth: what is farther counts as nothing: the space before it is empty.
      background: the grey that `rgb` was composed over, which is taken out again.

    Returns:
      The view.
    """
    acc = np.where(np.isfinite(depth), 1.0, 0.0).astype(np.float32) if acc is None else acc
    background_depth = np.inf if is_bounded else np.nan
    clipped = np.where(acc >= MIN_ACC, depth, background_depth)
    clipped = np.where((clipped > max_depth) & np.isfinite(clipped), np.inf, clipped)
    share = np.maximum(acc, MIN_ACC)[..., None]
    colours = np.clip((rgb - (1.0 - share) * background) / share, 0.0, 1.0)
    focal, centre = intrinsics(camera, pixel_offset)
    pose = np.asarray(camera.camtoworlds, np.float32)
    return DepthView(pose, focal, centre, clipped.astype(np.float32), colours.astype(np.float32))


def intrinsics(camera: Cameras, pixel_offset: float) -> tuple[Floats, Floats]:
    """Focal lengths `[2]` and principal point `[2]` of one pinhole camera, in pixels."""
    if camera.lens is None:
        focal = np.full(2, camera.focal, np.float32)
        return focal, np.array([0.5 * camera.width, 0.5 * camera.height], np.float32) - pixel_offset
    return np.asarray(camera.lens.focal, np.float32), np.asarray(camera.lens.centre, np.float32)


def directions(view: DepthView) -> Floats:
    """`[height, width, 3]`, in the world: one unit of depth long."""
    height, width = view.depth.shape
    rows, columns = np.indices((height, width), np.float32)
    x, y = (columns - view.centre[0]) / view.focal[0], (rows - view.centre[1]) / view.focal[1]
    local = np.stack([x, -y, -np.ones_like(x)], axis=-1)
    return local @ view.camtoworld[:, :3].T


def surface_points(view: DepthView) -> Floats:
    """`[height, width, 3]`, where each pixel's ray meets a surface; NaN where it meets none."""
    depth = np.where(np.isfinite(view.depth), view.depth, np.nan)
    return (view.camtoworld[:, 3] + depth[..., None] * directions(view)).astype(np.float32)


def normals(view: DepthView) -> Floats:
    """`[height, width, 3]`, unit normals of the surface, towards the camera; NaN where unknown.

    On a plane, 1 / depth = m . direction, where m is along the normal. Its slopes along columns
    and rows are fitted to the pixels around, up to `_NORMAL_RADIUS` away, that are of the same
    surface.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        disparity = np.where(np.isfinite(view.depth), 1.0 / view.depth, np.nan)
        along_columns, along_rows = _slopes(disparity)
    rows, columns = np.indices(disparity.shape, np.float32)
    x, y = (columns - view.centre[0]) / view.focal[0], (rows - view.centre[1]) / view.focal[1]
    m_x, m_y = along_columns * view.focal[0], -along_rows * view.focal[1]
    m_z = m_x * x - m_y * y - disparity
    towards = -np.stack([m_x, m_y, m_z], axis=-1) @ view.camtoworld[:, :3].T
    with np.errstate(invalid="ignore"):
        unit: Floats = towards / np.linalg.norm(towards, axis=-1, keepdims=True)
    return unit.astype(np.float32)


def _slopes(values: Floats) -> tuple[Floats, Floats]:
    """Slopes along columns and rows of a plane through the values around each pixel; or NaN."""
    steps = range(-_NORMAL_RADIUS, _NORMAL_RADIUS + 1)
    sums = np.zeros((9, *values.shape))
    for dy in steps:
        for dx in steps:
            other = _shifted(values, dy, dx)
            is_same = np.abs(other - values) < _SAME_SURFACE * values
            own = np.where(is_same, other - values, 0.0)
            terms = (1.0, dx, dy, dx * dx, dx * dy, dy * dy)
            for total, term in zip(sums, terms, strict=False):
                total += term * is_same
            for total, term in zip(sums[6:], (1.0, dx, dy), strict=True):
                total += term * own
    n, x, y, xx, xy, yy, d, xd, yd = sums
    n = np.where(np.isfinite(values), n, np.nan)
    xx, xy, yy = xx - x * x / n, xy - x * y / n, yy - y * y / n
    xd, yd = xd - x * d / n, yd - y * d / n
    determinant = np.where(xx * yy - xy * xy > 1e-6, xx * yy - xy * xy, np.nan)
    slopes = (xd * yy - yd * xy) / determinant, (yd * xx - xd * xy) / determinant
    return slopes[0].astype(np.float32), slopes[1].astype(np.float32)


def _shifted(values: Floats, rows: int, columns: int) -> Floats:
    """Values `[height, width]` shifted by (rows, columns); NaN outside."""
    height, width = values.shape[:2]
    moved = np.full_like(values, np.nan)
    to_rows = slice(max(0, -rows), min(height, height - rows))
    to_columns = slice(max(0, -columns), min(width, width - columns))
    from_rows = slice(max(0, rows), min(height, height + rows))
    from_columns = slice(max(0, columns), min(width, width + columns))
    moved[to_rows, to_columns] = values[from_rows, from_columns]
    return moved
