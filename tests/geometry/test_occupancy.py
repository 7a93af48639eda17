"""Laws of occupancy: rays are clipped to what may be occupied, and nothing occupied is cut off."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.geometry.contraction import Contracted
from nerf.geometry.occupancy import Occupancy, clip_rays, is_empty, is_occupied
from nerf.geometry.rays import Rays, positions
from nerf.geometry.world import World

LOW, HIGH = np.array([-1.0, -0.5, 0.0]), np.array([1.0, 1.0, 3.0])


def occupancy_of(occupied):
    return Occupancy(jnp.asarray(occupied), jnp.asarray(LOW), jnp.asarray(HIGH))


def random_rays(num, seed=0):
    """Rays that start outside the box and aim at points inside it or near it."""
    rng = np.random.default_rng(seed)
    centre = 0.5 * (LOW + HIGH)
    outward = rng.normal(size=(num, 3))
    origins = centre + 4.0 * outward / np.linalg.norm(outward, axis=1, keepdims=True)
    targets = centre + 1.5 * (rng.uniform(LOW, HIGH, (num, 3)) - centre)
    directions = (targets - origins) / 4.0
    arrays = (jnp.asarray(x, jnp.float32) for x in (origins, directions, directions))
    return Rays(*arrays, jnp.full(num, 0.5), jnp.full(num, 12.0), World())


def comb(rays, num=2000):
    """Many places on each ray: parameters and points."""
    near, far = rays.near[:, None], rays.far[:, None]
    t_vals = near + (far - near) * jnp.linspace(0.0, 1.0, num)[None]
    return t_vals, positions(rays, t_vals)


@pytest.mark.parametrize("resolution", [(1, 1, 1), (7, 5, 9), (3, 20, 4)])
@pytest.mark.parametrize("share", [0.005, 0.1, 1.0])
def test_no_place_in_an_occupied_cell_is_cut_off(resolution, share):
    occupied = np.random.default_rng(1).uniform(size=resolution) < share
    occupancy, rays = occupancy_of(occupied), random_rays(300)
    t_vals, points = comb(rays)
    holds = np.asarray(is_occupied(occupancy, points))
    clipped = clip_rays(rays, occupancy)
    tiny = 1e-4
    is_kept = (t_vals >= clipped.near[:, None] - tiny) & (t_vals <= clipped.far[:, None] + tiny)
    assert not np.any(holds & ~np.asarray(is_kept))
    assert not np.any(holds.any(axis=1) & np.asarray(is_empty(clipped)))


def test_a_ray_ends_at_most_two_cells_beside_what_it_meets():
    """Along the longest axis of cells, each a tenth of a unit."""
    occupied = np.zeros((1, 1, 30), bool)
    occupied[0, 0, 12:15] = True
    along_z = jnp.array([[0.0, 0.0, 0.5]])
    ray = Rays(
        jnp.array([[0.0, 0.0, -1.0]]), along_z, along_z, jnp.zeros(1), jnp.ones(1) * 9, World()
    )
    clipped = clip_rays(ray, occupancy_of(occupied))
    z_near, z_far = (-1.0 + 0.5 * float(t[0]) for t in (clipped.near, clipped.far))
    assert 1.0 - 1e-5 <= z_near <= 1.2
    assert 1.5 <= z_far <= 1.7 + 1e-5


def test_rays_that_meet_nothing_are_empty_and_others_are_not():
    occupied = np.zeros((8, 8, 8), bool)
    rays = random_rays(200)
    assert np.all(is_empty(clip_rays(rays, occupancy_of(occupied))))
    _, points = comb(rays)
    points = np.asarray(points)
    crosses = np.all((points >= LOW) & (points <= HIGH), axis=-1).any(axis=1)
    assert 20 < crosses.sum() < 180
    everything = clip_rays(rays, occupancy_of(~occupied))
    np.testing.assert_array_equal(~np.asarray(is_empty(everything)), crosses)


def test_where_all_is_occupied_the_rays_of_a_box_stay_as_they_are():
    box = tuple(map(tuple, (LOW, HIGH)))
    rays = random_rays(200)
    warped = World(box).warp(rays.origins, rays.directions, rays.near, rays.far)
    clipped = clip_rays(warped, occupancy_of(np.ones((4, 4, 4), bool)))
    meets = ~np.asarray(is_empty(clipped))
    for ours, theirs in ((clipped.near, warped.near), (clipped.far, warped.far)):
        np.testing.assert_array_equal(np.asarray(ours)[meets], np.asarray(theirs)[meets])


def test_what_rays_meet_does_not_depend_on_the_others():
    occupied = np.random.default_rng(2).uniform(size=(9, 9, 9)) < 0.02
    occupancy, rays = occupancy_of(occupied), random_rays(40)
    together = clip_rays(rays, occupancy)
    for number in range(40):
        one = jax.tree.map(lambda x, i=number: x[i : i + 1], rays)
        alone = clip_rays(one, occupancy)
        assert float(alone.near[0]) == float(together.near[number])
        assert float(alone.far[0]) == float(together.far[number])


def test_the_ends_have_gradients_with_respect_to_the_rays():
    occupied = np.zeros((6, 6, 6), bool)
    occupied[2:4, 2:4, 2:4] = True
    rays = random_rays(50)

    def ends(origins):
        moved = Rays(origins, rays.directions, rays.viewdirs, rays.near, rays.far, rays.space)
        clipped = clip_rays(moved, occupancy_of(occupied))
        return jnp.sum(clipped.near + clipped.far)

    gradient = np.asarray(jax.grad(ends)(rays.origins))
    assert np.all(np.isfinite(gradient))
    meets = ~np.asarray(is_empty(clip_rays(rays, occupancy_of(occupied))))
    assert np.all(np.abs(gradient[meets]).max(axis=1) > 0)


def test_bent_rays_are_refused():
    rays = random_rays(2)
    bent = Contracted().warp(rays.origins, rays.directions, rays.near, rays.far)
    with pytest.raises(ValueError, match="straight"):
        clip_rays(bent, occupancy_of(np.ones((2, 2, 2), bool)))
