"""Laws of the camera paths."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nerf.errors import UserError
from nerf.geometry.camera_paths import PATHS, camera_path, interpolate, spiral
from nerf.geometry.poses import mean_pose, similarity, transform_poses


@pytest.fixture
def poses() -> np.ndarray:
    """`[9, 3, 4]`: forward-facing, centred."""
    rng = np.random.default_rng(0)
    rotations = Rotation.from_rotvec(rng.normal(0.0, 0.1, (9, 3))).as_matrix()
    positions = rng.normal(0.0, [0.4, 0.3, 0.1], (9, 3))
    poses = np.concatenate([rotations, positions[..., None]], axis=-1)
    mean = mean_pose(poses)
    centred = transform_poses(similarity(mean[:, :3].T, 1.0, mean[:, 3]), poses)
    return centred.astype(np.float32)


@pytest.fixture
def bounds() -> np.ndarray:
    return np.tile(np.array([4 / 3, 9.0], np.float32), (9, 1))


@pytest.mark.parametrize("name", sorted(PATHS))
@pytest.mark.parametrize("num_frames", [1, 2, 31])
def test_every_path_has_its_frames_and_they_are_rigid(
    name: str, num_frames: int, poses: np.ndarray, bounds: np.ndarray
) -> None:
    path = camera_path(name, poses, bounds, num_frames)
    assert path.shape == (num_frames, 3, 4)
    assert path.dtype == np.float32
    rotations = path[:, :, :3]
    identities = np.tile(np.eye(3), (num_frames, 1, 1))
    np.testing.assert_allclose(rotations.swapaxes(1, 2) @ rotations, identities, atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0, atol=1e-5)


@pytest.mark.parametrize("name", sorted(PATHS))
def test_one_view_is_enough(name: str) -> None:
    pose, bounds = np.eye(3, 4, dtype=np.float32)[None], np.array([[1.0, 5.0]], np.float32)
    path = camera_path(name, pose, bounds, 7)
    np.testing.assert_allclose(path, np.repeat(pose, 7, axis=0), atol=1e-6)


def test_unknown_names_and_no_frames_are_refused(poses: np.ndarray, bounds: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"'loop'.*interpolate, orbit, spiral"):
        camera_path("loop", poses, bounds, 3)
    with pytest.raises(UserError, match="not 0"):
        camera_path("spiral", poses, bounds, 0)


def test_all_frames_of_the_spiral_look_at_one_point(poses: np.ndarray, bounds: np.ndarray) -> None:
    """That point lies on the axis of the mean pose, here -z, at a depth known in closed form."""
    depth = 1 / (0.25 / (0.9 * 4 / 3) + 0.75 / (5 * 9.0))
    for pose in spiral(poses, bounds, 24):
        to_focus = np.array([0, 0, -depth]) - pose[:, 3]
        np.testing.assert_allclose(-pose[:, 2], to_focus / np.linalg.norm(to_focus), atol=1e-5)


def test_the_spiral_keeps_to_its_radii_and_up(poses: np.ndarray, bounds: np.ndarray) -> None:
    path = spiral(poses, bounds, 240)
    radii = np.percentile(np.abs(poses[:, :, 3]), 90, axis=0)
    np.testing.assert_allclose(np.abs(path[:, :, 3]).max(axis=0), radii, rtol=1e-5)
    quarters = radii * [[1, 0, 0], [0, -1, -(0.5**0.5)], [-1, 0, -1], [0, 1, -(0.5**0.5)]]
    np.testing.assert_allclose(spiral(poses, bounds, 4, 1)[:, :, 3], quarters, atol=1e-6)
    assert (path[:, 1, 1] > 0.9).all()


def test_the_spiral_turns_as_often_as_it_is_told(poses: np.ndarray, bounds: np.ndarray) -> None:
    for num_rotations in (1, 2, 3):
        x = spiral(poses, bounds, 120, num_rotations)[:, 0, 3]
        assert np.sum((x[1:] > 0) != (x[:-1] > 0)) == 2 * num_rotations


def test_interpolation_passes_through_every_view(poses: np.ndarray, bounds: np.ndarray) -> None:
    path = interpolate(poses, bounds, 4 * 8 + 1)
    np.testing.assert_allclose(path[::4], poses, atol=1e-5)


def test_interpolation_never_leaves_the_box_of_its_views(
    poses: np.ndarray, bounds: np.ndarray
) -> None:
    positions = interpolate(poses, bounds, 500)[:, :, 3]
    assert (positions >= poses[:, :, 3].min(axis=0) - 1e-6).all()
    assert (positions <= poses[:, :, 3].max(axis=0) + 1e-6).all()


def test_the_spiral_of_flower_agrees_with_the_published_one() -> None:
    golden, data_dir = os.environ.get("NERF_GOLDEN_DIR"), os.environ.get("NERF_DATA_DIR")
    if not golden and not data_dir:
        pytest.skip("NERF_GOLDEN_DIR and NERF_DATA_DIR are unset: no golden files")
    folder = Path(golden) if golden else (Path(str(data_dir)) / "../../golden").resolve()
    path = folder / "flower" / "poses.npz"
    if not path.is_file():
        pytest.skip(f"no golden file {path.name}: set NERF_GOLDEN_DIR")
    expected = np.load(path)
    found = spiral(expected["poses"], expected["bounds"], 120)
    np.testing.assert_allclose(found, expected["render_poses"][..., :4], atol=1e-4)
