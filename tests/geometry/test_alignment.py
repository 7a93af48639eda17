"""Laws of the alignment of poses: a similarity changes no error, and noise is what is left."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nerf.geometry.alignment import pose_errors, similarity_between
from nerf.geometry.poses import similarity, transform_poses
from tests.support.cameras import forward_facing

TURN = Rotation.from_rotvec([0.4, -1.1, 2.0]).as_matrix()
MOVE = similarity(TURN, 2.5, np.array([1.0, -2.0, 0.5]))


def poses(num=9):
    return forward_facing(num).astype(np.float64)


def in_a_row():
    """Cameras on a line, whose positions do not say how they are turned about it."""
    found = poses()
    found[..., 3] = np.linspace(-1.0, 1.0, len(found))[:, None] * [1.0, 0.5, 0.2]
    return found


def at_one_place():
    found = poses()
    found[..., 3] = [1.0, 2.0, 3.0]
    return found


@pytest.mark.parametrize("make", [poses, in_a_row], ids=["rig", "row"])
def test_a_similarity_that_was_put_in_is_found(make):
    before = make()
    found = similarity_between(before, transform_poses(MOVE, before))
    np.testing.assert_allclose(found, MOVE, atol=1e-6)
    errors = pose_errors(transform_poses(MOVE, before), before)
    np.testing.assert_allclose(errors.angles, 0.0, atol=1e-6)
    np.testing.assert_allclose(errors.distances, 0.0, atol=1e-6)


def test_cameras_at_one_place_have_no_scale_to_find():
    before = at_one_place()
    errors = pose_errors(transform_poses(MOVE, before), before)
    np.testing.assert_allclose(errors.angles, 0.0, atol=1e-6)
    np.testing.assert_allclose(errors.distances, 0.0, atol=1e-6)
    assert np.isclose(np.cbrt(np.linalg.det(similarity_between(before, before)[:3, :3])), 1.0)


def test_one_camera_that_is_turned_and_moved_is_told_from_the_others():
    wrong = poses(40)
    wrong[3, :, :3] = Rotation.from_rotvec([0.0, 0.1, 0.0]).as_matrix() @ wrong[3, :, :3]
    wrong[3, :, 3] += [0.05, 0.0, 0.0]
    errors = pose_errors(wrong, poses(40))
    assert errors.angles[3] == pytest.approx(0.1, rel=0.05)
    assert errors.distances[3] == pytest.approx(0.05, rel=0.1)
    assert np.delete(errors.angles, 3).max() < 0.01
    assert np.delete(errors.distances, 3).max() < 0.005
