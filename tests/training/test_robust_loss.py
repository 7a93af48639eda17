"""Laws of the robust losses: what fits counts in full, and what moved does not count."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.config.presets import NOTEBOOK, PLANES
from nerf.field import FieldOutput, RadianceField
from nerf.geometry.rays import Rays
from nerf.geometry.world import World
from nerf.training.batch import Batch
from nerf.training.loss import photometric_loss
from nerf.training.optimizer import share_of_run
from nerf.training.robust_loss import robust_loss, robust_scale, robust_weight

KINDS = ["clipped", "geman_mcclure"]
ERRORS = jnp.array([0.0, 1e-4, 0.003, 0.02, 0.3, 1.0])  # squared; none at the limit of 0.01
END = jnp.ones(())


def settings(kind, **changes):
    return dataclasses.replace(PLANES.train, robust_loss=kind, **changes)


@pytest.mark.parametrize("kind", ["none", *KINDS])
def test_a_ray_that_fits_has_the_weight_1_and_none_has_more(kind):
    weights = robust_weight(ERRORS, settings(kind), END)
    assert float(weights[0]) == 1.0
    assert (weights <= 1.0).all()
    assert (jnp.diff(weights) <= 0.0).all()
    assert float(weights[-1]) == (1.0 if kind == "none" else pytest.approx(0.0, abs=1e-3))


@pytest.mark.parametrize("kind", KINDS)
def test_the_weight_is_the_slope_of_the_loss(kind):
    config, step = settings(kind), 1e-4
    errors = np.asarray(ERRORS[1:])
    above, below = (robust_loss(jnp.asarray(errors + d), config, END) for d in (step, -step))
    weights = robust_weight(ERRORS[1:], config, END)
    np.testing.assert_allclose((above - below) / (2 * step), weights, atol=2e-3)
    slopes = jax.vmap(jax.grad(lambda x: robust_loss(x, config, END)))(ERRORS)
    np.testing.assert_allclose(slopes, robust_weight(ERRORS, config, END), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_at_most_the_squared_error_and_the_limit(kind):
    found = robust_loss(ERRORS, settings(kind), END)
    assert (found <= ERRORS).all()
    assert (found <= 0.1**2 + 1e-8).all()


def test_the_scale_decays_to_its_last_value_in_a_share_of_the_run():
    config = settings("clipped", robust_scale=0.1, robust_start=9.0, robust_anneal=0.5)
    progress = jnp.array([0.0, 0.25, 0.5, 1.0])
    np.testing.assert_allclose(robust_scale(config, progress), [0.9, 0.3, 0.1, 0.1], rtol=1e-5)


@pytest.mark.parametrize("kind", ["none", *KINDS])
def test_with_a_third_of_outliers_the_true_mean_is_found(kind):
    """One number that explains 60 values around 0.3 and 30 of another thing at 0.9."""
    near = 0.3 + 0.02 * jnp.sin(jnp.arange(60.0))
    values, config = jnp.concatenate([near, jnp.full(30, 0.9)]), settings(kind)

    def loss(guess, progress):
        return jnp.mean(robust_loss(jnp.square(guess - values), config, progress))

    def move(step, guess):
        return guess - 0.3 * jax.grad(loss)(guess, jnp.asarray(step / 400, jnp.float32))

    found = float(jax.lax.fori_loop(0, 400, move, jnp.float32(0.0)))
    expected = float(jnp.mean(values if kind == "none" else near))
    assert found == pytest.approx(expected, abs=2e-3)


def test_progress_follows_the_steps_or_the_time():
    config = dataclasses.replace(PLANES.train, num_steps=40)
    assert float(share_of_run(config, jnp.int32(10), None)) == 0.25
    assert float(share_of_run(config, jnp.int32(60), None)) == 1.0
    assert float(share_of_run(config, jnp.int32(10), jnp.float32(0.75))) == 0.75


@pytest.mark.parametrize("kind", ["none", *KINDS])
def test_the_loss_of_rays_is_the_robust_one_of_each_ray(kind):
    """Of opaque grey, in both passes, before pixels that fit and a pixel that does not."""
    wall = RadianceField(
        lambda key, /: {},
        lambda params, points, viewdirs, /, *, key=None: FieldOutput(
            jnp.full(points.shape, 0.5), jnp.full(points.shape[:-1], 1e4)
        ),
    )
    ahead = jnp.broadcast_to(jnp.array([[0.0, 0.0, 1.0]]), (3, 3))
    rays = Rays(jnp.zeros((3, 3)), ahead, ahead, jnp.ones(3), jnp.full(3, 5.0), World())
    rgb = jnp.array([[0.5] * 3, [0.4] * 3, [1.0, 0.0, 0.5]])
    keys, progress = jax.random.split(jax.random.key(0), 3), jnp.full(3, 0.25)
    config = dataclasses.replace(
        NOTEBOOK, train=dataclasses.replace(settings(kind), loss="mean", opacity_loss_weight=0.0)
    )
    batch = Batch(rays, rgb, keys, progress=progress)
    loss, stats = photometric_loss(wall, {"shared": {}}, batch, config)
    each = jnp.mean(jnp.square(0.5 - rgb), axis=-1)
    expected = 2 * float(jnp.mean(robust_loss(each, config.train, progress)))
    regularization = float(stats.regularization)
    assert float(loss) - regularization == pytest.approx(expected, rel=1e-4)
