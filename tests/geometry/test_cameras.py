"""Rays through pixels, and the warp into normalised device coordinates and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nerf.geometry.cameras import (
    Cameras,
    Rays,
    depth_from_ndc,
    ndc_rays,
    normalize,
    pinhole_rays,
    scene_rays,
    within_box,
)

HEIGHT, WIDTH, FOCAL = 6, 8, 5.0
INTRINSICS = {"focal": FOCAL, "height": HEIGHT, "width": WIDTH}


def forward_facing(num, seed=0):
    """`[num, 3, 4]`: turned by up to some 20 degrees, around the world's origin."""
    rng = np.random.default_rng(seed)
    rotations = Rotation.from_rotvec(rng.uniform(-0.2, 0.2, (num, 3))).as_matrix()
    positions = rng.uniform(-0.5, 0.5, (num, 3, 1))
    return np.concatenate([rotations, positions], axis=-1).astype(np.float32)


def pixels(num, seed=1):
    rng = np.random.default_rng(seed)
    return rng.integers(0, WIDTH, num), rng.integers(0, HEIGHT, num)


def world_rays(num=20):
    """Origins and directions `[num, 3]` of forward-facing cameras, as float64."""
    columns, rows = pixels(num)
    rays = pinhole_rays(
        jnp.asarray(columns), jnp.asarray(rows), jnp.asarray(forward_facing(num)), **INTRINSICS
    )
    return tuple(np.asarray(x, np.float64) for x in rays)


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
    rays = ndc_rays(jnp.float32(origins), jnp.float32(directions), **INTRINSICS)
    return tuple(np.asarray(x, np.float64) for x in rays)


@pytest.mark.parametrize("pixel_offset", [0.0, 0.5])
def test_pinhole_rays_equal_a_loop(pixel_offset):
    (columns, rows), poses = pixels(20), forward_facing(20)
    origins, directions = pinhole_rays(
        jnp.asarray(columns),
        jnp.asarray(rows),
        jnp.asarray(poses),
        **INTRINSICS,
        pixel_offset=pixel_offset,
    )
    for n in range(20):
        right, up, back, _ = poses[n].astype(np.float64).T
        x = (columns[n] + pixel_offset - WIDTH / 2) / FOCAL
        y = (rows[n] + pixel_offset - HEIGHT / 2) / FOCAL
        np.testing.assert_allclose(directions[n], x * right - y * up - back, atol=1e-6)
        np.testing.assert_array_equal(origins[n], poses[n][:, 3], strict=True)


def test_the_ray_parameter_is_depth_along_the_viewing_axis():
    _, directions = world_rays()
    back = forward_facing(20)[:, :, 2]
    np.testing.assert_allclose(np.sum(directions * back, axis=-1), -1.0, atol=1e-6)


