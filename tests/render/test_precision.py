"""Laws of precision: in bfloat16 the layers compute, and nothing else does."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.work import equations
from nerf.config import presets
from nerf.config import settings as config_lib
from nerf.config import text as config_text
from nerf.field import make_field
from nerf.render.image_metrics import psnr
from nerf.render.images import image_rays
from nerf.render.rays import abstract_networks, render_rays
from nerf.runs import parameters
from nerf.scenes import names
from nerf.training.state import init_state
from nerf.training.step import make_step
from tests.conftest import BACKENDS
from tests.support.cameras import cameras_at_origin, ndc_of, views_from_origin

pytestmark = pytest.mark.slow

PRESETS = ["notebook", "paper", "quick"]
BFLOAT16 = "field.compute_dtype=bfloat16"


def tiny(preset, *more):
    small = ("field.width=32", "field.rgb_width=16", "render.num_coarse=8", "render.num_fine=8")
    rays = ("train.num_rays=32", "train.num_steps=100", "train.learning_rate=2e-3")
    return config_text.override(presets.preset(preset), *small, *rays, *more)


@pytest.mark.parametrize("preset", PRESETS)
def test_sines_exponentials_and_sums_of_weights_stay_float32(backend, preset):
    config = tiny(preset, BFLOAT16)
    field = make_field(backend, "mlp", config.field)
    params = abstract_networks(field, config.render)
    rays = image_rays(CAMERA, space=ndc_of(CAMERA), config=config.render)
    closed = jax.make_jaxpr(lambda params: render_rays(field, params, rays, config.render))(params)
    names = {"sin", "cos", "exp", "cumsum", "logistic", "sort"}
    found = [e for e in equations(closed.jaxpr) if e.primitive.name in names]
    assert {"sin", "exp", "cumsum", "logistic"} <= {e.primitive.name for e in found}
    for equation in found:
        assert all(variable.aval.dtype != jnp.bfloat16 for variable in equation.invars)


CAMERA = cameras_at_origin(1, 3, 4)[0]


@functools.cache
def flower():
    scene = names.resolve_scene("procedural:flower@32x24").scene
    folder = names.pretrained_folder("flower", "procedural", None)
    return scene, folder


def drawn(backend, dtype):
    """One view of the bundled flower, with the shipped parameters."""
    scene, folder = flower()
    config = config_text.override(
        presets.NOTEBOOK,
        f"field.compute_dtype={dtype}",
        "render.num_coarse=24",
        "render.num_fine=40",
    )
    field = make_field(backend, "mlp", config.field)
    params = parameters.load(folder, backend).params
    rays = image_rays(scene.cameras[16], space=scene.space, config=config.render)
    render = jax.jit(lambda params: render_rays(field, params, rays, config.render).fine.rgb)
    return np.asarray(render(params))


def test_an_image_in_bfloat16_is_nearly_the_one_in_float32(backend):
    exact, rough = (drawn(backend, dtype) for dtype in ("float32", "bfloat16"))
    assert rough.dtype == np.float32
    assert not np.array_equal(rough, exact)
    assert psnr(rough, exact) > 40.0  # a CPU rounds less often than it may: 70 dB there


def test_all_backends_agree_in_bfloat16():
    first, *others = (drawn(backend, "bfloat16") for backend in BACKENDS)
    assert min(psnr(other, first) for other in others) > 45.0


@pytest.mark.parametrize("preset", PRESETS)
def test_training_in_bfloat16_keeps_its_state_in_float32_and_learns(backend, preset):
    shallow = (
        "field.num_layers=3",
        "field.skip_layer=1",
        "field.density_noise=0",
        "field.density_activation=softplus",
    )
    config = tiny(preset, BFLOAT16, *shallow)
    field = make_field(backend, "mlp", config.field)
    state = init_state(field, config, jax.random.key(0))
    before = jax.tree.map(lambda leaf: leaf.dtype, state._replace(key=None))
    u, v = jnp.meshgrid(jnp.linspace(0, 1, 4), jnp.linspace(0, 1, 3))
    views = views_from_origin(jnp.stack([u, v, 1 - u], axis=-1)[None])
    step = make_step(field, config, views, space=ndc_of(CAMERA), rays_per_microbatch=16)
    losses = []
    for _ in range(60):
        state, metrics = step(state)
        losses.append(float(metrics.loss))
    assert jax.tree.map(lambda leaf: leaf.dtype, state._replace(key=None)) == before
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(state.params)} == {"float32"}
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])


def test_a_flag_chooses_the_type():
    assert {name: config_lib.compute_dtype(name) for name in config_lib.PRECISIONS} == {
        "float32": "float32",
        "tf32": "float32",
        "bfloat16": "bfloat16",
    }
    assert dataclasses.replace(presets.NOTEBOOK.field).compute_dtype == "float32"
