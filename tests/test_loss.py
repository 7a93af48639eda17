"""Laws of what rays add to the loss beside their error: distortion, and light that does not end."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf import config_text
from nerf.cameras import Rays
from nerf.field import FieldOutput, RadianceField
from nerf.presets import NOTEBOOK, PLANES, QUICK, all_around
from nerf.render.volume import Composite
from nerf.training.batch import Batch
from nerf.training.loss import distortion, photometric_loss

NEAR, FAR = 1.0, 5.0


def rays(num_rays):
    along_z = jnp.broadcast_to(jnp.array([[0.0, 0.0, 1.0]]), (num_rays, 3))
    ends = jnp.full(num_rays, NEAR), jnp.full(num_rays, FAR)
    return Rays(jnp.zeros((num_rays, 3)), along_z, along_z, *ends)


def seen(weights, t_vals):
    weights, t_vals = (jnp.asarray(x, jnp.float32) for x in (weights, t_vals))
    nothing = jnp.zeros(len(weights))
    return Composite(jnp.zeros((len(weights), 3)), nothing, nothing, weights, t_vals)


def random_seen(num_rays=7, num_samples=9, seed=0):
    rng = np.random.default_rng(seed)
    t_vals = np.sort(rng.uniform(NEAR, FAR, (num_rays, num_samples)), axis=1)
    return seen(rng.dirichlet(np.ones(num_samples), num_rays) * 0.8, t_vals)


def test_distortion_is_the_double_sum():
    found = random_seen()
    expected = []
    for weights, t_vals in zip(np.float64(found.weights), np.float64(found.t_vals), strict=True):
        edges = [t_vals[0], *(0.5 * (t_vals[1:] + t_vals[:-1])), t_vals[-1]]
        total = 0.0
        for i, w in enumerate(weights):
            for j, other in enumerate(weights):
                total += w * other * abs(t_vals[i] - t_vals[j]) / (FAR - NEAR)
            total += w**2 * (edges[i + 1] - edges[i]) / (FAR - NEAR) / 3
        expected.append(total)
    np.testing.assert_allclose(distortion(found, rays(7)), expected, rtol=1e-4)


def test_distortion_falls_when_light_moves_together_or_goes_out():
    t_vals = [[1.0, 2.0, 3.0, 4.0, 5.0]]
    apart, closer, dimmer, one = (
        float(distortion(seen([weights], t_vals), rays(1))[0])
        for weights in (
            (0.5, 0.0, 0.0, 0.0, 0.5),
            (0.0, 0.5, 0.0, 0.5, 0.0),
            (0.25, 0.0, 0.0, 0.0, 0.25),
            (0.0, 0.0, 1.0, 0.0, 0.0),
        )
    )
    assert apart > closer > one > 0
    assert apart == pytest.approx(4 * dimmer)


def test_distortion_does_not_depend_on_the_unit_of_length():
    found, ray = random_seen(), rays(7)
    larger = found._replace(t_vals=3.0 * found.t_vals)
    ends = {"near": 3.0 * ray.near, "far": 3.0 * ray.far}
    np.testing.assert_allclose(
        distortion(larger, ray._replace(**ends)), distortion(found, ray), rtol=1e-5
    )


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


def test_coverage_weighs_the_square_of_what_is_open():
    density = 0.1
    length = FAR - NEAR
    open_share = np.exp(-density * length)
    added = loss_in_fog(density, "train.coverage=2") - loss_in_fog(density)
    assert added == pytest.approx(2 * open_share**2, rel=1e-2)


def test_coverage_that_is_known_is_not_weighed_again():
    alpha = jnp.full(3, 0.5)
    known, weighed = (
        loss_in_fog(0.1, f"train.coverage={weight}", alpha=alpha) for weight in (0, 2)
    )
    assert known == weighed


def test_distortion_is_weighed():
    """Of fog whose light comes from everywhere alike: 1/3 of the square of what it sums to."""
    density = 1e-3
    acc = 1 - np.exp(-density * (FAR - NEAR))
    added = loss_in_fog(density, "train.distortion=2") - loss_in_fog(density)
    assert added == pytest.approx(2 * acc**2 / 3, rel=2e-2)


@pytest.mark.parametrize("config", [PLANES, QUICK], ids=["planes", "quick"])
def test_only_before_nothing_may_light_go_on(config):
    assert config.train.coverage > 0
    assert all_around(config, is_bounded=False).train == config.train
    around_an_object = all_around(config, is_bounded=True).train
    assert around_an_object == dataclasses.replace(config.train, coverage=0.0)
