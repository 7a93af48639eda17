"""Laws of a path through keyframes: it meets them in time, is smooth, and turns with its world."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nerf.geometry.keyframe_paths import KeyframePath


def keyframes(num=4, seed=0):
    rng = np.random.default_rng(seed)
    turns = Rotation.from_rotvec(rng.uniform(-1, 1, (num, 3))).as_matrix()
    poses = np.concatenate([turns, rng.uniform(-2, 2, (num, 3, 1))], axis=-1)
    return poses, rng.uniform(30, 80, num)


def path(num=4, *, is_loop=False, tension=0.0, seconds=None):
    poses, fov = keyframes(num)
    count = num if is_loop else num - 1
    seconds = np.linspace(1.0, 2.5, count) if seconds is None else seconds
    return KeyframePath(poses, fov, seconds, is_loop, tension)


@pytest.mark.parametrize("num", [2, 3, 5])
@pytest.mark.parametrize("is_loop", [False, True])
@pytest.mark.parametrize("tension", [0.0, 0.4, 1.0])
def test_it_is_at_each_keyframe_in_time_and_has_no_corner(num, is_loop, tension):
    made = path(num, is_loop=is_loop, tension=tension)
    ends = np.concatenate([[0.0], np.cumsum(made.seconds)])
    poses, fov = made.at(ends)
    expected = np.arange(len(ends)) % num
    np.testing.assert_allclose(poses, made.poses[expected], atol=1e-9)
    np.testing.assert_allclose(fov, made.fov[expected], atol=1e-9)
    small = 1e-5  # the speed before and after a keyframe is the same
    inner = ends[1:-1]
    there = made.at(inner)[0]
    before, after = there - made.at(inner - small)[0], made.at(inner + small)[0] - there
    np.testing.assert_allclose(before / small, after / small, atol=2e-3)


def test_two_keyframes_are_a_straight_line_at_a_constant_rate():
    made = path(2, seconds=np.array([2.0]))
    poses, fov = made.at([0.5])
    first, last = made.poses
    np.testing.assert_allclose(poses[0, :, 3], 0.75 * first[:, 3] + 0.25 * last[:, 3])
    assert fov[0] == pytest.approx(0.75 * made.fov[0] + 0.25 * made.fov[1])
    turn = Rotation.from_matrix(last[:, :3] @ first[:, :3].T).as_rotvec()
    expected = Rotation.from_rotvec(0.25 * turn).as_matrix() @ first[:, :3]
    np.testing.assert_allclose(poses[0, :, :3], expected, atol=1e-12)


def test_a_catmull_rom_spline_by_hand():
    """Of 0, 1, 4, 9, between 1 and 4 with the tangents 2 and 4: (1 + 4) / 2 + (2 - 4) / 8."""
    poses = np.tile(np.eye(3, 4), (4, 1, 1))
    poses[:, 0, 3] = [0.0, 1.0, 4.0, 9.0]
    made = KeyframePath(poses, np.full(4, 50.0), np.ones(3))
    found, fov = made.at([1.5])
    assert found[0, 0, 3] == pytest.approx(2.25)
    assert fov[0] == pytest.approx(50.0)
    # Tension halves the tangents.
    assert made._replace(tension=0.5).at([1.5])[0][0, 0, 3] == pytest.approx(2.375)


def test_rotations_about_one_axis_follow_the_spline_of_their_angles():
    angles = np.array([0.0, 0.3, 1.0, 1.2, 0.9])
    turns = Rotation.from_rotvec(angles[:, None] * [0.0, 0.6, 0.8]).as_matrix()
    poses = np.concatenate([turns, angles[:, None, None] * np.ones((5, 3, 1))], axis=-1)
    for is_loop in (False, True):
        made = KeyframePath(poses, np.ones(5), np.ones(5 if is_loop else 4), is_loop, 0.2)
        found, _ = made.at(np.linspace(0, made.duration, 23))
        along = Rotation.from_matrix(found[:, :, :3]).as_rotvec() @ [0.0, 0.6, 0.8]
        np.testing.assert_allclose(along, found[:, 0, 3], atol=1e-9)


def test_a_turned_world_has_the_turned_path():
    made, turn = path(4), Rotation.from_rotvec([0.3, -0.5, 0.9]).as_matrix()
    times = np.linspace(0, made.duration, 9)
    turned = made._replace(poses=turn @ made.poses)
    np.testing.assert_allclose(turned.at(times)[0], turn @ made.at(times)[0], atol=1e-9)
