"""Laws of world space: rays start and end at the faces of its box."""

import jax.numpy as jnp
import numpy as np
import pytest

from nerf.geometry.cameras import Cameras
from nerf.geometry.rays import scene_rays
from nerf.geometry.world import World, intersect_box


@pytest.mark.parametrize("slope", [0.0, 1e-12, 1e-6, 1e-3, 1e-2])
@pytest.mark.parametrize("far", [9.0, 1e4])
def test_a_ray_along_a_face_that_it_does_not_meet_has_a_length(slope, far):
    """It enters the slab behind that face as far away as floats go."""
    origins, directions = jnp.array([[2.0, 0.0, 0.0]]), jnp.array([[-slope, 0.0, -1.0]])
    near, far = intersect_box(
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
    found_near, found_far = intersect_box(origins, directions, near, far, box)
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
    near, far = intersect_box(-3.0 * direction, direction, jnp.zeros(1), jnp.full(1, 9.0), box)
    np.testing.assert_allclose([near[0], far[0]], [2.0, 4.0], rtol=1e-6)


def test_the_rays_of_a_scene_in_a_box_start_and_end_there():
    pose = jnp.eye(3, 4).at[2, 3].set(3.0)[None]
    camera = Cameras.pinhole(pose, focal=5.0, height=6, width=8, near=0.5, far=9.0)
    middle = jnp.array([4]), jnp.array([3])
    options = {"viewdir_space": "world", "pixel_offset": 0.0}
    rays = scene_rays(*middle, camera, World.cube(1.0), **options)
    np.testing.assert_allclose([rays.near[0], rays.far[0]], [2.0, 4.0], rtol=0.05)
    free = scene_rays(*middle, camera, World(), **options)
    np.testing.assert_allclose([free.near[0], free.far[0]], [0.5, 9.0])


def test_only_a_box_bounds_a_scene():
    assert World.cube(2.0).is_bounded
    assert World.cube(2.0).box == ((-2.0,) * 3, (2.0,) * 3)
    assert not World().is_bounded
