import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.field import FieldOutput, Proposal, RadianceField
from nerf.viewer.crop import INFINITE_BOX, cropped
from tests.support.cameras import forward_cameras, space_of

LOW, HIGH = np.float32([-0.3, -0.5, -4.0]), np.float32([0.7, 0.4, -2.0])


def constant(params, points, viewdirs=None, /, *, key=None):
    density = jnp.full(points.shape[:-1], 3.0)
    return FieldOutput(jnp.zeros_like(points), density) if viewdirs is not None else density


FIELD = RadianceField(lambda key: {}, constant, proposal=Proposal(lambda key: {}, constant))


@pytest.mark.parametrize("name", ["ndc", "world", "contracted"])
def test_density_stays_in_the_box_alone(name):
    space = space_of(name, forward_cameras(3))
    rng = np.random.default_rng(0)
    points = np.float32(rng.uniform([-1, -1, -6], [1, 1, -1.5], (500, 3)))
    inside = ((points > LOW) & (points < HIGH)).all(axis=-1)
    assert 0 < inside.sum() < len(points)
    warped = space.field_points(jnp.asarray(points))
    some = cropped(FIELD, space, jnp.stack([LOW, HIGH]))
    expected = np.where(inside, 3.0, 0.0)
    np.testing.assert_array_equal(some.apply({}, warped, warped).density, expected)
    np.testing.assert_array_equal(some.proposal.density({}, warped), expected)
    whole = cropped(FIELD, space, jnp.asarray(INFINITE_BOX))
    assert (whole.apply({}, warped, warped).density == 3.0).all()


@pytest.mark.parametrize("name", ["ndc", "contracted"])
def test_without_a_box_all_of_space_is_drawn_up_to_infinity(name):
    space = space_of(name, forward_cameras(3))
    faces = jnp.array([[0.0, 0.0, 1.0], [1.0, 1.0, 1.0], [-1.0, 0.2, 1.0]])
    whole = cropped(FIELD, space, jnp.asarray(INFINITE_BOX))
    assert (whole.apply({}, faces, faces).density == 3.0).all()
    assert np.isfinite(jax.device_get(space.scene_points(faces))).all()
