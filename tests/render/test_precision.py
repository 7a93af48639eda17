"""Laws of precision: in bfloat16 the layers compute, and nothing else does."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.work import equations
from nerf.backends.convert import convert
from nerf.config import presets
from nerf.config import settings as config_lib
from nerf.config import text as config_text
from nerf.field import make_field
from nerf.render.image_metrics import psnr
from nerf.render.images import image_rays
from nerf.render.rays import abstract_networks, render_rays
from nerf.runs import parameters
from nerf.scenes import names
from nerf.training.step import init_state, make_step
from tests.support.cameras import cameras_at_origin, ndc_of, views_from_origin

PRESETS = ["notebook", "paper", "quick"]
BFLOAT16 = "field.compute_dtype=bfloat16"


def tiny(preset, *more):
    small = ("field.width=32", "field.rgb_width=16", "render.num_coarse=8", "render.num_fine=8")
    rays = ("train.num_rays=32", "train.num_steps=100", "train.learning_rate=2e-3")
    return config_text.override(presets.preset(preset), *small, *rays, *more)


def traced(backend, config):
    field = make_field(backend, "mlp", config.field)
    params = field.init(jax.random.key(0))
    points = jnp.zeros((4, 3))
    closed = jax.make_jaxpr(field.apply)(params, points, points)
    return params, closed


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_layer_multiplies_in_the_type_asked_for(backend, preset, dtype):
    params, closed = traced(backend, tiny(preset, f"field.compute_dtype={dtype}"))
    found = [e for e in equations(closed.jaxpr) if e.primitive.name == "dot_general"]
    assert len(found) == 12  # eight of the trunk, bottleneck, density, two of the colour
    for equation in found:
        assert {str(variable.aval.dtype) for variable in equation.invars} == {dtype}
    for leaf in (*jax.tree.leaves(params), *closed.out_avals):
        assert leaf.dtype == jnp.float32


@pytest.mark.parametrize("preset", PRESETS)
def test_sines_exponentials_and_sums_of_weights_stay_float32(backend, preset):
    config = tiny(preset, BFLOAT16)
    field = make_field(backend, "mlp", config.field)
    params = abstract_networks(field, config.render)
    rays = image_rays(CAMERA, space=ndc_of(CAMERA), config=config.render)
    closed = jax.make_jaxpr(lambda params: render_rays(field, params, rays, config.render))(params)
    names = {"sin", "cos", "exp", "expm1", "cumsum", "logistic", "sort"}
    found = [e for e in equations(closed.jaxpr) if e.primitive.name in names]
    assert {"sin", "expm1", "cumsum", "logistic"} <= {e.primitive.name for e in found}
    for equation in found:
        assert all(variable.aval.dtype != jnp.bfloat16 for variable in equation.invars)


CAMERA = cameras_at_origin(1, 3, 4)[0]


@functools.cache
def flower():
    scene = names.load_scene("procedural:flower@32x24").scene
    folder = names.find_pretrained("flower", "procedural", None)
    return scene, folder


def picture(backend, dtype):
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


def test_a_picture_in_bfloat16_is_nearly_the_one_in_float32(backend):
    exact, rough = (picture(backend, dtype) for dtype in ("float32", "bfloat16"))
    assert rough.dtype == np.float32
    assert not np.array_equal(rough, exact)
    assert psnr(rough, exact) > 40.0  # a CPU rounds less often than it may: 70 dB there


def test_both_backends_agree_in_bfloat16():
    haiku, flax = (picture(backend, "bfloat16") for backend in ("haiku", "flax"))
    assert psnr(haiku, flax) > 45.0


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
    step = make_step(field, config, space=ndc_of(CAMERA), rays_per_microbatch=16)
    losses = []
    for _ in range(60):
        state, metrics = step(state, views)
        losses.append(float(metrics.loss))
    assert jax.tree.map(lambda leaf: leaf.dtype, state._replace(key=None)) == before
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(state.params)} == {"float32"}
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])


def test_parameters_do_not_depend_on_the_type_that_is_computed_in(backend):
    trees = [
        make_field(backend, "mlp", tiny("notebook", *more).field).init(jax.random.key(3))
        for more in ((), (BFLOAT16,))
    ]
    jax.tree.map(np.testing.assert_array_equal, *trees)


def test_gradients_in_bfloat16_are_float32_and_nearly_right():
    gradients = {}
    params = None
    for dtype in ("float32", "bfloat16"):
        for backend in ("haiku", "flax"):
            config = tiny("notebook", f"field.compute_dtype={dtype}")
            field = make_field(backend, "mlp", config.field)
            if params is None:
                params = {"shared": field.init(jax.random.key(0))}
            own = convert(params, "mlp", "haiku", backend)["shared"]
            points = jax.random.uniform(jax.random.key(1), (64, 3))

            def loss(own, field=field, points=points):
                output = field.apply(own, points, points)
                return jnp.mean(output.rgb) + jnp.mean(output.density)

            gradient = convert({"shared": jax.grad(loss)(own)}, "mlp", backend, "haiku")
            gradients[dtype, backend] = jax.tree.leaves(gradient)
    norm = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in gradients["float32", "haiku"]))
    for backend in ("haiku", "flax"):
        for leaf, exact in zip(
            gradients["bfloat16", backend], gradients["float32", backend], strict=True
        ):
            assert leaf.dtype == jnp.float32
            assert np.linalg.norm(leaf - exact) < 0.05 * norm


def test_a_flag_chooses_the_type():
    assert {name: config_lib.compute_dtype(name) for name in config_lib.PRECISIONS} == {
        "float32": "float32",
        "tf32": "float32",
        "bfloat16": "bfloat16",
    }
    assert dataclasses.replace(presets.NOTEBOOK.field).compute_dtype == "float32"
