"""Laws of held-out views with their own exposure: what is looked at, and what is scored."""

import dataclasses
import types

import numpy as np
import pytest

from nerf.config.presets import PLANES
from nerf.corrections import exposure
from nerf.errors import UserError
from nerf.jobs.scoring.held_out_exposure import fit_exposure, is_corrected
from nerf.render.images import RenderedImage

HEIGHT, WIDTH = 8, 11
GAINS = np.array([0.6, 1.1, 1.5], np.float32)
PHOTOGRAPHS = types.SimpleNamespace(is_transparent=False, background="black")
OBJECT = types.SimpleNamespace(is_transparent=True, background="white")


@pytest.fixture(name="image")
def rendered():
    rgb = np.random.default_rng(0).uniform(0.1, 0.7, (HEIGHT, WIDTH, 3)).astype(np.float32)
    return RenderedImage(rgb, np.ones((HEIGHT, WIDTH), np.float32), np.ones((HEIGHT, WIDTH)))


def image_of(rendered, acc=None, behind=0.0):
    return np.array(exposure.clipped(rendered.rgb, np.log(GAINS), acc, behind))


def test_the_gains_of_an_image_are_found_on_its_left_half_and_its_right_half_is_scored(image):
    truth = image_of(image)
    truth[:, WIDTH // 2 :] = 0.5  # of which nothing is looked at
    own = fit_exposure(PHOTOGRAPHS, image, truth, None)
    np.testing.assert_allclose(own.gains, GAINS, rtol=5e-3)
    np.testing.assert_allclose(own.rgb, image_of(image), atol=5e-3)
    np.testing.assert_array_equal(own.scored(truth), truth[:, 5:])
    assert own.is_fitted
    assert own.scored_mask(None) is None


def test_pixels_that_a_mask_leaves_out_are_not_looked_at(image):
    truth, mask = image_of(image), np.ones((HEIGHT, WIDTH), np.bool_)
    mask[:4], truth[:4] = False, 1.0
    own = fit_exposure(PHOTOGRAPHS, image, truth, mask)
    np.testing.assert_allclose(own.gains, GAINS, rtol=5e-3)
    np.testing.assert_array_equal(own.scored_mask(mask), mask[:, 5:])
    assert mask[4:].all()


@pytest.mark.parametrize("part", [np.s_[:, :5], np.s_[:, 5:], np.s_[:]])
def test_without_pixels_in_both_halves_nothing_is_corrected(image, part):
    mask = np.ones((HEIGHT, WIDTH), np.bool_)
    mask[part] = False
    assert not fit_exposure(PHOTOGRAPHS, image, image_of(image), mask).is_fitted


def test_the_background_of_an_object_keeps_its_colour(image):
    acc = np.tile(np.linspace(0.0, 1.0, HEIGHT, dtype=np.float32)[:, None], WIDTH)
    over = image.rgb * acc[..., None] + (1.0 - acc[..., None])
    image = image._replace(rgb=over, acc=acc)
    own = fit_exposure(OBJECT, image, image_of(image, acc, 1.0), None)
    np.testing.assert_allclose(own.gains, GAINS, rtol=5e-3)
    np.testing.assert_allclose(own.rgb[0], 1.0, atol=1e-6)


@pytest.mark.parametrize("name", ["exposure", "poses"])
def test_views_are_corrected_as_those_of_the_training_unless_one_says_otherwise(name):
    off, on = PLANES.train, dataclasses.replace(PLANES.train, **{name: "on"})
    assert [is_corrected(name, "auto", each) for each in (off, on)] == [False, True]
    assert is_corrected(name, "on", off)
    assert not is_corrected(name, "off", on)
    with pytest.raises(UserError, match=f"`{name}` must be auto, on or off, not 'yes'"):
        is_corrected(name, "yes", on)
