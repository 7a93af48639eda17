"""Laws of a proposal: its histogram against the field's, the samples it leads to, the image."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.config import text as config_text
from nerf.config.presets import NOTEBOOK, PLANES
from nerf.errors import UserError
from nerf.field import FieldOutput, Proposal, RadianceField
from nerf.geometry.rays import Rays
from nerf.geometry.world import World
from nerf.render.proposal_loss import proposal_loss
from nerf.render.rays import init_params, render_rays
from nerf.render.sampling import proposed_edges

pytestmark = pytest.mark.slow

RENDER = dataclasses.replace(PLANES.render, num_coarse=16, num_fine=8)
PARAMS = {"proposal": {}, "fine": {}}


def field_of(density, proposal):
    """A grey field of one density, and a proposal, both functions of points."""

    def apply(params, points, viewdirs, /, *, key=None):
        return FieldOutput(jnp.full(points.shape, 0.5), density(points))

    def propose(params, points):
        return proposal(points)

    return RadianceField(no_params, apply, proposal=Proposal(no_params, propose))


def no_params(key):
    return {}


def constant(value):
    return lambda points: jnp.full(points.shape[:-1], value)


def rays_along_z(num_rays=5, near=0.0, far=2.0):
    """Directions twice as long as a unit, so that lengths are twice the differences of t."""
    ends = jnp.full(num_rays, near), jnp.full(num_rays, far)
    direction = jnp.broadcast_to(jnp.array([[0.0, 0.0, 2.0]]), (num_rays, 3))
    return Rays(jnp.zeros((num_rays, 3)), direction, direction / 2.0, *ends, World())


# The proposal loss.


def random_histogram(num_rays, num_bins, seed):
    rng = np.random.default_rng(seed)
    edges = np.sort(rng.uniform(size=(num_rays, num_bins + 1)), axis=1).astype(np.float32)
    edges[:, 0], edges[:, -1] = 0.0, 1.0
    weights = rng.dirichlet(np.ones(num_bins), num_rays).astype(np.float32)
    return edges, weights


def proposal_loss_by_loop(edges, weights, proposed_edges, proposed_weights):
    total = np.zeros(len(edges))
    for ray in range(len(edges)):
        for i, weight in enumerate(weights[ray]):
            left, right = edges[ray, i], edges[ray, i + 1]
            bound = sum(
                proposed
                for j, proposed in enumerate(proposed_weights[ray])
                if proposed_edges[ray, j] < right and proposed_edges[ray, j + 1] > left
            )
            total[ray] += max(0.0, weight - bound) ** 2 / (weight + 1e-5)
    return total


def test_the_proposal_loss_agrees_with_a_loop():
    fine, coarse = random_histogram(20, 7, 0), random_histogram(20, 5, 1)
    found = proposal_loss(*map(jnp.asarray, (*fine, *coarse)))
    np.testing.assert_allclose(found, proposal_loss_by_loop(*fine, *coarse), rtol=1e-4, atol=1e-7)
    assert (np.asarray(found) > 1e-3).any()


def test_a_proposal_of_the_same_weights_has_no_loss():
    edges, weights = random_histogram(20, 7, 0)
    assert np.allclose(proposal_loss(edges, weights, edges, weights), 0.0, atol=1e-7)


def test_more_weight_than_needed_has_no_loss():
    edges, weights = random_histogram(20, 7, 0)
    np.testing.assert_array_equal(proposal_loss(edges, 0.5 * weights, edges, weights), np.zeros(20))


def test_the_proposal_loss_trains_the_proposal_alone():
    fine, coarse = random_histogram(20, 7, 0), random_histogram(20, 5, 1)
    gradients = jax.grad(lambda *x: jnp.sum(proposal_loss(*x)), argnums=(0, 1, 2, 3))(
        *map(jnp.asarray, (*fine, *coarse))
    )
    assert [bool((g != 0).any()) for g in gradients] == [False, False, False, True]
    assert gradients[-1].max() <= 0  # more weight never makes it worse


# The samples.


def test_intervals_have_equal_shares_of_the_weights():
    """A proposal of one bin: after blurring, half of its weight, a quarter for each beside it."""
    edges = jnp.linspace(0.0, 10.0, 11)[None]
    weights = jnp.zeros((1, 10)).at[0, 5].set(1.0)
    config = dataclasses.replace(RENDER, num_fine=4, fine_weight_floor=1e-9)
    found = proposed_edges(None, edges, weights, config)
    np.testing.assert_allclose(found, [[0.0, 5.0, 5.5, 6.0, 10.0]], atol=1e-4)


@pytest.mark.parametrize("randomised", [False, True])
def test_edges_are_sorted_and_stay_between_near_and_far(key, randomised):
    edges, weights = random_histogram(50, 9, 0)
    keys = jax.random.split(key, 50) if randomised else None
    found = np.asarray(proposed_edges(keys, jnp.asarray(edges), jnp.asarray(weights), RENDER))
    assert found.shape == (50, RENDER.num_fine + 1)
    assert (np.diff(found, axis=1) >= 0).all()
    assert found.min() >= 0.0
    assert found.max() <= 1.0


def test_keys_move_edges_by_up_to_half_a_share(key):
    edges = jnp.broadcast_to(jnp.linspace(0.0, 1.0, 9)[None], (4000, 9))
    even = jnp.full((4000, 8), 1.0)
    config = dataclasses.replace(RENDER, fine_weight_floor=1e6)  # so that blurring changes nothing
    found = proposed_edges(jax.random.split(key, 4000), edges, even, config)
    moved = np.asarray(found[:, 4] - 0.5) * config.num_fine
    assert abs(moved).max() <= 0.5 + 1e-3
    assert moved.std() == pytest.approx(12**-0.5, rel=0.05)


# The image.


@pytest.mark.parametrize("randomised", [False, True])
@pytest.mark.parametrize("density", [0.1, 1.0])
def test_constant_density_has_the_opacity_of_the_exponential_law(key, density, randomised):
    """acc = 1 - exp(-density length), whatever the proposal: intervals fill the ray."""
    rays = rays_along_z()
    keys = jax.random.split(key, 5) if randomised else None
    field = field_of(constant(density), constant(3.0))
    rendering = render_rays(field, PARAMS, rays, RENDER, ray_keys=keys)
    expected = 1 - np.exp(-density * 4.0)
    np.testing.assert_allclose(rendering.fine.acc, np.full(5, expected), atol=1e-5)
    np.testing.assert_allclose(rendering.coarse.acc, np.full(5, 1 - np.exp(-12.0)), atol=1e-5)
    np.testing.assert_allclose(rendering.fine.rgb, np.full((5, 3), 0.5 * expected), atol=1e-5)


def wall(points):
    return jnp.where(jnp.abs(points[..., 2] - 2.0) < 0.25, 50.0, 0.0)


def test_samples_gather_where_the_proposal_is_dense():
    rendering = render_rays(field_of(wall, wall), PARAMS, rays_along_z(), RENDER).fine
    at_wall = np.abs(2.0 * np.asarray(rendering.t_vals) - 2.0) < 0.75
    assert at_wall.mean() > 0.7
    np.testing.assert_allclose(rendering.depth, np.full(5, 0.95), atol=0.1)


def test_the_colours_train_the_field_and_the_proposal_loss_the_proposal():
    def field(scale, proposed_scale):
        return field_of(
            lambda points: scale * jnp.abs(points[..., 2]),
            lambda points: proposed_scale * jnp.ones(points.shape[:-1]),
        )

    def rendered(scales):
        return render_rays(field(*scales), PARAMS, rays_along_z(), RENDER)

    scales = (jnp.array(2.0), jnp.array(0.1))
    by_image = jax.grad(lambda s: jnp.sum(rendered(s).fine.rgb))(scales)
    by_proposal_loss = jax.grad(lambda s: jnp.sum(rendered(s).proposal_loss))(scales)
    assert [bool(g != 0) for g in by_image] == [True, False]
    assert [bool(g != 0) for g in by_proposal_loss] == [False, True]


def test_a_field_without_a_proposal_is_refused():
    field = RadianceField(no_params, lambda *_, key=None: None)
    with pytest.raises(UserError, match="networks=proposal needs a field with a proposal"):
        init_params(field, RENDER, jax.random.key(0))


def test_other_networks_have_no_proposal_loss():
    settings = config_text.override(NOTEBOOK, "render.num_coarse=4", "render.num_fine=4")
    field = field_of(constant(1.0), constant(1.0))
    rendering = render_rays(field, {"shared": {}}, rays_along_z(), settings.render)
    np.testing.assert_array_equal(rendering.proposal_loss, np.zeros(5))
