"""Camera paths: the poses of a video's frames.

A path is a function of the poses `[num_views, 3, 4]` and bounds `[num_views, 2]` of a scene, both
in scene units, and the number of frames; it returns poses `[num_frames, 3, 4]`. Columns of a pose
are right, up, back | position.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from nerf.errors import UserError
from nerf.geometry.arrangement import find_arrangement, rotation_to_upright, widest_gap
from nerf.geometry.cameras import Cameras
from nerf.geometry.poses import look_at, mean_pose
from nerf.geometry.upright import UP, upright_cameras

Poses = npt.NDArray[np.float32]
Up = npt.NDArray[np.float64]


class CameraPath(Protocol):
    def __call__(
        self, poses: Poses, bounds: Poses, num_frames: int, *, up: Up | None = None
    ) -> Poses:
        """Poses `[num_frames, 3, 4]` float32 for a scene's poses and bounds.

        Args:
          poses, bounds, num_frames: see `camera_path`.
          up: `[3]`, unit, which way is up; None estimates it from the poses.
        """


GIVEN = "test"  # the path along poses that the files of a scene have without images


def camera_path(
    name: str, poses: Poses, bounds: Poses, num_frames: int, *, up: Up | None = None
) -> Poses:
    """Makes the poses of the path called `name`.

    Args:
      name: one of `PATHS`.
      poses: `[num_views, 3, 4]`, the scene's cameras.
      bounds: `[num_views, 2]`, nearest and farthest depth of each.
      num_frames: how many poses to make, at least 1.
      up: `[3]`, unit, which way is up; None estimates it from the poses.

    Returns:
      `[num_frames, 3, 4]` float32.

    Raises:
      UserError: if there is no path of that name, or `num_frames` is less than 1.

    >>> camera_path("loop", np.eye(3, 4)[None], np.ones((1, 2)), 8)
    Traceback (most recent call last):
    ...
    nerf.errors.UserError: unknown camera path 'loop': choose one of interpolate, orbit, spiral
    """
    if name not in PATHS:
        raise UserError(f"unknown camera path {name!r}: choose one of {', '.join(sorted(PATHS))}")
    if num_frames < 1:
        raise UserError(f"a camera path needs at least 1 frame, not {num_frames}")
    return PATHS[name](poses, bounds, num_frames, up=up)


def path_cameras(
    name: str, cameras: Cameras, num_frames: int, given: Poses | None = None
) -> Cameras:
    """Cameras `[num_frames]` along the path called `name` of cameras `[num_views]`, upright.

    Args:
      name: one of `PATHS`, or `GIVEN`.
      cameras: the cameras of the scene.
      num_frames: how many there will be, at least 1.
      given: `[num_poses, 3, 4]`, the poses of the path `GIVEN`; None if the scene has none.

    Raises:
      UserError: see `camera_path`; also if the path `GIVEN` is chosen and there is none.
    """
    cameras = upright_cameras(cameras)
    poses, bounds = (np.asarray(x, np.float32) for x in (cameras.camtoworlds, cameras.bounds))
    if name == GIVEN:
        if given is None:
            raise UserError(
                f'`camera_path="{GIVEN}"` needs poses without images, as in a transforms_test.json '
                f"of Blender, and this scene has none: choose one of {', '.join(sorted(PATHS))}"
            )
        name, poses = "interpolate", given
    return cameras.at(camera_path(name, poses, bounds, num_frames, up=UP))


def spiral(
    poses: Poses,
    bounds: Poses,
    num_frames: int,
    num_rotations: float = 2.0,
    *,
    up: Up | None = None,
) -> Poses:
    """A spiral around the mean pose that looks at one point in front of it.

        centre(a) = mean [r_x cos a, -r_y sin a, -r_z sin(a/2), 1],   a in [0, 2 pi num_rotations)
        1/focus   = 0.25/(0.9 min near) + 0.75/(5 max far)

    The path closes if `num_rotations` is even: its last frame stops short of the first.

    Args:
      poses: `[num_views, 3, 4]`; the radii r are the 90th percentiles of |position|, so the poses
        must be centred.
      bounds: `[num_views, 2]`, nearest and farthest depth of each view.
      num_frames: how many poses to make.
      num_rotations: turns around the mean viewing axis.
      up: not used; up is the mean of the cameras' up axes.

    Source: bmild/nerf `load_llff.py` (`render_path_spiral`).
    """
    del up
    precise = poses.astype(np.float64)
    mean = mean_pose(precise)
    mean_up = precise[:, :, 1].sum(axis=0)
    radii = np.percentile(np.abs(precise[:, :, 3]), 90, axis=0)
    focus = _to_world(mean, np.array([0.0, 0.0, -_focus_depth(bounds)]))
    angles = np.linspace(0.0, 2 * np.pi * num_rotations, num_frames, endpoint=False)
    offsets = np.stack([np.cos(angles), -np.sin(angles), -np.sin(angles / 2)], axis=-1)
    centres = [_to_world(mean, offset) for offset in offsets * radii]
    return np.stack([look_at(c - focus, mean_up, c) for c in centres]).astype(np.float32)


def interpolate(poses: Poses, bounds: Poses, num_frames: int, *, up: Up | None = None) -> Poses:
    """A path through all views in their order, from the first to the last.

    Positions follow a monotone cubic spline, so the path has no corners and does not overshoot a
    view; between neighbouring views the camera turns at a constant rate.

    Args:
      poses: `[num_views, 3, 4]`.
      bounds: not used.
      num_frames: how many poses to make.
      up: not used.
    """
    # Importing SciPy takes half the program's start-up time, and a spiral does not need it.
    from scipy.interpolate import PchipInterpolator
    from scipy.spatial.transform import Rotation, Slerp

    del bounds, up
    num_views = len(poses)
    if num_views == 1:
        return np.repeat(poses, num_frames, axis=0)
    knots = np.arange(num_views)
    times = np.linspace(0.0, num_views - 1, num_frames)
    rotations = Slerp(knots, Rotation.from_matrix(poses[:, :, :3]))(times).as_matrix()
    positions = PchipInterpolator(knots, poses[:, :, 3])(times)
    return np.concatenate([rotations, positions[..., None]], axis=-1).astype(np.float32)


def orbit(poses: Poses, bounds: Poses, num_frames: int, *, up: Up | None = None) -> Poses:
    """A horizontal circle around the point that the cameras look at.

    Height and radius are the means over the cameras. If the cameras leave a gap of more than 90
    degrees, the path goes back and forth along the rest of the circle.

    Args:
      poses: `[num_views, 3, 4]`.
      bounds: not used.
      num_frames: how many poses to make.
      up: `[3]`, the axis of the circle; None estimates it from the poses.
    """
    del bounds
    precise = poses.astype(np.float64)
    arrangement = find_arrangement(precise, up)
    to_upright = rotation_to_upright(arrangement.up)
    offsets = (precise[:, :, 3] - arrangement.focus) @ to_upright.T
    height, radius = offsets[:, 1].mean(), np.hypot(offsets[:, 0], offsets[:, 2]).mean()
    if radius < 1e-9:  # one camera, or all at one position: there is no circle
        return np.repeat(poses[:1], num_frames, axis=0)
    start, gap = widest_gap(offsets)
    turn = np.linspace(0.0, 2 * np.pi, num_frames, endpoint=False)
    angles = start + turn
    if gap > 0.5 * np.pi:
        angles = start + (2 * np.pi - gap) * 0.5 * (1.0 - np.cos(turn))
    circle = np.stack(
        [radius * np.sin(angles), np.full(num_frames, height), radius * np.cos(angles)], 1
    )
    centres = arrangement.focus + circle @ to_upright
    return np.stack([look_at(c - arrangement.focus, arrangement.up, c) for c in centres]).astype(
        np.float32
    )


PATHS: dict[str, CameraPath] = {"spiral": spiral, "orbit": orbit, "interpolate": interpolate}


def _focus_depth(bounds: Poses) -> float:
    """A depth 3/4 of the way from the nearest to the farthest, in disparity."""
    nearest, farthest = 0.9 * float(bounds.min()), 5.0 * float(bounds.max())
    return 1.0 / (0.25 / nearest + 0.75 / farthest)


def _to_world(
    pose: npt.NDArray[np.float64], point: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """A point `[3]` from camera coordinates to world coordinates."""
    moved: npt.NDArray[np.float64] = pose[:, :3] @ point + pose[:, 3]
    return moved
