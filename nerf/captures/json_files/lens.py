"""The lens of a frame in a JSON file of nerfstudio, instant-ngp or Blender.

Each value is looked for in the frame, then in the file:

    focal length  fl_x, fl_y in pixels; K or intrinsics; camera_angle_x, camera_angle_y in radians;
                  x_fov, y_fov in degrees
    axis          cx, cy in pixels from the corner of the image; K or intrinsics
    distortion    k1 to k4, p1, p2
    model         camera_model, a name of nerfstudio or COLMAP; instant-ngp's is_fisheye, latlong
                  and equirectangular

K is a matrix of 3x3 or 4x4 numbers or a list of 9, by rows or by columns; `intrinsics` may also be
fx, fy, cx, cy. `nerf.captures.json_files.ignored_keys` refuses what describes another lens.

A panorama of nerfstudio covers (w / fl_x) (h / fl_y) half turns. One that is twice as wide as high,
and any of instant-ngp, shows the whole sphere.

Source: nerfstudio `nerfstudio_dataparser.py` and `cameras.py`; instant-ngp `nerf_loader.cu` and
`common_device.cuh`.
"""

import math
from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nerf.captures.json_files.values import Numbers, Values, finite
from nerf.captures.lenses.models import PANORAMA, panorama_intrinsics
from nerf.errors import UserError, listed

PERSPECTIVE_MODELS: tuple[str, ...] = (
    *("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE", "SIMPLE_RADIAL", "RADIAL"),
    "FULL_OPENCV",
)
FISHEYE_MODELS: tuple[str, ...] = (
    *("OPENCV_FISHEYE", "SIMPLE_FISHEYE", "FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE"),
    "THIN_PRISM_FISHEYE",
)
PANORAMA_KEYS = ("latlong", "equirectangular")  # of instant-ngp
MATRIX_KEYS = ("K", "intrinsics")
_PINHOLE = ("fx", "fy", "cx", "cy")
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
_DEFAULT_MODEL = "OPENCV"
_NOTHING = ("", "false", "none", "null", "0")
_MAX_ROUNDING = 0.01  # of the angles of panoramas
_MAX_SKEW = 1e-3  # of the focal length: pixels are never slanted more


class FrameLens(NamedTuple):
    """The lens of one frame as its file describes it; NaN where the file has no value.

    Attributes:
      model: `perspective`, `fisheye` or `panorama`.
      focal: fl_x and fl_y in pixels.
      angles: the horizontal and vertical angles of view in radians, where there is no focal length.
      centre: cx and cy, in pixels from the corner of the image.
      distortion: k1, k2, k3, k4, p1, p2.
      size: width and height in pixels; 0 where the file has none.
      is_whole: whether a panorama is known to show the whole sphere.
      matrix_focal, all_angles: focal lengths of K and angles of view that stand beside those that
        are used.
    """

    model: str
    focal: tuple[float, float]
    angles: tuple[float, float]
    centre: tuple[float, float]
    distortion: tuple[float, ...]
    size: tuple[int, int]
    is_whole: bool
    matrix_focal: tuple[float, float] = (math.nan, math.nan)
    all_angles: tuple[float, float] = (math.nan, math.nan)

    def covered(self, size: tuple[int, int]) -> tuple[float, float] | None:
        """The share of the sphere that a panorama covers, across and upright, by its focal lengths.

        None if there are none, or they cannot be meant: a panorama that is twice as wide as high
        shows the whole sphere.
        """
        if self.model != "panorama" or self.is_whole or not all(f > 0 for f in self.focal):
            return None
        (width, height), (fx, fy) = size, self.focal
        across, upright = 0.5 * width / fx, height / fy
        is_whole = min(across, upright) > 1 - _MAX_ROUNDING
        is_possible = max(across, upright) < 1 + _MAX_ROUNDING
        is_meant = is_whole or abs(width - 2 * height) > 1
        return (across, upright) if is_possible and is_meant else None

    def other_focals(self, size: tuple[int, int]) -> list[tuple[float, float]]:
        """Focal lengths in pixels that the file gives besides those that are used; NaN for none."""
        return [self.matrix_focal, _focal_of_angles(self.all_angles, size)]


