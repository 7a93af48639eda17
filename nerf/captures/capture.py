"""A capture: images with poses and lenses as a folder's files give them, in our conventions.

Each format has a reader that returns a `Capture`; `nerf.scenes.normalize` makes a `Scene` of it,
and `nerf.captures.export` writes it in another format. Lengths are in the unit of the files. Other
conventions differ between formats, and the readers, and no other part of the program, convert them:

    format       matrix             columns or axes             a pixel's centre  principal point
    here         camera to world    right, up, back | position  (i, j)            free
    LLFF         camera to world    down, right, back           (i, j)            (W / 2, H / 2)
    Blender      camera to world    right, up, back             (i + .5, j + .5)  (W / 2, H / 2)
    nerfstudio,  camera to world    right, up, back             (i + .5, j + .5)  cx, cy
     instant-ngp
    COLMAP       world to camera    right, down, forward        (i + .5, j + .5)  cx, cy
    Record3D     camera to world    right, up, back             (i + .5, j + .5)  cx, cy
    Polycam      camera to world    right, up, back             (i + .5, j + .5)  cx, cy
    3D Scanner   camera to world    right, up, back             (i + .5, j + .5)  cx, cy
     App
    Metashape    camera to world    right, down, forward        (i + .5, j + .5)  middle + cx, cy
    RealityCapture
     CSV         heading,           right, up, back             (i + .5, j + .5)  middle + px, py
                 pitch, roll
     XMP         world to camera    right, down, forward        (i + .5, j + .5)  middle + U, V
    Bundler      world to camera    right, up, back            from the middle   (W / 2, H / 2)
    trajectory   camera to world    right, down, forward        (i, j)            cx, cy
    gaussian-    camera to world    right, down, forward        (i + .5, j + .5)  (W / 2, H / 2)
     splatting

The principal point of RealityCapture is a share of the longer side. A trajectory's own lens file
`intrinsics.json` has pixel centres at (i + .5, j + .5), as `transforms.json` has.

A camera looks along -back, that is, along its forward axis. World axes are those of the files; the
up direction is estimated from the cameras (`nerf.geometry.arrangement`).
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nerf.captures.depths.known import DepthFile, PointDepths
from nerf.captures.lenses.models import HALF_PIXEL as HALF_PIXEL
from nerf.captures.lenses.models import make_lens as make_lens
from nerf.errors import UserError, listed, printable
from nerf.geometry.arrangement import CameraArrangement, find_arrangement
from nerf.geometry.lenses import Lens, panorama_pixels
from nerf.geometry.poses import nearest_rotations

Array = npt.NDArray[np.float64]
MIN_POINTS = 8  # in view, the least from which the bounds of a view are estimated
MAX_DEPTH = 1e12  # in the files' unit; farther points are ignored
MIN_VIEWS = 2  # one to train on, one to hold out
_MAX_NAMED = 3  # views of many with the same fault
_MIN_VISIBLE_FRACTION = 0.01  # of points in the frame of the poses, the least that a view shows


class Mask(NamedTuple):
    """The mask of an image: a file, and whether its black pixels are used and not the others."""

    file: Path
    keeps_black: bool = False


class Split(NamedTuple):
    """Indices of the views to train on and of those held out."""

    train: tuple[int, ...]
    test: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Capture:
    """Posed images as the files of a folder describe them.

    Attributes:
      format: a name of `nerf.captures.formats.FORMATS`.
      folder: the folder.
      files: the image files, `[num_views]`; each is in the folder or below it.
      camtoworlds: `[num_views, 3, 4]`, columns right, up, back | position, in the files' unit.
      lens: `[num_views]`, float64; `distortion` and `fisheye` are never None.
      sizes: `[num_views, 2]`, width and height in pixels of the images that the lenses describe.
        They may be larger than the images in `files`.
      bounds: `[num_views, 2]`, nearest and farthest depth; None if they are not known.
      points: `[num_points, 3]`, points on surfaces if the files have some, else `[0, 3]`.
      split: the views for training and the views held out, if the files say which; else None.
      path_poses: `[num_poses, 3, 4]`, poses that the files have without images, as `camtoworlds`: a
        camera path; None if there are none.
      notes: notes for the user, one sentence each.
      follow_links: whether symbolic links that lead out of the folder are followed.
      up: `[3]`, unit, which way is up; None if it is not known.
      masks: `[num_views]`, which pixels are used; None for all of an image. Empty without masks.
      point_depths: depths of points in the views that show them; None if they are not known.
      depth_files: `[num_views]`, the depth image of each view; None for none. Empty if there are
        none.
      has_central_axis: whether the principal point is the middle of the image at any size, see
        `nerf.captures.lenses.scaled`.
    """

    format: str
    folder: Path
    files: tuple[Path, ...]
    camtoworlds: Array
    lens: Lens
    sizes: npt.NDArray[np.int64]
    bounds: Array | None = None
    points: Array = dataclasses.field(default_factory=lambda: np.zeros((0, 3)))
    split: Split | None = None
    path_poses: Array | None = None
    notes: tuple[str, ...] = ()
    follow_links: bool = False
    masks: tuple[Mask | None, ...] = ()
    up: Array | None = None
    point_depths: PointDepths | None = None
    depth_files: tuple[DepthFile | None, ...] = ()
    has_central_axis: bool = False

    @property
    def num_views(self) -> int:
        return len(self.files)

    @property
    def is_panorama(self) -> npt.NDArray[np.bool_]:
        """`[num_views]`: which views are equirectangular panoramas."""
        found = self.lens.panorama
        return np.zeros(self.num_views, bool) if found is None else np.asarray(found, bool)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the images: their paths below their common folder, without suffixes."""
        shared = _shared_folder(self.files)
        return tuple(file.relative_to(shared).with_suffix("").as_posix() for file in self.files)


