"""Laws of gains in linear light: the curve of sRGB, the identity, clipping, and the fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.config import presets
from nerf.corrections import exposure
from nerf.corrections.corrections import Corrections, identity, pixel_gains, prior
from nerf.corrections.record import CorrectionRecord
from nerf.errors import UserError
from tests.support.cameras import forward_cameras

LEVELS = np.linspace(0.0, 1.0, 256, dtype=np.float32)


def decoded(srgb):
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def encoded(light):
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def grey(levels):
    return np.repeat(np.asarray(levels, np.float32)[:, None], 3, axis=1)


@pytest.mark.parametrize("gain", [0.1, 0.5, 0.9, 1.1, 2.0, 8.0])
def test_a_gain_multiplies_linear_light(gain):
    log_gains = np.full((256, 3), np.log(gain), np.float32)
    found = exposure.with_gains(jnp.asarray(grey(LEVELS)), jnp.asarray(log_gains))
    np.testing.assert_allclose(found[:, 0], encoded(gain * decoded(LEVELS)), atol=3e-4)


def test_without_gain_values_and_gradients_are_the_same_bits():
    rgb, towards = jnp.asarray(grey(LEVELS)), jax.random.normal(jax.random.key(0), (256, 3))
    found, pull_back = jax.jit(
        lambda rgb: jax.vjp(lambda x: exposure.with_gains(x, jnp.zeros_like(x)), rgb)
    )(rgb)
    np.testing.assert_array_equal(found, rgb)
    np.testing.assert_array_equal(pull_back(towards)[0], towards)


@pytest.mark.parametrize("gain", [0.5, 1.0, 2.0])
def test_gradients_are_those_of_finite_differences(gain):
    with jax.enable_x64(True):
        rgb = jnp.asarray(np.repeat(np.array([0.01, 0.03, 0.05, 0.3, 0.8])[:, None], 3, axis=1))
        log_gains = jnp.full(rgb.shape, np.log(gain))
        for index, function in enumerate((exposure.with_gains, exposure.with_gains)):
            arguments, step = [rgb, log_gains], 1e-6
            found = jax.grad(lambda *x, f=function: jnp.sum(f(*x)), argnums=index)(*arguments)
            above, below = (
                function(*[x + sign * step * (i == index) for i, x in enumerate(arguments)])
                for sign in (1, -1)
            )
            np.testing.assert_allclose(found, (above - below) / (2 * step), rtol=1e-6, atol=1e-8)


def test_an_object_has_a_gain_and_its_background_none():
    rgb, acc = jnp.array([[0.2, 0.5, 0.7]] * 3), jnp.array([0.0, 0.5, 1.0])
    log_gains = jnp.broadcast_to(jnp.log(jnp.array([[0.7, 1.0, 1.4]])), (3, 3))
    over_white = rgb * acc[:, None] + (1.0 - acc[:, None])
    found = exposure.with_gains_over(over_white, acc, log_gains, 1.0)
    own = exposure.with_gains(rgb, log_gains)
    np.testing.assert_allclose(found, own * acc[:, None] + (1.0 - acc[:, None]), atol=1e-6)


def test_a_clipped_pixel_only_says_that_the_colour_is_at_least_one():
    rgb, pixels = jnp.array([[1.4, 0.9, 1.4]]), jnp.array([[1.0, 1.0, 0.8]])
    found = exposure.clipped_error(rgb, pixels)
    np.testing.assert_allclose(found, [[0.0, -0.1, 0.6]], atol=1e-6)


def test_the_mean_gain_of_all_views_is_fixed():
    log_gains = jax.random.normal(jax.random.key(0), (5, 3))
    np.testing.assert_allclose(jnp.mean(exposure.centred(log_gains), axis=0), 0.0, atol=1e-6)
    moved = exposure.centred(log_gains + jnp.array([[0.3, -0.2, 0.1]]))
    np.testing.assert_allclose(moved, exposure.centred(log_gains), atol=1e-6)


def test_gains_that_a_camera_had_are_found_though_it_clips():
    rgb = np.random.default_rng(0).uniform(0.0, 1.0, (500, 3)).astype(np.float32)
    log_gains = np.log(np.array([0.4, 1.3, 2.5], np.float32))
    found = exposure.fit_log_gains(rgb, exposure.clipped(rgb, log_gains))
    np.testing.assert_allclose(found, log_gains, atol=2e-3)
    assert exposure.fit_log_gains(rgb[:0], rgb[:0]).tolist() == [0.0, 0.0, 0.0]


def test_corrections_that_are_off_are_none_and_begin_as_the_identity():
    train = presets.PLANES.train
    assert identity(3, train) is None
    on = identity(3, presets.PLANES.train.__class__(**{**vars(train), "exposure": "on"}))
    assert float(prior(on.log_gains)) == 0.0
    np.testing.assert_array_equal(pixel_gains(on, jnp.array([2, 0])), np.zeros((2, 3)))


def test_the_record_of_gains_is_read_as_it_was_written():
    log_gains = jnp.array([[0.5, 0.0, -0.5], [-0.5, 0.0, 0.5]])
    record = CorrectionRecord.of(Corrections(log_gains), ["a", "b"], forward_cameras(2))
    again = CorrectionRecord.from_json(record.to_json())
    assert again.view_names == ("a", "b")
    np.testing.assert_allclose(again.gains, np.exp(log_gains), rtol=1e-5)


@pytest.mark.parametrize(
    "values",
    [
        [],
        {},
        {"views": 3},
        {"views": ["a"], "exposure": []},
        {"views": ["a"], "exposure": {"gains": [[1.0]]}},
        {"views": ["a"], "exposure": {"gains": [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]}},
        {"views": ["a"], "exposure": {"gains": [[1.0, "x", 1.0]]}},
        {"views": ["a"], "exposure": {"gains": [[1.0, None, 1.0]]}},
        {"views": ["a"], "exposure": {"gains": [[1.0, 0.0, 1.0]]}},
        {"views": ["a"], "exposure": {"gains": [[1.0, float("inf"), 1.0]]}},
    ],
)
def test_a_damaged_record_of_gains_is_refused(values):
    with pytest.raises(UserError, match="cannot be read"):
        CorrectionRecord.from_json(values)