def test_without_offset_the_middle_pixel_looks_along_the_axis():
    _, direction = pinhole_rays(
        jnp.array(WIDTH // 2), jnp.array(HEIGHT // 2), jnp.eye(3, 4), **INTRINSICS
    )
    np.testing.assert_array_equal(direction, [0, 0, -1])


def test_with_half_an_offset_opposite_corners_look_opposite_ways():
    columns, rows = jnp.array([0, WIDTH - 1]), jnp.array([0, HEIGHT - 1])
    poses = jnp.broadcast_to(jnp.eye(3, 4), (2, 3, 4))
    _, (first, last) = pinhole_rays(columns, rows, poses, **INTRINSICS, pixel_offset=0.5)
    np.testing.assert_allclose(first[:2], -last[:2], atol=1e-7)
    assert first[0] < 0 < first[1]  # the first pixel is on the upper left


@pytest.mark.parametrize(("height", "width"), [(12, 16), (3, 4), (18, 24), (6, 2)])
def test_resized_cameras_keep_the_field_of_view(height, width):
    cameras = Cameras(forward_facing(2), FOCAL, HEIGHT, WIDTH)
    resized = cameras.resized(height, width)
    assert (resized.height, resized.width) == (height, width)
    np.testing.assert_allclose(resized.width / resized.focal, WIDTH / FOCAL, rtol=1e-6)
    np.testing.assert_array_equal(resized.camtoworlds, cameras.camtoworlds)
    edges = []
    for camera in (cameras, resized):
        _, direction = pinhole_rays(
            jnp.array(0),
            jnp.array(0),
            jnp.eye(3, 4),
            focal=camera.focal,
            height=camera.height,
            width=camera.width,
        )
        edges.append(direction[0])
    np.testing.assert_allclose(edges[0], edges[1], rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_normalised_vectors_are_unit_and_keep_their_direction(scale):
    vectors = scale * np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
    units = np.asarray(normalize(jnp.asarray(vectors)))
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    np.testing.assert_allclose(units * lengths, vectors, rtol=1e-5)


def test_a_zero_vector_stays_zero():
    np.testing.assert_array_equal(normalize(jnp.zeros((2, 3))), np.zeros((2, 3)))


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


def rays_of_a_scene(space, viewdir_space, pixel_offset=0.0):
    columns, rows = pixels(20)
    return scene_rays(
        jnp.asarray(columns),
        jnp.asarray(rows),
        jnp.asarray(forward_facing(20)),
        Cameras(forward_facing(1)[0], FOCAL, HEIGHT, WIDTH),
        jnp.full(20, 2.0),
        jnp.full(20, 6.0),
        space=space,
        viewdir_space=viewdir_space,
        pixel_offset=pixel_offset,
    )


@pytest.mark.parametrize("viewdir_space", ["ndc", "world"])
def test_without_ndc_rays_are_those_of_the_pinhole_camera(viewdir_space):
    rays = rays_of_a_scene(space="world", viewdir_space=viewdir_space)
    origins, directions = world_rays()
    lengths = np.linalg.norm(directions, axis=-1, keepdims=True)
    expected = Rays(origins, directions, directions / lengths, np.full(20, 2.0), np.full(20, 6.0))
    for found, wanted in zip(jax.tree.leaves(rays), jax.tree.leaves(expected), strict=True):
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("viewdir_space", ["ndc", "world"])
def test_with_ndc_rays_are_warped_and_viewdirs_come_from_the_space_that_is_named(viewdir_space):
    rays = rays_of_a_scene(space="ndc", viewdir_space=viewdir_space)
    world = world_rays()
    origins, directions = warped_rays(*world)
    seen = directions if viewdir_space == "ndc" else world[1]
    viewdirs = seen / np.linalg.norm(seen, axis=-1, keepdims=True)
    expected = Rays(origins, directions, viewdirs, np.zeros(20), np.ones(20))
    for found, wanted in zip(jax.tree.leaves(rays), jax.tree.leaves(expected), strict=True):
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_the_pixel_offset_reaches_the_rays():
    shifted = rays_of_a_scene(space="world", viewdir_space="world", pixel_offset=0.5)
    right, up, _, _ = np.moveaxis(forward_facing(20), -1, 0)
    _, directions = world_rays()
    expected = directions + 0.5 / FOCAL * (right - up)
    np.testing.assert_allclose(shifted.directions, expected, atol=1e-6)


# Boxes.


@pytest.mark.parametrize("slope", [0.0, 1e-12, 1e-6, 1e-3, 1e-2])
@pytest.mark.parametrize("far", [9.0, 1e4])
def test_a_ray_along_a_face_that_it_does_not_meet_has_a_length(slope, far):
    """It enters the slab behind that face as far away as floats go."""
    origins, directions = jnp.array([[2.0, 0.0, 0.0]]), jnp.array([[-slope, 0.0, -1.0]])
    near, far = within_box(
        origins, directions, jnp.zeros(1), jnp.full(1, far), ((-1.0,) * 3, (1.0,) * 3)
    )
    assert np.isfinite([near, far]).all()
    assert float(near[0]) < float(far[0]) < 1.001 * float(near[0]) + 1e-3


def test_in_a_box_rays_begin_and_end_at_its_faces():
    """By sampling: what lies between near and far is inside, what lies beyond them is not."""
    rng = np.random.default_rng(0)
    origins, directions = (jnp.asarray(x, jnp.float32) for x in rng.normal(size=(2, 300, 3)))
    box = ((-1.0, -0.5, -2.0), (0.5, 1.0, 1.0))
    near, far = jnp.full(300, 0.1), jnp.full(300, 5.0)
    found_near, found_far = within_box(origins, directions, near, far, box)
    t = jnp.linspace(0.1, 4.99, 400)[None]
    points = origins[:, None] + t[..., None] * directions[:, None]
    points = np.asarray(points)
    is_inside = ((points >= box[0]) & (points <= box[1])).all(-1)
    expected = (t >= found_near[:, None]) & (t <= found_far[:, None])
    assert np.mean(is_inside != expected) < 1e-3  # at the faces alone
    assert 0.1 < is_inside.any(axis=1).mean() < 0.9
    assert (found_near < found_far).all()


@pytest.mark.parametrize("axis", range(3))
def test_rays_along_the_axes_meet_the_box_as_well(axis):
    direction = -jnp.eye(3)[axis][None]
    box = ((-1.0,) * 3, (1.0,) * 3)
    near, far = within_box(-3.0 * direction, direction, jnp.zeros(1), jnp.full(1, 9.0), box)
    np.testing.assert_allclose([near[0], far[0]], [2.0, 4.0], rtol=1e-6)


def test_cameras_in_a_box_make_such_rays():
    cameras = Cameras(None, FOCAL, HEIGHT, WIDTH, box=((-1.0,) * 3, (1.0,) * 3))
    pose = jnp.eye(3, 4).at[2, 3].set(3.0)[None]
    middle = jnp.array([WIDTH // 2]), jnp.array([HEIGHT // 2])
    options = {"space": "world", "viewdir_space": "world", "pixel_offset": 0.0}
    rays = scene_rays(*middle, pose, cameras, jnp.full(1, 0.5), jnp.full(1, 9.0), **options)
    np.testing.assert_allclose([rays.near[0], rays.far[0]], [2.0, 4.0], rtol=0.05)
