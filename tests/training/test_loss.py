"""Laws of what rays add to the loss beside their error: distortion, and light that does not end."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.config import text as config_text
from nerf.config.presets import NOTEBOOK, PAPER, PLANES, QUICK, fit
from nerf.config.settings import NETWORKS
from nerf.field import FieldOutput, Proposal, RadianceField, SceneFacts
from nerf.geometry.rays import Rays
from nerf.geometry.world import World
from nerf.render.rays import render_rays
from nerf.render.volume import distortion
from nerf.training.batch import Batch
from nerf.training.loss import photometric_loss

pytestmark = pytest.mark.slow

NEAR, FAR = 1.0, 5.0


def rays(num_rays):
    along_z = jnp.broadcast_to(jnp.array([[0.0, 0.0, 1.0]]), (num_rays, 3))
    ends = jnp.full(num_rays, NEAR), jnp.full(num_rays, FAR)
    return Rays(jnp.zeros((num_rays, 3)), along_z, along_z, *ends, World())


def random_intervals(num_rays=7, num_samples=9, seed=0):
    """Weights, and the edges of the intervals that they belong to."""
    rng = np.random.default_rng(seed)
    edges = np.sort(rng.uniform(NEAR, FAR, (num_rays, num_samples + 1)), axis=1)
    weights = 0.8 * rng.dirichlet(np.ones(num_samples), num_rays)
    return weights, edges


def distortion_of(weights, edges):
    weights, edges = (jnp.asarray(x, jnp.float32) for x in (weights, edges))
    return distortion(weights, edges[:, 1:] - edges[:, :-1])


def test_distortion_is_the_integral_over_pairs_of_places():
    """Of light that comes evenly from each interval, on a fine comb of places."""
    weights, edges = random_intervals()
    comb = np.linspace(0.0, 1.0, 400, endpoint=False) + 1 / 800
    for found, w, e in zip(distortion_of(weights, edges), weights, edges, strict=True):
        places = e[:-1, None] + (e[1:] - e[:-1])[:, None] * comb
        light = np.repeat(w[:, None] / 400, 400, axis=1).ravel()
        apart = np.abs(places.ravel()[:, None] - places.ravel()[None])
        assert float(found) == pytest.approx(light @ apart @ light, rel=1e-3)


def test_distortion_falls_when_weights_move_together_or_shrink():
    edges = [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]]
    apart, closer, dimmer, one = (
        float(distortion_of([weights], edges)[0])
        for weights in (
            (0.5, 0.0, 0.0, 0.0, 0.5),
            (0.0, 0.5, 0.0, 0.5, 0.0),
            (0.25, 0.0, 0.0, 0.0, 0.25),
            (0.0, 0.0, 1.0, 0.0, 0.0),
        )
    )
    assert apart > closer > one > 0
    assert apart == pytest.approx(4 * dimmer)


@pytest.mark.parametrize("networks", ["proposal", "shared", "separate"])
def test_the_renderer_measures_it_in_the_space_of_the_field(networks):
    """Rays twice as long a step of t; fog that hardly takes light, so that it comes evenly."""
    density, length = 1e-3, 2.0 * (FAR - NEAR)
    config = dataclasses.replace(
        {"proposal": PLANES, "shared": NOTEBOOK, "separate": PAPER}[networks].render,
        last_interval=0.0,
        num_coarse=64,
    )
    ray = dataclasses.replace(rays(3), directions=2.0 * rays(3).directions)
    proposal = Proposal(lambda key: {}, lambda params, points: jnp.ones(points.shape[:-1]))
    field = grey_fog(density)._replace(proposal=proposal)
    params = {name: {} for name in NETWORKS[networks]}
    found = render_rays(field, params, ray, config).distortion
    acc = 1 - np.exp(-density * length)
    np.testing.assert_allclose(found, acc**2 * length / 3, rtol=0.05)


def grey_fog(density):
    """The half of black and white, of one density everywhere."""

    def apply(params, points, viewdirs, /, *, key=None):
        shape = points.shape[:-1]
        return FieldOutput(jnp.full(points.shape, 0.5), jnp.full(shape, density))

    return RadianceField(lambda key, /: {}, apply)


def loss_in_fog(density, *assignments, alpha=None):
    config = config_text.override(NOTEBOOK, "train.loss=mean", *assignments)
    batch = Batch(rays(3), jnp.full((3, 3), 0.25), jax.random.split(jax.random.key(0), 3), alpha)
    loss, _ = photometric_loss(grey_fog(density), {"shared": {}}, batch, config)
    return float(loss)


def test_the_opacity_loss_is_the_mean_square_of_the_transmittance():
    density = 0.1
    length = FAR - NEAR
    open_share = np.exp(-density * length)
    added = loss_in_fog(density, "train.opacity_loss_weight=2") - loss_in_fog(density)
    assert added == pytest.approx(2 * open_share**2, rel=1e-2)


def test_known_opacity_has_no_opacity_loss():
    alpha = jnp.full(3, 0.5)
    known, weighed = (
        loss_in_fog(0.1, f"train.opacity_loss_weight={weight}", alpha=alpha) for weight in (0, 2)
    )
    assert known == weighed


def test_the_distortion_loss_has_its_weight():
    """Of fog whose light comes evenly from all of a ray."""
    density, length = 1e-3, FAR - NEAR
    acc = 1 - np.exp(-density * length)
    added = loss_in_fog(density, "train.distortion_loss_weight=2") - loss_in_fog(density)
    assert added == pytest.approx(2 * acc**2 * length / 3, rel=0.05)


@pytest.mark.parametrize("config", [PLANES, QUICK], ids=["planes", "quick"])
def test_an_object_in_a_box_has_no_opacity_loss(config):
    assert config.train.opacity_loss_weight > 0
    facts = SceneFacts(16, "black", is_360=True, is_bounded=True, box=None)
    around_an_object = fit(config, facts)
    assert around_an_object.train == dataclasses.replace(config.train, opacity_loss_weight=0.0)
    assert dataclasses.replace(around_an_object, train=config.train) == config
