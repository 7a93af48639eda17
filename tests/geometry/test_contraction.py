"""Laws of contracted space: all of it fits into a box, and nothing is lost on the way."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerf.config.presets import NOTEBOOK, PAPER, PLANES
from nerf.field import FieldOutput, Proposal, RadianceField
from nerf.geometry.contraction import Contracted, contract, depth_of_contracted
from nerf.geometry.rays import Rays, positions
from nerf.geometry.world import World
from nerf.render.images import make_exact_program, render_image
from tests.support.cameras import cameras_at_origin
from tests.support.compiled import render_rays

pytestmark = pytest.mark.slow

CONFIGS = {
    config.preset: dataclasses.replace(config.render, num_coarse=48, num_fine=64)
    for config in (NOTEBOOK, PAPER, PLANES)
}
far_points = st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3)


@settings(max_examples=100, deadline=None)
@given(far_points)
def test_everything_is_brought_into_the_box_along_its_own_direction(point):
    point = np.float32(point)
    found = np.asarray(jax.jit(contract)(point[None]))[0]
    size = np.abs(point).max()
    expected = point / 2 if size <= 1 else (1 - 0.5 / size) * point / size
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found).max() <= 1.0


def test_the_border_of_the_inner_half_is_smooth():
    """Value and slope agree from both sides, so that gradients have no step there."""
    slope = jax.vmap(jax.grad(lambda x: contract(x * jnp.array([1.0, 0.5, -0.2]))[0]))
    found = jax.jit(slope)(jnp.array([0.999, 1.001]))
    np.testing.assert_allclose(found, 0.5, atol=2e-3)


@pytest.mark.parametrize("near", [0.05, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("far", [6.0, 1e3])
def test_depth_rises_from_near_to_far_evenly_and_then_evenly_in_its_inverse(near, far):
    t = jnp.linspace(0.0, 1.0, 33)[None]
    depth = np.asarray(jax.jit(depth_of_contracted)(t, jnp.array([[near, far]])))[0]
    np.testing.assert_allclose(depth[[0, -1]], [near, far], rtol=1e-3)
    assert (np.diff(depth) > 0).all()
    even = np.where(depth < 2, depth / 4, 1 - 1 / depth)
    np.testing.assert_allclose(np.diff(even), (even[-1] - even[0]) / 32, atol=1e-5)


def fog(density):
    """Of one density everywhere per length of contracted space, which a proposal knows."""

    def apply(params, points, viewdirs, /, *, key=None):
        return FieldOutput(jnp.full(points.shape, 0.5), jnp.full(points.shape[:-1], density))

    proposal = Proposal(
        lambda key, /: {},
        lambda params, points, /: jnp.full(points.shape[:-1], density),
        lambda params, /: {},
    )
    return RadianceField(lambda key, /: {}, apply, proposal=proposal)


def straight_away(num_rays=2):
    """Rays from the middle along -z, which contraction leaves straight."""
    along = jnp.tile(jnp.array([[0.0, 0.0, -1.0]]), (num_rays, 1))
    zero = jnp.zeros(num_rays)
    depths = jnp.tile(jnp.array([[0.5, 4.0]]), (num_rays, 1))
    return Rays(jnp.zeros((num_rays, 3)), along, along, zero, zero + 1.0, Contracted(), depths)


PARAMS = {"shared": {}, "coarse": {}, "fine": {}, "proposal": {}}


@pytest.mark.parametrize("preset", CONFIGS)
def test_density_counts_by_length_in_contracted_space(preset):
    """From depth 0.5 to 4 it is 0.25 to 0.875: acc = 1 - exp(-density (0.875 - 0.25))."""
    config = dataclasses.replace(CONFIGS[preset], last_interval=0.0)
    acc = render_rays(fog(2.0), PARAMS, straight_away(), config).fine.acc
    np.testing.assert_allclose(acc, 1 - np.exp(-2.0 * 0.625), rtol=0.02)


def test_points_are_contracted_where_they_are():
    rays = straight_away()
    found = positions(rays, jnp.tile(jnp.linspace(0.0, 1.0, 5)[None], (2, 1)))
    depth = depth_of_contracted(jnp.linspace(0.0, 1.0, 5)[None], rays.depths[:1])[0]
    expected = -np.where(depth <= 1, depth / 2, 1 - 0.5 / depth)
    np.testing.assert_allclose(found[0, :, 2], expected, atol=1e-6)
    straight = dataclasses.replace(rays, space=World())
    np.testing.assert_allclose(positions(straight, jnp.full((2, 1), 0.25))[0, 0, 2], -0.25)


@pytest.mark.parametrize("preset", CONFIGS)
def test_gradients_are_finite(preset):
    def loss(density):
        rendering = render_rays(fog(density), PARAMS, straight_away(), CONFIGS[preset])
        return jnp.sum(rendering.fine.rgb) + jnp.sum(rendering.proposal_loss)

    value, slope = jax.jit(jax.value_and_grad(loss))(jnp.float32(1.5))
    assert np.isfinite(value)
    assert np.isfinite(slope)
    assert slope != 0


@pytest.mark.parametrize("distance", [0.75, 3.0, 30.0])
def test_a_walls_depth_is_told_in_scene_units(distance):
    """A wall across the viewing axis, inside and outside of the inner half."""
    at = 0.5 * distance if distance <= 1 else 1 - 0.5 / distance

    def apply(params, points, viewdirs, /, *, key=None):
        density = jnp.where(points[..., 2] < -at, 1e5, 0.0)
        return FieldOutput(jnp.ones(points.shape), density)

    config = dataclasses.replace(PAPER.render, num_coarse=128, num_fine=256, last_interval=0.0)
    wall = RadianceField(lambda key, /: {}, apply)
    camera = cameras_at_origin(1, 3, 3, focal=8.0, near=0.1, far=1e3)[0]
    renderer = make_exact_program(wall, config, Contracted()).with_params(PARAMS)
    image = render_image(renderer, camera)
    np.testing.assert_allclose(image.depth[1, 1], distance, rtol=0.1)


@pytest.mark.parametrize("preset", CONFIGS)
@pytest.mark.parametrize("density", [0.0, 0.7])
def test_a_white_background_shows_through_what_is_not_opaque(preset, density):
    config = dataclasses.replace(CONFIGS[preset], background="white", last_interval=0.0)
    fine = render_rays(fog(density), PARAMS, straight_away(), config).fine
    np.testing.assert_allclose(fine.rgb[0], 0.5 * fine.acc[0] + (1 - fine.acc[0]), atol=1e-6)


@pytest.mark.parametrize("beyond", ["border", "empty"])
def test_planes_are_extrapolated_beyond_their_box_or_end_there(beyond, key):
    from nerf.backends import flax_planes

    config = dataclasses.replace(
        PLANES.field,
        outside=beyond,
        resolution=(4, 4, 4),
        proposal=dataclasses.replace(PLANES.field.proposal, outside=beyond),
    )
    field = flax_planes.make(config)
    points = jnp.array([[0.0, 0.0, 0.99], [0.0, 0.0, 1.01], [0.0, -3.0, 0.0]])
    params, of_proposal = jax.jit(lambda: (field.init(key), field.proposal.init(key)))()
    densities = jax.jit(field.apply)(params, points, points).density
    proposed = jax.jit(field.proposal.density)(of_proposal, points)
    for density in (densities, proposed):
        assert density[0] > 0
        assert ((density[1:] > 0) == (beyond == "border")).all()
