"""What a capture's files say, in one set of conventions and in their own unit of length.

Each format has a reader that returns a `Capture`; `nerf.scenes.normalize` makes a `Scene` of it,
and `nerf.captures.export` writes it in another format. Conventions differ between formats, and are
turned into ours by the readers alone:

    format       matrix             columns or axes             a pixel's centre  principal point
    here         camera to world    right, up, back | position  (i, j)            free
    LLFF         camera to world    down, right, back           (i, j)            (W / 2, H / 2)
    Blender      camera to world    right, up, back             (i + .5, j + .5)  (W / 2, H / 2)
    nerfstudio,  camera to world    right, up, back             (i + .5, j + .5)  cx, cy
     instant-ngp
    COLMAP       world to camera    right, down, forward        (i + .5, j + .5)  cx, cy

A camera looks along -back, that is along its forward axis. World axes are the files' own; which way
is up is found from the cameras.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nerf.errors import UserError, listed
from nerf.geometry.lenses import Lens
from nerf.scenes.scene import Split

Array = npt.NDArray[np.float64]
HALF_PIXEL = 0.5  # what a principal point loses where a file counts from a pixel's corner
MIN_POINTS = 8  # a picture must show for its bounds to be told from them
MAX_DEPTH = 1e12
_LEAST_SEEN = 0.01
MIN_VIEWS = 2  # one to train on, one to hold out


@dataclasses.dataclass(frozen=True)
class Capture:
    """Posed pictures as a folder's files describe them.

    Attributes:
      format: a name of `nerf.captures.formats.FORMATS`.
      folder: where they lie.
      files: the pictures, `[num_views]`; each lies in the folder.
      camtoworlds: `[num_views, 3, 4]`, the module's text says how; in the files' unit.
      lens: `[num_views]`, float64; `distortion` and `fisheye` are never None.
      sizes: `[num_views, 2]`, width and height in pixels that the lenses are for; 0 where the files
        do not say, and the pictures' own size counts.
      bounds: `[num_views, 2]`, nearest and farthest depth; None where nothing tells.
      points: `[num_points, 3]`, the surfaces' points where the files have some, else `[0, 3]`.
      split: which views are for training and which for tests, where the files say so.
      notes: one-line remarks that the user should see.
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
    notes: tuple[str, ...] = ()

    @property
    def num_views(self) -> int:
        return len(self.files)

    @property
    def names(self) -> tuple[str, ...]:
        """The pictures' names within the folder that holds them all, without their endings."""
        shared = _shared_folder(self.files)
        return tuple(file.relative_to(shared).with_suffix("").as_posix() for file in self.files)


class Problems(UserError):
    """Everything that is wrong with a capture, one sentence each; all are told by nerf.inspect."""

    def __init__(self, problems: Sequence[str]):
        self.problems = tuple(problems)
        more = len(self.problems) - 1
        rest = f" (and {more} more: python -m nerf.inspect FOLDER lists all)" if more else ""
        super().__init__(self.problems[0] + rest)


def make_lens(intrinsics: Sequence[Sequence[float]], fisheye: Sequence[bool]) -> Lens:
    """A lens a view, from rows of fx, fy, cx, cy, k1 to k4, p1, p2 that count from corners."""
    rows = np.array(intrinsics, np.float64).reshape(-1, 10)
    return Lens(rows[:, :2], rows[:, 2:4] - HALF_PIXEL, rows[:, 4:], np.array(fisheye, bool))


