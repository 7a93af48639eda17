"""Laws of the warp into normalised device coordinates, and of the way back."""

import jax.numpy as jnp
import numpy as np
import pytest

from nerf.geometry.cameras import Cameras
from nerf.geometry.ndc import NDC, depth_from_ndc, ndc_points, ndc_rays
from nerf.geometry.rays import positions, scene_rays
from tests.support.cameras import FOCAL, HEIGHT, WIDTH, forward_facing, world_rays

SPACE = NDC.of_views(focal=FOCAL, height=HEIGHT, width=WIDTH)


def warp(points):
    """NDC of points `[..., 3]`: the perspective projection of a near plane at distance 1."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([-2 * FOCAL / WIDTH * x / z, -2 * FOCAL / HEIGHT * y / z, 1 + 2 / z], axis=-1)


def unwarp(points):
    x, y, z = np.moveaxis(points, -1, 0)
    depth = 2 / (z - 1)
    return np.stack(
        [-WIDTH / (2 * FOCAL) * x * depth, -HEIGHT / (2 * FOCAL) * y * depth, depth], axis=-1
    )


def warped_rays(origins, directions):
    rays = ndc_rays(jnp.float32(origins), jnp.float32(directions), SPACE.scale)
    return tuple(np.asarray(x, np.float64) for x in rays)


def test_warped_rays_run_from_the_near_plane_to_infinity():
    origins, directions = warped_rays(*world_rays())
    np.testing.assert_allclose(origins[:, 2], -1.0, atol=1e-6)
    np.testing.assert_allclose(origins[:, 2] + directions[:, 2], 1.0, atol=1e-6)


def test_the_warped_origin_is_the_image_of_the_rays_point_on_the_near_plane():
    origins, directions = world_rays()
    t_near = (-1.0 - origins[:, 2]) / directions[:, 2]
    on_plane = origins + t_near[:, None] * directions
    np.testing.assert_allclose(warped_rays(origins, directions)[0], warp(on_plane), atol=1e-5)


@pytest.mark.parametrize("t", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_points_of_warped_rays_lie_on_their_world_rays(t):
    origins, directions = world_rays()
    warped_origins, warped_directions = warped_rays(origins, directions)
    points = unwarp(warped_origins + t * warped_directions)
    depth = (points[:, 2:] - origins[:, 2:]) / directions[:, 2:]
    np.testing.assert_allclose(points, origins + depth * directions, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("depth", [1.7, 3.0, 30.0])
def test_points_of_world_rays_lie_on_their_warped_rays(depth):
    origins, directions = world_rays()
    points = warp(origins + depth * directions)
    warped_origins, warped_directions = warped_rays(origins, directions)
    t = (points[:, 2:] - warped_origins[:, 2:]) / warped_directions[:, 2:]
    assert np.all((t > 0) & (t < 1))
    np.testing.assert_allclose(warped_origins + t * warped_directions, points, atol=1e-5)


@pytest.mark.parametrize("depth", [1.7, 3.0, 30.0])
def test_depth_from_ndc_is_the_inverse_of_the_warp(depth):
    origins, directions = world_rays()
    z = (origins + depth * directions)[:, 2]
    t = np.float32(1 + 1 / z)  # the plane z = -1 is t = 0, z = -infinity is t = 1
    found = depth_from_ndc(jnp.asarray(t), jnp.float32(origins), jnp.float32(directions))
    np.testing.assert_allclose(found, depth, rtol=1e-4)


def test_depth_at_infinity_is_large_and_finite():
    origins, directions = (jnp.float32(x) for x in world_rays())
    depth = np.asarray(depth_from_ndc(jnp.ones(20), origins, directions))
    assert np.all(np.isfinite(depth) & (depth > 1e5))


def test_points_are_warped_by_the_projection_of_the_near_plane():
    origins, directions = world_rays()
    points = origins + 3.0 * directions
    found = ndc_points(jnp.float32(points), SPACE.scale)
    np.testing.assert_allclose(found, warp(points), atol=1e-5)


@pytest.mark.parametrize(
    ("focal", "height", "width"),
    [(FOCAL, HEIGHT, WIDTH), (10.0, 12, 16), (3.0, 6, 20), (7.5, 30, 4)],
    ids=["of the views", "twice the size", "wide", "tall"],
)
def test_a_point_has_one_place_in_ndc_whatever_the_camera_that_sees_it(focal, height, width):
    """The warp belongs to the scene: cameras of any image size and focal length agree."""
    point = np.array([0.4, -0.3, -5.0])
    poses = forward_facing(6).astype(np.float64)
    camera = Cameras.pinhole(poses, focal=focal, height=height, width=width, near=1.0, far=9.0)
    local = np.einsum("vij,vi->vj", poses[:, :, :3], point - poses[:, :, 3])
    depth = -local[:, 2]
    # The pixel of each camera that shows the point, as a fraction.
    columns = focal * local[:, 0] / depth + width / 2
    rows = -focal * local[:, 1] / depth + height / 2
    options = {"viewdir_space": "ndc", "pixel_offset": 0.0}
    rays = scene_rays(jnp.float32(columns), jnp.float32(rows), camera, SPACE, **options)
    t = 1.0 + 1.0 / point[2]  # of the plane z
    found = positions(rays, jnp.full((6, 1), t, jnp.float32))[:, 0]
    np.testing.assert_allclose(found, np.tile(warp(point), (6, 1)), atol=1e-5)