def read_lens(values: ChainMap[str, Any], where: str) -> FrameLens:
    """The lens of a frame.

    Args:
      values: those of the frame, then those of the file.
      where: the frame, for messages.

    Raises:
      UserError: if a value is missing or impossible.
    """
    levels = [_Level.of(each, where) for each in values.maps]
    model = lens_model(values)
    (fl_x, angle_x), (fl_y, angle_y) = (_along(levels, axis) for axis in (0, 1))
    focal, angles = (fl_x, fl_y), (angle_x, angle_y)
    used = next((x for x in levels if not math.isnan(_first(*x.focal, *x.angles))), levels[0])
    if model != "panorama" and math.isnan(_first(*focal, *angles)):
        raise UserError(
            f"{where} has no focal length: give fl_x in pixels, K, or camera_angle_x in radians"
        )
    cx, cy = (_first(*(level.centre[axis] for level in levels)) for axis in (0, 1))
    get = Numbers(values, where)
    width, height = (get(key, 0.0) for key in ("w", "h"))
    for length in (width, height):
        if length != int(length) or not 0 <= length < 2**31:
            raise UserError(f"{where}: w and h must be whole numbers of pixels, not {length}")
    return FrameLens(
        model,
        focal,
        angles,
        (cx, cy),
        tuple(get(key, 0.0) for key in _DISTORTION),
        (int(width), int(height)),
        any(is_set(values.get(key)) for key in PANORAMA_KEYS),
        used.matrix_focal,
        used.angles,
    )


def intrinsics(lens: FrameLens, size: tuple[int, int]) -> list[float]:
    """A row of `make_lens`: fx, fy, cx, cy, k1, k2, k3, k4, p1, p2 in pixels of an image of `size`.

    A focal length that the file lacks is the other one; without cx and cy they are the middle.
    """
    centre = [_first(given, 0.5 * side) for given, side in zip(lens.centre, size, strict=True)]
    if lens.model == "panorama":
        if lens.covered(size) is None:
            return panorama_intrinsics(*size)
        # nerfstudio's focal length counts half turns, ours radians.
        return [*(length / math.pi for length in lens.focal), *centre, *[0.0] * 6]
    from_angles = _focal_of_angles(lens.angles, size)
    fx, fy = (_first(*each) for each in zip(lens.focal, from_angles, strict=True))
    return [_first(fx, fy), _first(fy, fx), *centre, *lens.distortion]


def _focal_of_angles(angles: tuple[float, float], size: tuple[int, int]) -> tuple[float, float]:
    """Focal lengths in pixels from angles of view in radians."""
    x, y = (0.5 * n / math.tan(0.5 * angle) for n, angle in zip(size, angles, strict=True))
    return x, y


def lens_model(values: Values) -> str:
    """`perspective`, `fisheye` or `panorama`, of the values of a frame with those of its file."""
    if any(is_set(values.get(key)) for key in PANORAMA_KEYS):
        return "panorama"
    name = model_name(values)
    if name == PANORAMA:
        return "panorama"
    is_fisheye = name in FISHEYE_MODELS or is_set(values.get("is_fisheye"))
    return "fisheye" if is_fisheye else "perspective"


def model_name(values: Values) -> str:
    """The name of the camera model, in capital letters; empty if it is not text."""
    name = values.get("camera_model", _DEFAULT_MODEL)
    return _DEFAULT_MODEL if name is None else name.upper() if isinstance(name, str) else ""


def is_set(value: Any, max_depth: int = 3) -> bool:
    """Whether a value of JSON sets anything: it is not null, false, zero, or a list of these;
    words for these values, e.g. "false", count as the values.

    >>> is_set([0, None]), is_set("false"), is_set("OPENCV")
    (False, False, True)
    """
    if isinstance(value, str):
        return value.strip().lower() not in _NOTHING
    if isinstance(value, list) and max_depth:
        return any(is_set(each, max_depth - 1) for each in value)
    return value is not None and value is not False and value != 0


