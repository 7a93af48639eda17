"""Laws of corrected poses: the identity, the inverse, gradients, and a scene that stays."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nerf.config.presets import PLANES
from nerf.corrections.corrections import Corrections, identity
from nerf.corrections.poses import apply_motions, corrected_cameras, rotation_of, without_gauge
from nerf.corrections.record import CorrectionRecord
from nerf.errors import UserError
from nerf.geometry.poses import similarity, transform_poses
from nerf.geometry.rays import scene_rays
from tests.support.cameras import forward_cameras, random_pixels, space_of

ON = dataclasses.replace(PLANES.train, poses="on")


def small_tangents(num, size=0.05, seed=3):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(0.0, size, (num, 6)), jnp.float32)


@pytest.mark.parametrize("angle", [0.0, 1e-6, 1e-3, 0.0316, 0.032, 1.0, 3.0])
def test_rotations_are_those_of_scipy(angle):
    vectors = angle * np.array([[0.6, 0.0, 0.8], [-0.36, 0.48, 0.8]])
    found = rotation_of(jnp.asarray(vectors, jnp.float32))
    np.testing.assert_allclose(found, Rotation.from_rotvec(vectors).as_matrix(), atol=1e-6)


def test_the_gradient_at_the_identity_is_the_cross_product():
    generators = jax.jacfwd(rotation_of)(jnp.zeros(3))
    vector, axis = np.array([0.3, -0.5, 0.7]), np.array([0.2, 0.9, -0.4])
    turned = np.einsum("ijk,j,k->i", generators, vector, axis)
    np.testing.assert_allclose(turned, np.cross(axis, vector), atol=1e-6)
    for point in (1e-20, 0.0316, 0.0317):  # and is finite where the formula changes
        assert jnp.isfinite(jax.jacrev(rotation_of)(jnp.array([point, 0.0, 0.0]))).all()


@pytest.mark.parametrize("name", ["ndc", "world", "contracted"])
def test_at_the_identity_all_rays_are_the_same_bit_for_bit(name, usual_compilation):
    cameras, (columns, rows) = forward_cameras(20), random_pixels(20)
    space = space_of(name, cameras)

    def rays_of(cameras):
        return scene_rays(columns, rows, cameras, space, viewdir_space="world", pixel_offset=0.5)

    corrected = jax.jit(lambda cameras, tangents: rays_of(corrected_cameras(cameras, tangents)))
    found = corrected(cameras, jnp.zeros((20, 6)))
    jax.tree.map(np.testing.assert_array_equal, found, jax.jit(rays_of)(cameras))


@pytest.mark.parametrize("name", ["ndc", "world", "contracted"])
def test_the_gradient_of_rays_is_that_of_finite_differences(name):
    """Of points along them and of viewing directions, with respect to every tangent."""
    cameras, (columns, rows) = forward_cameras(6), random_pixels(6)
    space = space_of(name, cameras)
    weights = np.random.default_rng(5).normal(size=(2, 6, 3)).astype(np.float32)

    @jax.jit
    def total(tangents):
        rays = scene_rays(
            columns, rows, corrected_cameras(cameras, tangents), space,
            viewdir_space="ndc", pixel_offset=0.0,
        )  # fmt: skip
        middle = space.positions(rays, (0.7 * rays.near + 0.3 * rays.far)[:, None])[:, 0]
        return jnp.sum(weights[0] * middle) + jnp.sum(weights[1] * rays.viewdirs)

    at, towards, step = small_tangents(6), small_tangents(6, 1.0, seed=4), 1e-3
    slope = jnp.vdot(jax.grad(total)(at), towards)
    difference = (total(at + step * towards) - total(at - step * towards)) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=1e-2)


def test_the_scene_is_not_moved_turned_or_scaled():
    """A small similarity of all cameras is no correction, and what is left of others has none."""
    camtoworlds = forward_cameras(9).camtoworlds
    turn = Rotation.from_rotvec([1e-4, -2e-4, 3e-4]).as_matrix()
    whole = transform_poses(similarity(turn, 1.0002, np.array([3e-4, 0.0, 1e-4])), camtoworlds)
    turns = whole[..., :3] @ np.swapaxes(camtoworlds[..., :3], -1, -2)
    vectors = Rotation.from_matrix(turns).as_rotvec()
    tangents = jnp.asarray(np.concatenate([vectors, whole[..., 3] - camtoworlds[..., 3]], axis=-1))
    left = without_gauge(tangents.astype(jnp.float32), camtoworlds)
    assert jnp.abs(left).max() < 1e-6 < 1e-4 < jnp.abs(tangents).max()
    other = without_gauge(small_tangents(9), camtoworlds)
    np.testing.assert_allclose(without_gauge(other, camtoworlds), other, atol=1e-6)
    assert jnp.abs(other).max() > 0.02
    np.testing.assert_allclose(jnp.mean(other[:, 3:], axis=0), 0.0, atol=1e-7)


def test_the_gauge_of_few_or_equal_places_is_finite():
    """One camera cannot be wrong; turning all cameras at one place is no correction either."""
    one = jnp.asarray(forward_cameras(1).camtoworlds)
    np.testing.assert_allclose(without_gauge(small_tangents(1), one), 0.0, atol=1e-6)
    same = jnp.asarray(forward_cameras(5).camtoworlds).at[..., 3].set(jnp.array([1.0, 2.0, 3.0]))
    left = without_gauge(small_tangents(5), same)
    assert jnp.isfinite(left).all()
    np.testing.assert_allclose(jnp.mean(left, axis=0), 0.0, atol=1e-6)
    assert jnp.abs(left).max() > 0.01


def test_motions_keep_rotations_and_undo_themselves():
    camtoworlds = jnp.asarray(forward_cameras(4).camtoworlds)
    tangents = small_tangents(4, 0.5)
    there = apply_motions(camtoworlds, tangents)
    product = jnp.swapaxes(there[..., :3], -1, -2) @ there[..., :3]
    np.testing.assert_allclose(product, jnp.broadcast_to(jnp.eye(3), (4, 3, 3)), atol=1e-5)
    np.testing.assert_allclose(apply_motions(there, -tangents), camtoworlds, atol=1e-5)


def test_corrections_of_poses_begin_as_the_identity():
    on = identity(3, ON)
    assert on.log_gains is None
    np.testing.assert_array_equal(on.pose_tangents, np.zeros((3, 6)))


def test_the_record_has_the_corrected_poses_to_the_last_bit():
    cameras, tangents = forward_cameras(2), small_tangents(2)
    record = CorrectionRecord.of(Corrections(None, tangents), ["a", "b"], cameras)
    again = CorrectionRecord.from_json(record.to_json())
    expected = corrected_cameras(cameras, tangents).camtoworlds
    np.testing.assert_array_equal(again.camtoworlds, expected)
    assert again.gains is None


@pytest.mark.parametrize(
    "poses",
    [{}, {"camtoworlds": [[1.0]]}, {"camtoworlds": np.zeros((1, 3, 4)).tolist()},
     {"camtoworlds": np.eye(3, 4)[None].tolist() * 2},
     {"camtoworlds": np.full((1, 3, 4), np.nan).tolist()}, 3],
)  # fmt: skip
def test_a_damaged_record_of_poses_is_told(poses):
    with pytest.raises(UserError, match="record of corrections cannot be read"):
        CorrectionRecord.from_json({"views": ["a"], "poses": poses})
