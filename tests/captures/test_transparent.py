"""Laws of training on transparent images: what should be empty must be, not of one colour."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.config.presets import NOTEBOOK
from nerf.geometry.world import World
from nerf.render.volume import Composite
from nerf.training.batch import Batch, sample_batch
from nerf.training.loss import squared_error
from tests.support.cameras import views_from_origin


@pytest.mark.parametrize("background", ["black", "white"])
def test_transparent_images_are_compared_over_all_backgrounds(background):
    """The closed form is the mean over random backgrounds."""
    rng = np.random.default_rng(0)
    rgb, truth = rng.random((2, 50, 3))  # over black, and not more than what is covered
    acc, alpha = rng.random((2, 50))
    rgb, truth = rgb * acc[:, None], truth * alpha[:, None]
    behind = {"black": 0.0, "white": 1.0}[background]
    composite = Composite(
        rgb + behind * (1 - acc)[:, None], *[jnp.asarray(acc)] * 2, *[jnp.zeros((50, 1))] * 2
    )
    batch = Batch(
        None, jnp.asarray(truth + behind * (1 - alpha)[:, None]), None, jnp.asarray(alpha)
    )
    config = dataclasses.replace(NOTEBOOK.render, background=background)
    found = squared_error(composite, batch, config)
    b = (np.arange(2000)[:, None, None] + 0.5) / 2000
    over_b = rgb - truth + b * ((1 - acc) - (1 - alpha))[:, None]
    np.testing.assert_allclose(found, np.mean(over_b**2), rtol=1e-4)


def test_fog_of_the_backgrounds_colour_costs_something():
    composite = Composite(jnp.ones((4, 3)), *[jnp.full(4, 0.7)] * 2, *[jnp.zeros((4, 1))] * 2)
    batch = Batch(None, jnp.ones((4, 3)), None, jnp.zeros(4))
    config = dataclasses.replace(NOTEBOOK.render, background="white")
    assert squared_error(composite, batch._replace(alpha=None), config) == 0
    np.testing.assert_allclose(squared_error(composite, batch, config), 0.7**2 / 3, rtol=1e-6)


def test_the_alpha_of_a_ray_is_that_of_its_pixel(key):
    alpha = jax.random.uniform(key, (2, 3, 4, 1))
    images = jnp.concatenate([jnp.ones((2, 3, 4, 3)), alpha], axis=-1)  # white over black
    views = dataclasses.replace(views_from_origin(images), has_opacity=True)
    config = NOTEBOOK.render
    batch = sample_batch(key, views, num_rays=50, space=World(), config=config)
    np.testing.assert_array_equal(batch.alpha, batch.rgb[:, 0])
    assert batch.alpha.shape == (50,)