def check_numbers(capture: Capture) -> list[str]:
    """Sentences about views whose numbers cannot be those of a camera."""
    rotations, lens = capture.camtoworlds[:, :, :3], capture.lens
    assert lens.distortion is not None
    with np.errstate(all="ignore"):
        products = np.swapaxes(rotations, 1, 2) @ rotations
        is_skewed = ~np.all(np.abs(products - np.eye(3)) < 0.05, axis=(1, 2))
        is_mirrored = ~is_skewed & (np.linalg.det(np.nan_to_num(rotations)) < 0)
        faults = [
            (
                ~np.isfinite(capture.camtoworlds).all((1, 2)),
                "a pose with NaN or infinity",
                "make the poses again",
            ),
            (
                is_skewed & np.isfinite(capture.camtoworlds).all((1, 2)),
                "a rotation whose columns are not perpendicular unit vectors",
                "make the poses again, without a scale in the matrix",
            ),
            (is_mirrored, "a rotation that mirrors", "change the sign of one of its axes"),
            (
                (np.abs(capture.camtoworlds[:, :, 3]) > 1e9).any(1),
                "a position beyond 1e9",
                "bring the poses to a usual unit of length",
            ),
            (
                ~(np.isfinite(lens.focal) & (lens.focal > 0.01) & (lens.focal < 1e7)).all(1),
                "a focal length that is not between 0.01 and 1e7 pixels",
                "give fl_x, or camera_angle_x in radians",
            ),
            (
                ~(np.isfinite(lens.centre) & (np.abs(lens.centre) < 1e6)).all(1),
                "a principal point that is not near the picture",
                "give cx and cy in pixels",
            ),
            (
                ~(np.isfinite(lens.distortion) & (np.abs(lens.distortion) < 1e3)).all(1),
                "distortion that is not finite, or beyond all lenses",
                "calibrate the camera again",
            ),
        ]
        if capture.bounds is not None:
            near, far = capture.bounds.T
            good = np.isfinite(capture.bounds).all(1) & (near > 1e-9) & (far > near) & (far < 1e12)
            faults.append(
                (~good, "bounds that are not 0 < near < far, within 1e12", "give `near` and `far`")
            )
    return [
        f"{named_views(np.flatnonzero(mask).tolist(), capture.names)} "
        f"{'has' if mask.sum() == 1 else 'have'} {fault}: {advice}"
        for mask, fault, advice in faults
        if mask.any()
    ]


def with_rotations(capture: Capture) -> Capture:
    """The capture with the nearest rotations, where a matrix is one but for rounding or a scale."""
    turns = capture.camtoworlds[:, :, :3]
    left, _, right = np.linalg.svd(turns)
    nearest = left @ right
    if np.abs(nearest - turns).max() < 1e-6:
        return capture
    poses = np.concatenate([nearest, capture.camtoworlds[:, :, 3:]], axis=-1)
    return dataclasses.replace(capture, camtoworlds=poses)


def with_points(capture: Capture, points: Array) -> Capture:
    """The capture with points that others made, and with bounds from them where it has none.

    Points that hardly any view shows lie in another frame than the poses: they are left out.
    """
    depths = [depths_in_view(capture, index, points) for index in range(capture.num_views)]
    seen = float(np.mean([len(depth) for depth in depths])) / len(points)
    if seen < _LEAST_SEEN:
        note = (
            f"the {len(points)} points beside the poses are not used: the views show {seen:.1%} of "
            "them, so they lie in another frame"
        )
        return dataclasses.replace(capture, notes=(*capture.notes, note))
    bounds = capture.bounds
    if bounds is None and min(len(depth) for depth in depths) >= MIN_POINTS:
        bounds = np.array([percentile_bounds(depth) for depth in depths])
    return dataclasses.replace(capture, points=points, bounds=bounds)


def depths_in_view(capture: Capture, index: int, points: Array) -> Array:
    """Depths of the points `[num_points, 3]` that lie in a view's frame, were its lens straight."""
    pose = capture.camtoworlds[index]
    with np.errstate(all="ignore"):
        local = (points - pose[:, 3]) @ pose[:, :3]
        depth = -local[:, 2]
        slopes = local[:, :2] * [1, -1] / depth[:, None]
        pixels = slopes * np.asarray(capture.lens.focal)[index] + capture.lens.centre[index]
        inside = ((pixels >= 0) & (pixels < capture.sizes[index])).all(axis=1)
    return np.asarray(depth[inside & (depth > 0) & (depth < MAX_DEPTH)])


def percentile_bounds(depths: Array) -> tuple[float, float]:
    """The nearest and the farthest of a thousand left out, as LLFF's `imgs2poses.py` does."""
    near, far = np.percentile(depths, [0.1, 99.9])
    return float(near), float(max(far, near * (1 + 1e-6)))


def named_views(indices: Sequence[int], names: Sequence[str]) -> str:
    """`views 3 (IMG_3), 7 (IMG_7)`."""
    label = "view" if len(indices) == 1 else "views"
    return f"{label} {listed(f'{i} ({names[i]})' for i in indices)}"


def _shared_folder(files: Sequence[Path]) -> Path:
    parents = [file.parent for file in files]
    shared = parents[0]
    while not all(parent.is_relative_to(shared) for parent in parents):
        shared = shared.parent
    return shared
