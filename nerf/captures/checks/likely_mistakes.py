"""Notes on what a person would see at a glance in a plot of the cameras or in the images.

Each note says what was found and what to try. The capture itself is not changed: it may be right.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from nerf.captures.capture import Array, Capture, named_views
from nerf.captures.format_record import HandWritten
from nerf.errors import counted
from nerf.geometry.arrangement import nearest_to_axes

_MIN_VIEWS = 5  # fewer say nothing about the arrangement of cameras
_AIMED_COSINE = 0.94  # 20 degrees, the most between an axis and the direction to the common point
_AIMED_FRACTION = 0.9  # of the views, the least that look at the common point, or away from it
_WIDE_ANGLE = np.radians(25)  # between a viewing axis and their mean: the views surround something
_MAX_ERROR = {"wide": 0.2, "narrow": 0.05}  # of the axes at the common point, by their spread
_MAX_UNEQUAL = 4.0  # the farthest camera from the common point, by the nearest one
_MIN_TILT = np.sin(np.radians(12))  # of cameras that look down on what they surround
_UPRIGHT_COSINE = 0.85  # between the mean up direction and an axis of the files
_UPSIDE_DOWN_COSINE = 0.5
_MIN_UPSIDE_DOWN = 0.2  # of the views
_OPENCV = "OpenCV's (right, down, forward)"
_OPENGL = "OpenGL's (right, up, back)"
_FLIP_TOO = ", then change the sign of its second and third column"
_MAX_ANGLE, _MIN_ANGLE = 130.0, 2.0  # degrees; other perspective images are hardly ever taken
_MAX_SHAPE = 1.25  # of the two focal lengths, the longer by the shorter
_BORDER = 0.1  # of the width or height: a lens whose axis is so near the border is unusual


def notes_on_cameras(capture: Capture, by_hand: HandWritten | None) -> list[str]:
    """Notes on poses and lenses that are possible, but probably mistakes.

    Args:
      capture: the cameras.
      by_hand: how people write the poses of the format themselves; None if they do not.
    """
    notes = [
        *_on_equal_poses(capture),
        *_on_focal_length(capture),
        *_on_shape_of_pixels(capture),
        *_on_principal_point(capture),
    ]
    if capture.num_views < _MIN_VIEWS or capture.is_panorama.any():
        return notes
    on_axes = _on_axes(capture.camtoworlds, by_hand) if by_hand is not None else []
    return [*on_axes, *_on_upside_down(capture), *notes]


class Meeting(NamedTuple):
    """How the viewing axes of cameras meet.

    Attributes:
      is_sharp: whether they meet in one point, compared with how much they spread.
      is_wide: whether they spread widely, as around an object.
      ahead: the fraction of the cameras that have the point ahead of them, and look at it.
      behind: the fraction that looks away from it.
    """

    is_sharp: bool
    is_wide: bool
    ahead: float
    behind: float

    @property
    def is_clear(self) -> bool:
        """Whether nearly all cameras look at the point, or away from it."""
        is_known = self.is_sharp or self.is_wide
        return is_known and max(self.ahead, self.behind) >= _AIMED_FRACTION


def meeting_of_axes(poses: Array) -> Meeting:
    """Whether the viewing axes of `[num_views, 3, 4]` poses meet, and on which side."""
    back, positions = poses[:, :, 2], poses[:, :, 3]
    towards = nearest_to_axes(positions, back) - positions
    distance = np.linalg.norm(towards, axis=-1)
    middle = float(np.median(distance))
    cosine = -np.sum(back * towards, axis=-1) / np.maximum(distance, 1e-12)
    error = float(np.median(np.arccos(np.clip(np.abs(cosine), 0, 1))))
    mean = back.mean(axis=0)
    mean = mean / max(float(np.linalg.norm(mean)), 1e-12)
    spread = float(np.median(np.arccos(np.clip(back @ mean, -1, 1))))
    is_wide = spread > _WIDE_ANGLE
    extent = float(np.ptp(positions, axis=0).max())
    is_even = distance.max() < _MAX_UNEQUAL * distance.min() and middle > 0.2 * extent
    limit = _MAX_ERROR["wide" if is_wide else "narrow"] * min(spread, _WIDE_ANGLE)
    return Meeting(
        is_sharp=bool(is_even and error < limit),
        is_wide=bool(is_wide),
        ahead=float(np.mean(cosine > _AIMED_COSINE)),
        behind=float(np.mean(cosine < -_AIMED_COSINE)),
    )


# Poses.


def _on_axes(poses: Array, by_hand: HandWritten) -> list[str]:
    """A note if the axes or the direction of the matrices seem to be those of another program."""
    matrix, uses_opencv = by_hand
    others = _OPENGL if uses_opencv else _OPENCV
    flip = np.diag([1.0, -1.0, -1.0, 1.0]) if uses_opencv else np.eye(4)
    given, inverse = meeting_of_axes(poses), meeting_of_axes(_inverse(poses @ flip) @ flip)
    if given.is_clear and given.behind >= _AIMED_FRACTION and _seems_flipped(poses, given):
        return [
            "the cameras look away from the point where their axes meet, and are upside down: if "
            f"they should look at it, the axes are {others}: change the sign of the "
            "second and third column of each camera-to-world matrix; or the matrices are world to "
            "camera: invert them"
        ]
    is_better = not given.is_clear or (inverse.is_wide and not given.is_wide)
    if inverse.is_clear and inverse.is_sharp and is_better:
        then = ""
        if inverse.ahead < _AIMED_FRACTION:
            then = f"{_FLIP_TOO} (the axes are {others})"
        return [
            "the axes of the cameras would meet in one point if the matrices were world to camera: "
            f"if they should, invert each matrix ({matrix} is camera to world){then}"
        ]
    for change, condition, advice in _OTHER_ROTATIONS:
        changed = meeting_of_axes(change(poses @ flip) @ flip)
        if changed.is_clear and changed.is_sharp and not given.is_clear:
            then = f"{_FLIP_TOO} (the axes are {others})" * (changed.ahead < _AIMED_FRACTION)
            return [
                f"the axes of the cameras would meet in one point if {condition}: if they should, "
                f"{advice}{then}"
            ]
    return []


def _mean_up(poses: Array) -> Array:
    """The mean of the cameras' up axes, unit; the first camera's if they cancel out."""
    up = poses[:, :, 1].sum(axis=0)
    length = float(np.linalg.norm(up))
    return np.asarray(up / length if length > 1e-3 * len(poses) else poses[0, :, 1])


def _seems_flipped(poses: Array, meeting: Meeting) -> bool:
    """Whether cameras that look away from one point seem to have y and z the wrong way round.

    People also walk around and look outwards. They hold the camera upright, in files whose y or z
    axis points up. If no axis does, they do not tilt it downwards on purpose in all views, as
    cameras seem to that look down on an object from around it.
    """
    up = _mean_up(poses)
    if abs(up[2]) > _UPRIGHT_COSINE:
        return bool(up[2] < 0)
    if not meeting.is_sharp or up[1] > _UPRIGHT_COSINE:
        return False
    tilt = float(np.mean(poses[:, :, 2] @ up))  # positive where the cameras look down
    return bool(tilt > _MIN_TILT if meeting.is_wide else up[1] < -_UPRIGHT_COSINE)


def _inverse(poses: Array) -> Array:
    """The inverses of `[num_views, 3, 4]` rigid transforms."""
    rotations = np.swapaxes(poses[:, :, :3], 1, 2)
    return np.concatenate([rotations, -rotations @ poses[:, :, 3:]], axis=-1)


def _with_transposed_rotations(poses: Array) -> Array:
    """`[num_views, 3, 4]` poses with the rotations of world to camera, and their positions."""
    return np.concatenate([np.swapaxes(poses[:, :, :3], 1, 2), poses[:, :, 3:]], axis=-1)


def _with_quaternions_from_w(poses: Array) -> Array:
    """`[num_views, 3, 4]` poses whose quaternions were w, x, y, z, and were read as x, y, z, w."""
    quaternions = np.roll(Rotation.from_matrix(poses[:, :, :3]).as_quat(), -1, axis=-1)
    return np.concatenate([Rotation.from_quat(quaternions).as_matrix(), poses[:, :, 3:]], axis=-1)


# What rotations may be meant as: the poses then, when that holds, and what to do.
_OTHER_ROTATIONS = (
    (
        _with_transposed_rotations,
        "the rotations were transposed",
        "transpose the first three rows and columns of each matrix, and leave the position as it "
        "is",
    ),
    (
        _with_quaternions_from_w,
        "each quaternion began with w",
        "write it last, as qx qy qz qw, or name the columns",
    ),
)


def _on_equal_poses(capture: Capture) -> list[str]:
    """A note if several views have exactly the same pose."""
    rows = capture.camtoworlds.reshape(capture.num_views, -1)
    _, groups, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(counts > 1)
    if len(repeated) == 0:
        return []
    first = np.flatnonzero(groups.reshape(-1) == repeated[0]).tolist()
    number = int(counts[repeated].sum() - len(repeated))
    return [
        f"{counted(number, 'view has', 'views have')} exactly the pose of another view, first "
        f"{named_views(first, capture.names)}: check that each image has its own pose, or remove "
        "the others"
    ]


def _on_upside_down(capture: Capture) -> list[str]:
    """A note if some views are upside down compared with the others."""
    ups, mean_back = capture.camtoworlds[:, :, 1], capture.camtoworlds[:, :, 2].mean(axis=0)
    axis = np.linalg.svd(ups, full_matrices=False)[2][0]
    along = ups @ axis
    if abs(mean_back[2]) > 0.8:  # seen from above or below, where no direction is up
        return []
    minority = along > 0 if (along > 0).mean() <= 0.5 else along < 0
    is_clear = (np.abs(along) > _UPSIDE_DOWN_COSINE).mean() >= 0.8
    if not is_clear or minority.mean() < _MIN_UPSIDE_DOWN:
        return []
    return [
        f"{minority.sum()} of {capture.num_views} views are upside down compared with the others, "
        f"first {named_views(np.flatnonzero(minority)[:1].tolist(), capture.names)}: if they were "
        "not taken so, their images were turned after the poses were made, or their axes are "
        "OpenCV's and those of the others are not"
    ]


# Lenses.


def _on_focal_length(capture: Capture) -> list[str]:
    """A note if perspective images see an angle that hardly any lens does."""
    width, focal = capture.sizes[:, 0], np.asarray(capture.lens.focal)[:, 0]
    angles = np.degrees(2 * np.arctan(0.5 * width / focal))
    is_perspective = ~np.asarray(capture.lens.fisheye) & ~capture.is_panorama
    is_wide, is_narrow = (
        is_perspective & (angles > _MAX_ANGLE),
        is_perspective & (angles < _MIN_ANGLE),
    )
    notes = []
    for which, question in (
        (is_wide, "is it in millimetres, or a share of the width? In pixels it is the share times "
         "the width of the image, and the share is millimetres / the width of the sensor"),
        (is_narrow, "does it belong to a larger image?"),
    ):  # fmt: skip
        if which.any():
            index = int(np.argmax(which))
            notes.append(
                f"the focal length of {named_views([index], capture.names)}, {focal[index]:.4g} "
                f"pixels, makes an image {width[index]} pixels wide see {angles[index]:.0f} "
                f"degrees{_and_more(which)}: {question}"
            )
    return notes


def _on_shape_of_pixels(capture: Capture) -> list[str]:
    """A note if the focal lengths across and upright differ more than any camera's do."""
    fx, fy = np.asarray(capture.lens.focal).T
    is_odd = (np.maximum(fx, fy) > _MAX_SHAPE * np.minimum(fx, fy)) & ~capture.is_panorama
    if not is_odd.any():
        return []
    index = int(np.argmax(is_odd))
    return [
        f"the focal lengths of {named_views([index], capture.names)}, {fx[index]:.4g} across and "
        f"{fy[index]:.4g} upright, differ{_and_more(is_odd)}: pixels are hardly ever so oblong; do "
        "they belong to images of two sizes?"
    ]


def _on_principal_point(capture: Capture) -> list[str]:
    """A note if the axis of a lens is near the border of its image, or outside."""
    sizes = capture.sizes.astype(np.float64)
    centre = np.asarray(capture.lens.centre) + 0.5
    share = centre / sizes
    is_odd = ((share < _BORDER) | (share > 1 - _BORDER)).any(1) & ~capture.is_panorama
    if not is_odd.any():
        return []
    index = int(np.argmax(is_odd))
    (x, y), (width, height) = centre[index], capture.sizes[index]
    return [
        f"the axis of the lens of {named_views([index], capture.names)} is at {x:.4g}, {y:.4g} in "
        f"an image of {width}x{height}{_and_more(is_odd)}: are cx and cy shares of the size, or do "
        "they belong to an image of another size?"
    ]


def _and_more(which: npt.NDArray[np.bool_]) -> str:
    number = int(which.sum()) - 1
    more = counted(number, "more view has", "more views have")
    return f" ({more} the same fault)" if number else ""
