"""Field, cameras and images of the published flower agree with what its own code computed.

The spiral, the loaded poses, and rays that are made from pixels one by one are compared where
their laws are: in the tests of the camera paths and of the LLFF loader.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.config.presets import NOTEBOOK
from nerf.field import make_field
from nerf.geometry.camera_paths import camera_path
from nerf.geometry.world import World
from nerf.render.image_metrics import psnr
from nerf.render.images import image_rays, make_exact_program, render_image
from nerf.render.rays import render_rays
from nerf.runs import parameters
from nerf.scenes.loading import load_folder
from tests.conftest import BACKENDS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("usual_compilation")]

HELD_OUT = {0: 22.26, 16: 23.14, 32: 24.20}  # dB against the photographs
TRAINED_ON = {20: 28.86}
PHOTOGRAPHS = HELD_OUT | TRAINED_ON
WHOLE = "flax"  # the backend that renders every pixel
STRIDE = 16  # of the pixels that the others render


@pytest.fixture(scope="module")
def scene(flower_dir):
    return load_folder(flower_dir).scene


@pytest.fixture(scope="module")
def goldens(golden_dir):
    folder = golden_dir / "flower"
    if not folder.is_dir():
        pytest.skip(f"the goldens have no folder {folder.name}")

    def read(name):
        with np.load(folder / f"{name}.npz") as arrays:
            return dict(arrays)

    return read


def published(flower_dir, backend):
    params = parameters.load(flower_dir / "params", backend).params
    return make_field(backend, "mlp", NOTEBOOK.field), params


def rays_of(scene, index):
    return image_rays(scene.cameras[index], space=scene.space, config=NOTEBOOK.render)


def agreement(found, expected):
    """Peak signal-to-noise ratio of any set of pixels."""
    return psnr(np.reshape(found, (1, -1, 3)), np.reshape(expected, (1, -1, 3)))


def test_the_published_parameters_fit_the_field(flower_dir, backend):
    field, params = published(flower_dir, backend)
    parameters.check(params, field, NOTEBOOK, "the published parameters")
    assert parameters.count(params) == 593_924


def test_the_field_agrees_with_the_published_one(flower_dir, goldens, backend):
    expected = goldens("field")
    field, params = published(flower_dir, backend)
    points = jnp.asarray(expected["points"])
    viewdirs = jnp.broadcast_to(expected["viewdirs"][:, None], points.shape)
    found = jax.jit(field.apply)(params["shared"], points, viewdirs)
    np.testing.assert_allclose(found.rgb, expected["rgb"], atol=1e-4)
    np.testing.assert_allclose(found.density, expected["sigma"], atol=1e-4)
    assert found.density.max() > 10


def test_the_rays_of_an_image_agree_with_the_published_ones(scene, goldens):
    expected = goldens("rays_view_000")
    for space, prefix in ((World(), ""), (scene.space, "ndc_")):
        rays = image_rays(scene.cameras[0], space=space, config=NOTEBOOK.render)
        directions = expected[f"{prefix}directions"].reshape(-1, 3)
        np.testing.assert_allclose(
            rays.origins, expected[f"{prefix}origins"].reshape(-1, 3), atol=1e-4
        )
        np.testing.assert_allclose(rays.directions, directions, atol=1e-4)
        unit = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
        np.testing.assert_allclose(rays.viewdirs, unit, atol=1e-4)


def test_the_spiral_of_the_loaded_poses_agrees_with_the_published_one(scene, goldens):
    expected = goldens("poses")
    path = camera_path("spiral", scene.cameras.camtoworlds, scene.cameras.bounds, 120)
    np.testing.assert_allclose(path, expected["render_poses"][..., :4], atol=1e-4)


@pytest.fixture(scope="module")
def drawn(flower_dir, scene):
    """Draws a view through one backend, whole."""
    field, params = published(flower_dir, WHOLE)
    program = make_exact_program(field, NOTEBOOK.render, scene.space)
    renderer = program.with_params(params)
    return functools.cache(lambda index: render_image(renderer, scene.cameras[index]).rgb)


@pytest.mark.parametrize("index", sorted(PHOTOGRAPHS))
def test_images_agree_with_the_published_ones(drawn, goldens, index):
    assert agreement(drawn(index), goldens("render")[f"view_{index:03d}"]) >= 45


@pytest.mark.parametrize(("index", "expected"), sorted(PHOTOGRAPHS.items()))
def test_the_published_images_score_what_was_published(scene, goldens, index, expected):
    golden = goldens("render")[f"view_{index:03d}"]
    assert agreement(golden, scene.images[index]) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(("index", "expected"), sorted(PHOTOGRAPHS.items()))
def test_images_score_what_was_published(drawn, scene, index, expected):
    assert agreement(drawn(index), scene.images[index]) == pytest.approx(expected, abs=0.1)


def test_the_held_out_views_are_those_of_the_preset(scene):
    split = scene.split(NOTEBOOK.train.holdout)
    assert split.test == tuple(HELD_OUT)
    assert set(TRAINED_ON) <= set(split.train)


def chosen_pixels(scene):
    num_pixels = scene.cameras.height * scene.cameras.width
    return np.arange(0, num_pixels, STRIDE)[: num_pixels // STRIDE // 20 * 20]


@pytest.fixture(scope="module")
def sampled(flower_dir, scene):
    """Draws the chosen pixels of a view through any backend."""

    @functools.cache
    def program(backend):
        field, params = published(flower_dir, backend)
        render = jax.jit(
            lambda rays: jax.lax.map(
                lambda part: render_rays(field, params, part, NOTEBOOK.render).fine.rgb, rays
            )
        )
        return render

    @functools.cache
    def draw(backend, index):
        chosen = chosen_pixels(scene)
        rays = jax.tree.map(
            lambda x: x[chosen].reshape(20, -1, *x.shape[1:]), rays_of(scene, index)
        )
        return np.asarray(program(backend)(rays)).reshape(-1, 3)

    return draw


@pytest.mark.parametrize("index", sorted(PHOTOGRAPHS))
def test_every_backend_draws_the_published_images(scene, sampled, goldens, backend, index):
    """Every 16th pixel: whole images would take as long as all the rest."""
    golden = goldens("render")[f"view_{index:03d}"].reshape(-1, 3)[chosen_pixels(scene)]
    assert agreement(sampled(backend, index), golden) >= 45


@pytest.mark.parametrize("index", sorted(PHOTOGRAPHS))
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != WHOLE])
def test_the_other_backends_draw_the_same_images(scene, drawn, sampled, backend, index):
    whole = drawn(index).reshape(-1, 3)[chosen_pixels(scene)]
    assert agreement(sampled(backend, index), whole) >= 60
