"""A smooth path through keyframes: cameras with a field of view, at given times.

Positions, rotations and fields of view follow cubic splines whose tangent at a keyframe is

    (1 - tension) / 2 * (next - previous)

(Kochanek and Bartels 1984, without bias and continuity; tension 0 is a Catmull-Rom spline, tension
1 stops at each keyframe). At the ends of an open path the second derivative is zero. A rotation is
drawn by Bezier curves on the sphere of quaternions (Shoemake 1985). nerfstudio's viewer does the
same, so that a path which was made there is the same here.

Source: nerfstudio `viewer/render_panel.py` (`CameraPath`), and the splines that it uses.
"""

import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation

Array = npt.NDArray[np.float64]


class KeyframePath(NamedTuple):
    """Keyframes, and how long the camera takes from each to the next.

    Attributes:
      poses: `[num_keyframes, 3, 4]`, at least two.
      fov: `[num_keyframes]`, field of view in any unit of angle.
      seconds: `[num_transitions]`, of each transition, more than 0; a loop has one more than an
        open path, that from the last keyframe to the first.
      is_loop: whether the path returns to the first keyframe.
      tension: in [0, 1].
    """

    poses: Array
    fov: Array
    seconds: Array
    is_loop: bool = False
    tension: float = 0.0

    @property
    def duration(self) -> float:
        """Seconds of the whole path."""
        return float(self.seconds.sum())

    def at(self, times: npt.ArrayLike) -> tuple[Array, Array]:
        """The cameras at some times.

        Args:
          times: `[num_times]`, seconds from 0 to `duration`.

        Returns:
          Poses `[num_times, 3, 4]` and fields of view `[num_times]`.
        """
        along = self._along(np.asarray(times, np.float64))
        segment = np.clip(along.astype(int), 0, len(self.seconds) - 1)
        part = along - segment
        values = np.concatenate([self.poses[:, :, 3], self.fov[:, None]], axis=1)
        found = _curve(self._closed(values), self.is_loop, self.tension, segment, part)
        turns = _turns(
            Rotation.from_matrix(self._closed(self.poses[:, :, :3])),
            self.is_loop,
            self.tension,
            segment,
            part,
        )
        poses = np.concatenate([turns, found[:, :3, None]], axis=-1)
        return poses, found[:, 3]

    def _along(self, times: Array) -> Array:
        """Times in transitions: i at keyframe i; the speed changes smoothly between them."""
        ends = np.concatenate([[0.0], np.cumsum(self.seconds)])
        numbers = np.arange(len(ends), dtype=np.float64)
        if self.is_loop:  # the speed is the same before and after its first keyframe
            ends = np.concatenate([[-self.seconds[-1]], ends, [ends[-1] + self.seconds[0]]])
            numbers = np.arange(-1.0, len(numbers) + 1)
        last = len(self.seconds)
        return np.asarray(np.clip(PchipInterpolator(ends, numbers)(times), 0.0, last))

    def _closed(self, values: Array) -> Array:
        return np.concatenate([values, values[:1]]) if self.is_loop else values


def _inner_tangents(steps: Array, is_loop: bool, tension: float) -> Array:
    """Tangents at all keyframes but the ends of an open path, of steps between neighbours."""
    before = np.concatenate([steps[-1:], steps]) if is_loop else steps[:-1]
    after = np.concatenate([steps, steps[:1]]) if is_loop else steps[1:]
    return np.asarray(0.5 * (1.0 - tension) * (before + after))


def _curve(
    values: Array, is_loop: bool, tension: float, segment: npt.NDArray[np.int_], part: Array
) -> Array:
    """Values `[num_times, d]` in parts of segments of a curve through `values` `[num + 1, d]`."""
    steps = np.diff(values, axis=0)
    tangents = _inner_tangents(steps, is_loop, tension)
    if not is_loop:
        inner = tangents if len(tangents) else steps  # with two keyframes, a straight line
        start = 1.5 * steps[:1] - 0.5 * inner[:1]
        end = 1.5 * steps[-1:] - 0.5 * inner[-1:]
        tangents = np.concatenate([start, tangents, end])
    t = part[:, None]
    from_, to = values[segment], values[segment + 1]
    leaves, arrives = tangents[segment], tangents[segment + 1]
    return np.asarray(
        from_
        + t * leaves
        + t**2 * (3.0 * (to - from_) - 2.0 * leaves - arrives)
        + t**3 * (2.0 * (from_ - to) + leaves + arrives)
    )


def _turns(
    rotations: Rotation, is_loop: bool, tension: float, segment: npt.NDArray[np.int_], part: Array
) -> Array:
    """Matrices `[num_times, 3, 3]` in parts of segments of a curve through rotations."""
    steps = (rotations[1:] * rotations[:-1].inv()).as_rotvec()
    begin, end = rotations[:-1], rotations[1:]
    speeds = _inner_tangents(steps, is_loop, tension)
    if is_loop:
        leaves, arrives = speeds[:-1], speeds[1:]
    else:
        unknown = np.zeros((1, 3))  # replaced below
        leaves, arrives = np.concatenate([unknown, speeds]), np.concatenate([speeds, unknown])
    after = (Rotation.from_rotvec(leaves / 3.0) * begin).as_quat()
    before = (Rotation.from_rotvec(-arrives / 3.0) * end).as_quat()
    if not is_loop and len(steps) == 1:
        after = _between(begin, end, np.array([1.0 / 3.0])).as_quat()
        before = _between(begin, end, np.array([2.0 / 3.0])).as_quat()
    elif not is_loop:
        half = np.array([0.5])
        after[:1] = _between(begin[:1], Rotation.from_quat(before[:1]), half).as_quat()
        before[-1:] = _between(Rotation.from_quat(after[-1:]), end[-1:], half).as_quat()
    points = [
        begin[segment],
        Rotation.from_quat(after)[segment],
        Rotation.from_quat(before)[segment],
        end[segment],
    ]
    while len(points) > 1:  # de Casteljau
        points = [_between(a, b, part) for a, b in itertools.pairwise(points)]
    return np.asarray(points[0].as_matrix())


def _between(a: Rotation, b: Rotation, part: Array) -> Rotation:
    """Rotations on the shortest way from `a` to `b`, at parts `[num]` of it."""
    return Rotation.from_rotvec(part[:, None] * (b * a.inv()).as_rotvec()) * a