class _Level(NamedTuple):
    """Focal length, angles of view and axis that one mapping gives; NaN for missing values."""

    focal: tuple[float, float]
    angles: tuple[float, float]
    centre: tuple[float, float]
    matrix_focal: tuple[float, float]

    @classmethod
    def of(cls, values: Values, where: str) -> "_Level":
        get = Numbers(values, where)
        matrix = camera_matrix(values, where) or (math.nan,) * 4
        focal = [_first(get(f"fl_{axis}", math.nan), matrix[i]) for i, axis in enumerate("xy")]
        centre = [_first(get(f"c{axis}", math.nan), matrix[i + 2]) for i, axis in enumerate("xy")]
        angles = [_angle(get, axis, where) for axis in "xy"]
        x, y = 0, 1
        return cls((focal[x], focal[y]), (angles[x], angles[y]), (centre[x], centre[y]), matrix[:2])


def _along(levels: Sequence[_Level], axis: int) -> tuple[float, float]:
    """The focal length along an axis, or else the angle of view, of the first level with either."""
    for level in levels:
        if not math.isnan(level.focal[axis]):
            return level.focal[axis], math.nan
        if not math.isnan(level.angles[axis]):
            return math.nan, level.angles[axis]
    return math.nan, math.nan


def _angle(get: Numbers, axis: str, where: str) -> float:
    """An angle of view in radians; NaN without one."""
    key, angle = f"camera_angle_{axis}", get(f"camera_angle_{axis}", math.nan)
    if math.isnan(angle):
        key, angle = f"{axis}_fov", math.radians(get(f"{axis}_fov", math.nan))
    if not math.isnan(angle) and not 0 < angle < math.pi:
        limits = "0 and pi radians" if key.startswith("camera") else "0 and 180 degrees"
        shown = angle if key.startswith("camera") else math.degrees(angle)
        raise UserError(f"{where}: {key} must be between {limits}, not {shown}")
    return angle


def camera_matrix(values: Values, where: str) -> tuple[float, float, float, float] | None:
    """fx, fy, cx, cy of the camera matrix; None without one.

    Raises:
      UserError: if it has another form, or slanted pixels.
    """
    key = next((key for key in MATRIX_KEYS if values.get(key) is not None), None)
    if key is None:
        return None
    what, found = f"{where}: {key}", values[key]
    if isinstance(found, Mapping):
        others = [str(name)[:50] for name in found if name not in _PINHOLE and is_set(found[name])]
        if others:
            raise UserError(
                f"{what} has {listed(others)} beside fx, fy, cx, cy: write them under their names "
                f"beside {key}, e.g. w, h, k1"
            )
        get = Numbers(found, what)
        return get("fx"), get("fy"), get("cx"), get("cy")
    rows = found if isinstance(found, list) else [found]
    flat = [value for row in rows for value in (row if isinstance(row, list) else [row])]
    numbers = [finite(value, what) for value in flat]
    if len(numbers) == 4 and key == "intrinsics":
        fx, fy, cx, cy = numbers
        return fx, fy, cx, cy
    if len(numbers) not in (9, 16):
        raise UserError(
            f"{what} must be a 3x3 matrix [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], or the list "
            "fx, fy, cx, cy as `intrinsics`"
        )
    side = math.isqrt(len(numbers))
    matrix = np.array(numbers).reshape(side, side)[:3, :3]
    if not matrix[:2, 2].any():  # by columns, as ARKit writes it
        matrix = matrix.T
    if abs(matrix[0, 1]) > _MAX_SKEW * abs(matrix[0, 0]) or matrix[1, 0] != 0:
        raise UserError(
            f"{what} has slanted pixels, which are not read: undistort the images "
            "(`colmap image_undistorter`)"
        )
    if not np.allclose(matrix[2], [0, 0, 1]):
        raise UserError(f"{what} does not end with the row 0, 0, 1: give a camera matrix")
    return float(matrix[0, 0]), float(matrix[1, 1]), float(matrix[0, 2]), float(matrix[1, 2])


def _first(*values: float) -> float:
    """The first value that is not NaN; NaN if all are."""
    return next((value for value in values if not math.isnan(value)), math.nan)
