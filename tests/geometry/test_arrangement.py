"""Laws of rigs: what kind they are, where they look, and that none of it depends on the axes."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nerf.geometry.arrangement import find_arrangement, nearest_to_axes, rotation_to_upright
from nerf.geometry.camera_paths import PATHS, camera_path
from nerf.geometry.contraction import Contracted
from nerf.geometry.ndc import NDC
from nerf.geometry.world import World
from tests.support.captures import forward_poses, orbit_poses


def moved(poses, seed):
    """The same cameras in another frame, with another unit of length."""
    turn = Rotation.random(random_state=seed).as_matrix()
    scale, shift = 10.0 ** (seed % 5 - 2), np.array([3.0, -1.0, 0.5])
    changed = poses.copy()
    changed[:, :, :3] = turn @ poses[:, :, :3]
    changed[:, :, 3] = scale * (poses[:, :, 3] @ turn.T + shift)
    return changed, turn, lambda point: scale * (turn @ point + shift)


def outward_poses():
    poses = orbit_poses()
    poses[:, :, [0, 2]] *= -1
    return poses


@pytest.mark.parametrize(
    ("poses", "kind"),
    [(forward_poses(), "forward"), (orbit_poses(), "inward"), (outward_poses(), "free")],
    ids=["forward", "inward", "outward"],
)
@pytest.mark.parametrize("seed", range(4))
def test_the_kind_does_not_depend_on_the_frame(poses, kind, seed):
    changed, _, _ = moved(poses, seed)
    assert find_arrangement(changed).kind == kind


@pytest.mark.parametrize("seed", range(4))
def test_the_focus_is_where_axes_meet(seed):
    changed, _, move = moved(orbit_poses(), seed)
    focus = find_arrangement(changed).focus
    scale = np.abs(changed[:, :, 3]).max()
    np.testing.assert_allclose(focus, move(np.zeros(3)), atol=1e-6 * scale)


def test_parallel_axes_meet_beside_the_cameras():
    positions = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 2]])
    back = np.tile([0.0, 0.0, 1.0], (3, 1))
    np.testing.assert_allclose(nearest_to_axes(positions, back), positions.mean(axis=0), atol=1e-9)


@pytest.mark.parametrize("up", [[0, 1, 0], [0, -1, 0], [0, 0, 1], [0.3, -0.5, 0.8]])
def test_upright_turns_up_into_y_and_is_a_rotation(up):
    up = np.array(up) / np.linalg.norm(up)
    turn = rotation_to_upright(up)
    np.testing.assert_allclose(turn @ up, [0, 1, 0], atol=1e-9)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(turn), 1.0)


def test_paths_suit_the_arrangement():
    bounds = np.ones((6, 2), np.float32)
    assert NDC((1.0, 1.0)).default_camera_path(forward_poses()) == "spiral"
    for space in (World(), Contracted()):
        assert space.default_camera_path(orbit_poses()) == "orbit"
        assert space.default_camera_path(outward_poses()) == "interpolate"
    assert {"spiral", "orbit", "interpolate"} <= set(PATHS)
    poses = orbit_poses().astype(np.float32)
    for name in ("orbit", "interpolate"):
        assert camera_path(name, poses, bounds, 7).shape == (7, 3, 4)


@pytest.mark.parametrize("seed", range(3))
def test_an_orbit_looks_at_the_focus_from_the_cameras_mean_height(seed):
    changed, turn, move = moved(orbit_poses(), seed)
    path = camera_path("orbit", changed.astype(np.float32), np.ones((6, 2), np.float32), 16)
    focus, scale = move(np.zeros(3)), np.linalg.norm(changed[0, :, 3] - changed[1, :, 3])
    towards = focus - path[:, :, 3]
    distance = np.linalg.norm(towards, axis=-1, keepdims=True)
    np.testing.assert_allclose(-path[:, :, 2], towards / distance, atol=1e-4)
    up = turn @ [0.0, 0.0, 1.0]
    heights = (path[:, :, 3] - focus) @ up
    expected = ((changed[:, :, 3] - focus) @ up).mean()
    np.testing.assert_allclose(heights, expected, atol=0.1 * scale)
    np.testing.assert_allclose(distance[:, 0], distance[0, 0], rtol=1e-3)


def test_an_orbit_stays_where_cameras_were():
    """Of a half circle of cameras the path leaves the other half alone, and comes back."""
    poses = orbit_poses(12)[:7].astype(np.float32)
    path = camera_path("orbit", poses, np.ones((7, 2), np.float32), 40)
    assert path[:, 1, 3].min() > -0.2
    steps = np.linalg.norm(np.diff(path[:, :, 3], axis=0, append=path[:1, :, 3]), axis=-1)
    assert steps.max() < 0.8  # nor does it jump, at its end either
