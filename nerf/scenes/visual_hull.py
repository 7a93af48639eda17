"""The visual hull: where an object can be, from images with a transparent background.

A cell of space is empty where views show nothing but background at all pixels that it covers. What
is left holds the object for certain, however thin its parts are: a pixel with any opacity at all
keeps the cells behind it.

Source: Laurentini 1994; Kutulakos and Seitz 2000 (space carving).
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nerf.config.settings import Vector
from nerf.geometry import lenses
from nerf.geometry.cameras import Cameras
from nerf.geometry.occupancy import combine_pairs
from nerf.scenes.image_store import ImageStore

_MAX_VIEWS = 128  # that are looked at, evenly chosen
_MIN_WITNESSES = 2  # views that must see nothing where another sees something: one may be faulty
_MASK_SIDE = 256  # pixels are grouped, so that no side of a mask is much longer
_MARGIN = 1.0  # pixels, for conventions of where in a pixel its ray goes through
_POSE_MARGIN = 0.04  # of the longer side of an image, by which poses that are corrected may be off
_NEAREST = 1e-3  # scene units, in front of a camera
_BOX_RESOLUTION = (64, 64, 64)

Corners = tuple[Vector, Vector]


def hull_box(
    cameras: Cameras,
    images: ImageStore,
    views: Sequence[int],
    box: Corners,
    *,
    are_exact: bool = True,
) -> Corners | None:
    """Corners of the smallest box of cells that holds the visual hull.

    Args:
      cameras: `[num_views]`, of all views.
      images: of all views, with alpha.
      views: indices of the views that may be looked at.
      box: corners of the box that holds the scene, in scene units.
      are_exact: whether the poses are; else cells near an opacity are kept, too.

    Returns:
      Corners; None where all is empty.
    """
    occupied = visual_hull(cameras, images, views, box, _BOX_RESOLUTION, are_exact=are_exact)
    low, high = (np.asarray(corner, np.float64) for corner in box)
    size = (high - low) / occupied.shape
    corners = []
    for axis in range(3):
        others = tuple(each for each in range(3) if each != axis)
        filled = np.flatnonzero(occupied.any(axis=others))
        if len(filled) == 0:
            return None
        corners.append(
            (low[axis] + size[axis] * filled[0], low[axis] + size[axis] * (filled[-1] + 1))
        )
    (x0, x1), (y0, y1), (z0, z1) = corners
    return (float(x0), float(y0), float(z0)), (float(x1), float(y1), float(z1))


def visual_hull(
    cameras: Cameras,
    images: ImageStore,
    views: Sequence[int],
    box: Corners,
    resolution: tuple[int, int, int],
    *,
    are_exact: bool = True,
) -> npt.NDArray[np.bool_]:
    """The cells of a box that may hold something.

    Args:
      cameras, images, views, box, are_exact: see `hull_box`.
      resolution: cells along each axis.

    Returns:
      `resolution`, bool. A cell is empty if two views see it as a whole, and nothing in it; or if
      no view sees anything in it. Of many views some are looked at, of which two must then see at
      least a part of the cell.
    """
    chosen = np.unique(np.linspace(0, len(views) - 1, min(len(views), _MAX_VIEWS)).round())
    nodes = _nodes(box, resolution)
    shapes = [tuple(size) for size in np.asarray(cameras.image_sizes).tolist()]
    most_groups = np.max([-(-np.array(shape) // group_size(shape)) + 1 for shape in shapes], axis=0)
    whole, num_partly_empty, num_occupied = np.zeros((3, *resolution), np.int32)  # numbers of views
    for number in chosen.astype(int):
        view = views[number]
        alpha = images.bytes_of(view)[..., 3]
        mask = images.mask_of(view)
        if mask is not None:  # what a masked pixel shows is not known
            alpha = np.where(mask, alpha, np.uint8(255))
        group = group_size(alpha.shape)
        counts = np.pad(_grouped(alpha > 0, group).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        missing = [(0, whole - own) for whole, own in zip(most_groups, counts.shape, strict=True)]
        counts = np.pad(counts, missing, mode="edge").astype(np.int32)  # one program for all sizes
        size = np.array(alpha.shape[::-1], np.float32)
        camera = dataclasses.replace(cameras[view], height=0, width=0)
        margin = np.float32(_MARGIN + (0.0 if are_exact else _POSE_MARGIN * size.max()))
        classes = _classify_cells(camera, size, nodes, counts, margin, group=group)
        for number_of_views, is_so in zip(
            (whole, num_partly_empty, num_occupied), classes, strict=True
        ):
            number_of_views += np.asarray(is_so)
    needed = min(_MIN_WITNESSES, len(chosen))
    are_all_chosen = len(chosen) == len(views)  # else another view may see something
    is_unseen = (num_occupied == 0) & ((num_partly_empty >= needed) | are_all_chosen)
    return np.asarray((whole < needed) & ~is_unseen)


def group_size(shape: tuple[int, ...]) -> int:
    """Pixels along one side of a group, for a mask of this height and width."""
    return -(-max(shape) // _MASK_SIDE)


def _nodes(box: Corners, resolution: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    """The corners of all cells, `[nx + 1, ny + 1, nz + 1, 3]`."""
    low, high = box
    ticks = [np.linspace(a, b, n + 1) for a, b, n in zip(low, high, resolution, strict=True)]
    return np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1).astype(np.float32)


def _grouped(mask: npt.NDArray[np.bool_], group: int) -> npt.NDArray[np.bool_]:
    """Whether any pixel of each group of `group` x `group` is set."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % group), (0, -width % group)))
    rows, columns = (side // group for side in padded.shape)
    return np.asarray(padded.reshape(rows, group, columns, group).any(axis=(1, 3)), np.bool_)


@functools.partial(jax.jit, static_argnames=("group",))
def _classify_cells(
    camera: Cameras,
    size: jax.Array,
    nodes: jax.Array,
    counts: jax.Array,
    margin: jax.Array,
    *,
    group: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What a view sees in the cells.

    Args:
      camera: one camera; its height and width are not used.
      size: `[2]`, width and height of its image in pixels.
      nodes: `[nx + 1, ny + 1, nz + 1, 3]`, corners of the cells, scene units.
      counts: `[rows + 1, columns + 1]` int32, groups with any opacity above and left of each.
      margin: `[]`, pixels around what a cell covers that are looked at, too.
      group: pixels along one side of a group.

    Returns:
      Whether it sees a cell as a whole, and nothing in it; whether it sees at least a part of it,
      and nothing in that; and whether it sees something in it; `[nx, ny, nz]`, bool. What it sees
      are the pixels around the cell's corners.
    """
    pixels, is_ahead, is_known = _project(camera, size, nodes)
    first = combine_pairs(pixels, jnp.minimum) - margin
    last = combine_pairs(pixels, jnp.maximum) + margin
    is_ahead, is_known = (
        combine_pairs(is_ahead, jnp.logical_or),
        combine_pairs(is_known, jnp.logical_and),
    )
    size = size.reshape(1, 1, 1, 2)
    is_whole = is_known & jnp.all((first >= 0.0) & (last <= size - 1.0), axis=-1)
    limit = jnp.array(counts.shape[::-1], jnp.int32).reshape(1, 1, 1, 2) - 1
    left, top = jnp.moveaxis(jnp.clip(_group_of(first, group), 0, limit), -1, 0)
    right, bottom = jnp.moveaxis(jnp.clip(_group_of(last, group) + 1, 0, limit), -1, 0)
    num = counts[bottom, right] - counts[top, right] - counts[bottom, left] + counts[top, left]
    is_partly = is_known & jnp.all((last >= 0.0) & (first <= size - 1.0), axis=-1)
    is_blank = num == 0
    return is_whole & is_blank, is_partly & is_blank, is_ahead & (~is_blank | ~is_known)


def _group_of(pixels: jax.Array, group: int) -> jax.Array:
    return jnp.floor((pixels + 0.5) / group).astype(jnp.int32)


def _project(
    camera: Cameras, size: jax.Array, points: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The pixels at which a view shows points.

    Args:
      camera, size: see `_classify_cells`.
      points: `[..., 3]`, scene units.

    Returns:
      Pixels `[..., 2]`, column and row, which may be outside the image; whether points are in front
      of the camera; and whether, besides, the pixels are right. `[...]`, bool.
    """
    camtoworld = jnp.asarray(camera.camtoworlds)
    shape = (1,) * (points.ndim - 1) + (3,)
    away = points - camtoworld[:, 3].reshape(shape)
    local = jnp.sum(away[..., :, None] * camtoworld[:, :3].reshape(*shape, 3), axis=-2)
    depth = -local[..., 2]
    is_ahead = depth > _NEAREST
    safe = jnp.where(is_ahead, depth, 1.0)[..., None]
    slopes = local[..., :2] * jnp.array([1.0, -1.0]).reshape(*shape[:-1], 2) / safe
    if camera.lens is None:
        middle = 0.5 * size.reshape(*shape[:-1], 2)
        return slopes * camera.focal + middle, is_ahead, is_ahead
    lens = camera.broadcast_to(depth.shape).lens
    assert lens is not None
    pixels = lenses.pixels(slopes, lens)
    # Beyond some angle, strong distortion shows a point where another one is seen.
    back = lenses.slopes(pixels[..., 0], pixels[..., 1], lens)
    agrees = jnp.all(jnp.abs(back - slopes) < 1e-2 * (1.0 + jnp.abs(slopes)), axis=-1)
    return pixels, is_ahead, is_ahead & agrees
