"""Laws of the depth of COLMAP's points: where they are seen, and how exact they are."""

import numpy as np

from nerf.captures.colmap_model.files import Camera, Image, Point
from nerf.captures.colmap_model.point_depths import point_depths
from tests.support.captures import orbit_poses


def seen_points(num_points=60, noise=0.0, seed=0):
    """Cameras around points, and what COLMAP would say of them, seen without distortion."""
    rng = np.random.default_rng(seed)
    poses, focal = orbit_poses(), 20.0
    positions = rng.normal(0.0, 0.3, (num_points, 3))
    points = {7 + 2 * n: Point(x, 0.5 + 0.5 * (n % 3)) for n, x in enumerate(positions)}
    images = []
    for pose in poses:
        local = (positions - pose[:, 3]) @ pose[:, :3]
        pixels = focal * local[:, :2] * [1, -1] / -local[:, 2:] + [20.0, 15.0]
        ids = np.array(list(points), np.int64)
        ids[::7] = -1
        images.append(Image("", 1, (), (), ids, pixels + noise * rng.normal(size=(60, 2))))
    cameras = [Camera("PINHOLE", 40, 30, (focal, focal, 20.0, 15.0))] * len(poses)
    return poses, images, cameras, np.full(len(poses), focal), points, positions


def test_a_point_has_its_own_depth_at_its_keypoint_in_each_image():
    poses, images, cameras, focals, points, positions = seen_points()
    found = point_depths(poses, [False] * 6, images, cameras, focals, points)
    away = found.depth[:, None] * np.stack(
        [(found.column + 0.5 - 20) / 20, -(found.row + 0.5 - 15) / 20, -np.ones(len(found.view))],
        axis=-1,
    )
    at = np.einsum("pij,pj->pi", poses[found.view][:, :, :3], away) + poses[found.view][:, :, 3]
    nearest = np.abs(at[:, None] - positions[None]).max(axis=-1).min(axis=1)
    assert nearest.max() < 1e-9
    assert len(found.view) > 150


def test_a_panoramas_depth_is_the_distance():
    poses, images, cameras, focals, points, positions = seen_points()
    found = point_depths(poses, [True] * 6, images, cameras, focals, points)
    distances = np.linalg.norm(positions[None] - poses[:, None, :, 3], axis=-1)
    for view in range(6):
        own = found.depth[found.view == view]
        assert np.abs(own[:, None] - distances[view][None]).min(axis=1).max() < 1e-9


def test_the_error_of_a_depth_is_that_of_triangulation_up_to_a_factor_of_two():
    """Points are triangulated again from keypoints with noise; the spread is what was foretold."""
    poses, images, cameras, focals, points, positions = seen_points()
    pixels = 0.7
    points = {number: Point(point.position, pixels) for number, point in points.items()}
    found = point_depths(poses, [False] * 6, images, cameras, focals, points)
    rng = np.random.default_rng(1)
    errors = []
    for position in positions[:20]:
        normal, right = np.zeros((3, 3)), np.zeros(3)
        for pose in poses:
            offset = position - pose[:, 3]
            distance = np.linalg.norm(offset)
            across = np.eye(3) - np.outer(offset, offset) / distance**2
            moved = position + across @ rng.normal(0, pixels / 20.0 * distance, 3)
            normal += across
            right += across @ moved
        errors.append(np.linalg.solve(normal, right) - position)
    along = np.std([error @ poses[0][:, 2] for error in errors])
    predicted = np.median(found.sigma[found.view == 0])
    assert 0.5 < along / predicted < 2.0


def test_points_with_a_large_error_count_less():
    poses, images, cameras, focals, points, _ = seen_points()
    found = point_depths(poses, [False] * 6, images, cameras, focals, points)
    order = np.argsort(found.sigma / found.depth)
    assert len(np.unique(np.round(found.weight, 6))) == 3
    assert found.weight[order[0]] > 1 > found.weight[order[-1]]


def test_points_that_are_seen_from_one_place_have_no_depth():
    poses, images, cameras, focals, points, _ = seen_points()
    assert point_depths(poses[:1], [False], images[:1], cameras, focals, points) is None
    assert point_depths(poses, [False] * 6, images, cameras, focals, {}) is None