class InvalidCapture(UserError):
    """Everything that is wrong with a capture.

    The message is the first problem; `nerf.inspect` prints all.

    Attributes:
      problems: one sentence each, at least one.
    """

    def __init__(self, problems: Sequence[str]):
        self.problems = tuple(map(printable, problems))
        more = len(self.problems) - 1
        rest = f" (and {more} more: python -m nerf.inspect FOLDER lists all)" if more else ""
        super().__init__(self.problems[0] + rest)


def arrangement_of(capture: Capture) -> CameraArrangement:
    """How the cameras are arranged; panoramas look in all directions, whatever their axis is."""
    arrangement = find_arrangement(capture.camtoworlds, capture.up)
    return (
        arrangement._replace(kind="free", num_aimed=0) if capture.is_panorama.any() else arrangement
    )


def with_rotations(capture: Capture) -> Capture:
    """Replaces rotation matrices that are slightly inexact by the nearest rotations."""
    matrices = capture.camtoworlds[:, :, :3]
    nearest = nearest_rotations(matrices)
    if np.abs(nearest - matrices).max() < 1e-6:
        return capture
    poses = np.concatenate([nearest, capture.camtoworlds[:, :, 3:]], axis=-1)
    return dataclasses.replace(capture, camtoworlds=poses)


def with_points(capture: Capture, points: Array) -> Capture:
    """Adds points, and bounds from them if the capture has none.

    Points that hardly any view shows must be in another frame than the poses. They are not added,
    and a note says so.

    Args:
      capture: the capture.
      points: `[num_points, 3]`, at least one, in the frame of the poses.
    """
    depths = [depths_in_view(capture, index, points) for index in range(capture.num_views)]
    visible = float(np.mean([len(depth) for depth in depths])) / len(points)
    if visible < _MIN_VISIBLE_FRACTION:
        note = (
            f"the points beside the poses, {len(points):,}, are not used: the views show "
            f"{visible:.1%} of them, so they lie in another frame"
        )
        return dataclasses.replace(capture, notes=(*capture.notes, note))
    bounds = capture.bounds
    if bounds is None and min(len(depth) for depth in depths) >= MIN_POINTS:
        bounds = np.array([percentile_bounds(depth) for depth in depths])
    return dataclasses.replace(capture, points=points, bounds=bounds)


def depths_in_view(capture: Capture, index: int, points: Array) -> Array:
    """Depths of the points that are inside the image of a view, ignoring its distortion.

    Those in a panorama are distances.

    Args:
      capture: the capture.
      index: which view.
      points: `[num_points, 3]`.

    Returns:
      `[num_visible]`, in the files' unit, between 0 and `MAX_DEPTH`.
    """
    pose = capture.camtoworlds[index]
    with np.errstate(all="ignore"):
        local = (points - pose[:, 3]) @ pose[:, :3]
        focal, centre = (np.asarray(x)[index] for x in (capture.lens.focal, capture.lens.centre))
        if capture.is_panorama[index]:
            depth = np.linalg.norm(local, axis=-1)
            each = Lens(*(np.tile(x, (len(points), 1)) for x in (focal, centre)))
            pixels = np.asarray(panorama_pixels(jnp.asarray(local), each)) + HALF_PIXEL
        else:
            depth = -local[:, 2]
            pixels = local[:, :2] * [1, -1] / depth[:, None] * focal + centre
        inside = ((pixels >= 0) & (pixels < capture.sizes[index])).all(axis=1)
    return np.asarray(depth[inside & (depth > 0) & (depth < MAX_DEPTH)])


def percentile_bounds(depths: Array) -> tuple[float, float]:
    """Near and far from depths: their percentiles 0.1 and 99.9.

    Source: LLFF `imgs2poses.py`.
    """
    near, far = np.percentile(depths, [0.1, 99.9])
    return float(near), float(max(far, near * (1 + 1e-6)))


def named_views(indices: Sequence[int], names: Sequence[str]) -> str:
    """Names views for a message: `views 3 (IMG_3), 7 (IMG_7)`."""
    label = "view" if len(indices) == 1 else "views"
    return f"{label} {listed(f'{i} ({names[i]})' for i in indices)}"


def counted_views(indices: Sequence[int], names: Sequence[str]) -> str:
    """The same with a count and three names where there are more: `68 views, the first 0 (a), ...`.

    >>> counted_views(range(68), [f"IMG_{i}" for i in range(68)])
    '68 views, the first 0 (IMG_0), 1 (IMG_1), 2 (IMG_2),'
    """
    if len(indices) <= _MAX_NAMED:
        return named_views(indices, names)
    first = listed(f"{i} ({names[i]})" for i in indices[:_MAX_NAMED])
    return f"{len(indices)} views, the first {first},"


def _shared_folder(files: Sequence[Path]) -> Path:
    """The deepest folder that contains all files."""
    parents = [file.parent for file in files]
    shared = parents[0]
    while not all(parent.is_relative_to(shared) for parent in parents):
        shared = shared.parent
    return shared
