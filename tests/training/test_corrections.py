"""Laws of a step that corrects views: the identity, gradients, and what is found."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.config.presets import PLANES
from nerf.corrections import exposure
from nerf.corrections.corrections import identity
from nerf.field import FieldOutput, RadianceField
from nerf.training.corrected_batch import Corrected
from nerf.training.gradient import loss_and_gradient, loss_and_gradients
from nerf.training.loss import photometric_loss
from nerf.training.state import init_state
from nerf.training.step import make_step
from tests.render.test_skipping import CONFIG, all_rays, batch_of, carved_params, fog_field
from tests.support.cameras import ndc_of, views_from_origin

pytestmark = pytest.mark.slow


def found(batch, microbatch, parts=None):
    """Loss, statistics and gradients of fog that is seen through a few cells."""
    field = fog_field()
    compute = functools.partial(
        loss_and_gradients, field, config=CONFIG, rays_per_microbatch=microbatch
    )
    return jax.jit(compute)(carved_params(field), batch, corrected=parts)


def batches():
    """Rays of an object whose opacity is known, and of photographs."""
    batch = batch_of(all_rays())
    return {"transparent": batch, "opaque": batch._replace(alpha=None)}


@pytest.mark.parametrize("kind", ["transparent", "opaque"])
def test_at_the_identity_a_step_is_the_uncorrected_one_bit_for_bit(kind, unoptimised_compilation):
    batch = batches()[kind]
    compute = functools.partial(
        loss_and_gradient, fog_field(), config=CONFIG, rays_per_microbatch=60
    )
    loss, _, gradient = jax.jit(compute)(carved_params(fog_field()), batch)
    ours, _, our_gradient, of_parts = found(batch, 60, Corrected(jnp.zeros_like(batch.rgb)))
    assert of_parts.log_gains.shape == batch.rgb.shape
    np.testing.assert_array_equal(ours, loss)
    jax.tree.map(np.testing.assert_array_equal, our_gradient, gradient)


@pytest.mark.parametrize("kind", ["transparent", "opaque"])
def test_the_gradient_of_each_ray_is_that_of_finite_differences(kind):
    """Also of rays that meet nothing, whose microbatches are left out, in the rays' own order."""
    batch, step = batches()[kind], 1e-2
    rng = np.random.default_rng(1)
    log_gains = jnp.asarray(rng.normal(0.0, 0.3, batch.rgb.shape), jnp.float32)
    of_parts = found(batch, 60, Corrected(log_gains))[3]
    towards = jnp.asarray(rng.normal(size=batch.rgb.shape), jnp.float32)
    above, below = (
        found(batch, 60, Corrected(log_gains + sign * step * towards))[0] for sign in (1, -1)
    )
    np.testing.assert_allclose(
        jnp.vdot(of_parts.log_gains, towards), (above - below) / (2 * step), rtol=2e-2
    )


def _wall(params, points, viewdirs, /, *, key=None):
    rgb = jnp.broadcast_to(jax.nn.sigmoid(params["logit"]), points.shape)
    return FieldOutput(rgb, jnp.full(points.shape[:-1], 1e9))


WALL = RadianceField(lambda key, /: {"logit": jnp.zeros(3)}, _wall)
WITH_EXPOSURE = dataclasses.replace(
    PLANES,
    render=dataclasses.replace(
        PLANES.render, networks="shared", coarse_t="bins", fine_t="between_samples",
        num_coarse=4, num_fine=4,
    ),
    train=dataclasses.replace(
        PLANES.train, num_rays=64, num_steps=300, learning_rate=0.03, final_learning_rate=0.003,
        opacity_loss_weight=0.0, distortion_loss_weight=0.0, exposure="on",
    ),
)  # fmt: skip


def test_gains_that_were_put_in_are_found():
    """A wall of one colour, seen by cameras of which each has other gains."""
    log_gains = np.array([[0.5, 0.4, 0.6], [-0.4, -0.5, -0.4], [-0.1, 0.1, -0.2]], np.float32)
    wall = np.array([0.3, 0.5, 0.4], np.float32)
    images = np.stack([exposure.clipped(np.tile(wall, (4, 5, 1)), each) for each in log_gains])
    views = views_from_origin(images)
    step = make_step(WALL, WITH_EXPOSURE, views, space=ndc_of(views.cameras))
    state, _ = step(init_state(WALL, WITH_EXPOSURE, jax.random.key(0), num_views=3), 300)
    learnt = exposure.centred(state.corrections.values.log_gains)
    np.testing.assert_allclose(learnt, log_gains - log_gains.mean(axis=0), atol=0.02)
    colour = exposure.clipped(wall, log_gains.mean(axis=0))
    np.testing.assert_allclose(jax.nn.sigmoid(state.params["shared"]["logit"]), colour, atol=0.01)


def test_a_robust_error_is_that_of_the_corrected_colours():
    """Pixels that differ by a gain alone are no outliers; without it, all are."""
    train = dataclasses.replace(WITH_EXPOSURE.train, robust_loss="geman_mcclure")
    config = dataclasses.replace(WITH_EXPOSURE, train=train)
    batch = jax.tree.map(lambda x: x[:4], batches()["opaque"])
    log_gains = jnp.full_like(batch.rgb, np.log(2.0))
    wall = jnp.full_like(batch.rgb, 0.5)  # the colour of the field at first
    rendered = batch._replace(rgb=exposure.with_gains(wall, log_gains))
    params = {"shared": WALL.init(jax.random.key(0))}
    loss = jax.jit(lambda gains: photometric_loss(
        WALL, params, rendered._replace(log_gains=gains), config
    )[0])  # fmt: skip
    assert loss(log_gains) < 1e-9
    assert loss(jnp.zeros_like(log_gains)) > 1e-3


def test_a_state_without_corrections_has_none():
    off = dataclasses.replace(
        WITH_EXPOSURE, train=dataclasses.replace(WITH_EXPOSURE.train, exposure="off")
    )
    state = init_state(WALL, off, jax.random.key(0), num_views=3)
    assert state.corrections is None
    assert identity(3, off.train) is None
