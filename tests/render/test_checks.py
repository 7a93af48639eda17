"""What the renderer refuses: shapes that do not fit, always; impossible values, under `--debug`."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.config.presets import NOTEBOOK
from nerf.field import FieldOutput, RadianceField
from nerf.geometry import cameras, ndc
from nerf.geometry import rays as geometry_rays
from nerf.geometry.cameras import Cameras
from nerf.geometry.rays import Rays
from nerf.geometry.world import World
from nerf.render import images, rays, sampling, volume
from nerf.render.checks import check_composite, check_rendering, checked
from nerf.render.rays import Rendering
from nerf.render.volume import Composite
from tests.support.cameras import cameras_at_origin, ndc_of

CONFIG = dataclasses.replace(NOTEBOOK.render, num_coarse=4, num_fine=4)
CAMERA = cameras_at_origin(1, 6, 8, focal=5.0, near=2.0, far=6.0)[0]
NDC = ndc_of(CAMERA)


def ones(*shape):
    return jnp.ones(shape)


def index(*shape):
    return jnp.ones(shape, jnp.int32)


def keys(num):
    return jax.random.split(jax.random.key(0), num)


def fog(params, points, viewdirs, /, *, key=None):
    """Half absorbed, grey everywhere; `params` spoil it."""
    shape = points.shape[:-1]
    return FieldOutput(jnp.full(points.shape, params["rgb"]), jnp.full(shape, params["density"]))


FOG = RadianceField(None, fog)
PARAMS = {"shared": {"rgb": 0.5, "density": 0.7}}
RAYS = Rays(ones(4, 3), ones(4, 3), ones(4, 3), jnp.zeros(4), ones(4), World())


def render(**changes):
    ray_keys = changes.pop("ray_keys", None)
    changed = dataclasses.replace(RAYS, **changes)
    return rays.render_rays(FOG, PARAMS, changed, CONFIG, ray_keys=ray_keys)


def evaluate(field=FOG, params=PARAMS["shared"], t_vals=None, **changes):
    t_vals = ones(4, 5) if t_vals is None else t_vals
    changed = dataclasses.replace(RAYS, **changes)
    return rays.evaluate_field_along_rays(field, params, changed, t_vals, None)


def answering(rgb_shape, density_shape):
    return RadianceField(
        None, lambda *_, key=None: FieldOutput(ones(*rgb_shape), ones(*density_shape))
    )


def cameras_of(matrices=(4, 3, 4), focal=(4,), bounds=(4, 2)):
    return Cameras(ones(*matrices), ones(*focal), ones(*bounds), height=6, width=8)


def pinhole_rays(rows=(4,), **shapes):
    return cameras.pinhole_rays(index(4), index(*rows), cameras_of(**shapes))


def scene_rays(columns=(4,), **shapes):
    options = {"viewdir_space": "ndc", "pixel_offset": 0.0}
    return geometry_rays.scene_rays(index(*columns), index(4), cameras_of(**shapes), NDC, **options)


def ndc_rays(origins, directions):
    return ndc.ndc_rays(origins, directions, NDC.scale)


def image_rays(camera=CAMERA):
    return images.image_rays(camera, space=NDC, config=CONFIG)


def composite(rgb=(4, 5, 3), density=(4, 5), t_vals=(4, 5), directions=(4, 3)):
    return volume.composite(
        ones(*rgb), ones(*density), ones(*t_vals), ones(*directions), last_interval=0.0
    )


WRONG_SHAPES = {
    "normalize": lambda: geometry_rays.normalize(ones(4, 2)),
    "pinhole_rays: rows": lambda: pinhole_rays(rows=(1,)),
    "pinhole_rays: one matrix": lambda: pinhole_rays(matrices=(3, 4)),
    "pinhole_rays: 4x4": lambda: pinhole_rays(matrices=(4, 4, 4)),
    "pinhole_rays: focal": lambda: pinhole_rays(focal=()),
    "pixel_cameras": lambda: cameras.pixel_cameras(CAMERA, index(4)),
    "ndc_rays: directions": lambda: ndc_rays(ones(4, 3), ones(1, 3)),
    "ndc_rays: 2-vectors": lambda: ndc_rays(ones(4, 2), ones(4, 2)),
    "ndc_rays: 4-vectors": lambda: ndc_rays(ones(4, 4), ones(4, 4)),
    "ndc_points": lambda: ndc.ndc_points(ones(4, 2), NDC.scale),
    "depth_from_ndc: t": lambda: ndc.depth_from_ndc(ones(1), ones(4, 3), ones(4, 3)),
    "depth_from_ndc: origins": lambda: ndc.depth_from_ndc(ones(4), ones(1, 3), ones(4, 3)),
    "scene_rays: columns": lambda: scene_rays(columns=(1,)),
    "scene_rays: matrices": lambda: scene_rays(matrices=(1, 3, 4)),
    "scene_rays: one for all bounds": lambda: scene_rays(bounds=(1, 2)),
    "scene_rays: near alone": lambda: scene_rays(bounds=(4, 1)),
    "positions": lambda: geometry_rays.positions(RAYS, ones(1, 5)),
    "unit_samples": lambda: sampling.unit_samples(keys(1), 4, 5),
    "bin_t_vals: far": lambda: sampling.bin_t_vals(None, ones(4), ones(1), 5),
    "bin_t_vals: keys": lambda: sampling.bin_t_vals(keys(1), ones(4), ones(4), 5),
    "linspace_t_vals: far": lambda: sampling.linspace_t_vals(None, ones(4), ones(1), 5),
    "linspace_t_vals: keys": lambda: sampling.linspace_t_vals(keys(1), ones(4), ones(4), 5),
    "interval_edges": lambda: sampling.interval_edges(ones(4, 5, 6)),
    "invert: edges": lambda: sampling.invert_piecewise_constant(ones(4, 7), ones(4, 5), ones(4, 5)),
    "invert: unit": lambda: sampling.invert_piecewise_constant(ones(1, 7), ones(4, 6), ones(4, 5)),
    "fine_t_vals: weights": lambda: sampling.fine_t_vals(None, ones(4, 5), ones(4, 4), CONFIG),
    "fine_t_vals: keys": lambda: sampling.fine_t_vals(keys(1), ones(4, 5), ones(4, 5), CONFIG),
    "interval_lengths": lambda: volume.interval_lengths(ones(4, 5), ones(1, 3), 0.0),
    "compositing_weights": lambda: volume.compositing_weights(ones(4, 5), ones(4, 1)),
    "composite: rgb": lambda: composite(rgb=(4, 5, 1)),
    "composite: density": lambda: composite(density=(4, 1)),
    "composite: t_vals": lambda: composite(t_vals=(1, 5)),
    "composite: directions": lambda: composite(directions=(4, 4)),
    "evaluate_field_along_rays: origins": lambda: evaluate(origins=ones(1, 3)),
    "evaluate_field_along_rays: viewdirs": lambda: evaluate(viewdirs=ones(4, 4)),
    "evaluate_field_along_rays: t_vals": lambda: evaluate(t_vals=ones(1, 5)),
    "evaluate_field_along_rays: the field's rgb": lambda: evaluate(answering((20, 4), (20,))),
    "evaluate_field_along_rays: the field's density": lambda: evaluate(answering((20, 3), (20, 1))),
    "render_rays: origins": lambda: render(origins=ones(1, 3)),
    "render_rays: viewdirs": lambda: render(viewdirs=ones(1, 3)),
    "render_rays: near": lambda: render(near=jnp.zeros(1)),
    "render_rays: keys": lambda: render(ray_keys=keys(3)),
    "image_rays: several cameras": lambda: image_rays(CAMERA[None]),
    "image_rays: bounds": lambda: image_rays(
        dataclasses.replace(CAMERA, bounds=CAMERA.bounds[None])
    ),
}


@pytest.mark.parametrize("call", WRONG_SHAPES.values(), ids=WRONG_SHAPES)
def test_shapes_that_do_not_fit_are_refused(call):
    with pytest.raises(AssertionError):
        jax.eval_shape(call)


def test_the_same_calls_with_shapes_that_fit_are_not_refused():
    calls = [
        lambda: geometry_rays.normalize(ones(4, 3)),
        pinhole_rays,
        lambda: cameras.pixel_cameras(cameras_of(), index(7)),
        lambda: ndc_rays(ones(4, 3), ones(4, 3)),
        lambda: ndc.ndc_points(ones(4, 3), NDC.scale),
        lambda: ndc.depth_from_ndc(ones(4), ones(4, 3), ones(4, 3)),
        scene_rays,
        lambda: geometry_rays.positions(RAYS, ones(4, 5)),
        lambda: sampling.unit_samples(keys(4), 4, 5),
        lambda: sampling.bin_t_vals(keys(4), ones(4), ones(4), 5),
        lambda: sampling.linspace_t_vals(keys(4), ones(4), ones(4), 5),
        lambda: sampling.interval_edges(ones(4, 5)),
        lambda: sampling.invert_piecewise_constant(ones(4, 7), ones(4, 6), ones(4, 5)),
        lambda: sampling.fine_t_vals(keys(4), ones(4, 5), ones(4, 5), CONFIG),
        lambda: volume.interval_lengths(ones(4, 5), ones(4, 3), 0.0),
        lambda: volume.compositing_weights(ones(4, 5), ones(4, 5)),
        composite,
        evaluate,
        lambda: evaluate(answering((20, 3), (20,))),
        lambda: render(ray_keys=keys(4)),
        image_rays,
    ]
    for call in calls:
        jax.eval_shape(call)


GOOD = Composite(
    rgb=jnp.full((2, 3), 0.5),
    depth=jnp.full(2, 1.5),
    acc=jnp.full(2, 0.9),
    weights=jnp.full((2, 3), 0.3),
    t_vals=jnp.array([[1.0, 2.0, 2.0], [0.0, 1.0, 5.0]]),
)
SPOILT = {
    "t_vals are not sorted": GOOD._replace(t_vals=GOOD.t_vals.at[1, 0].set(3.0)),
    "a weight is negative": GOOD._replace(weights=GOOD.weights.at[0, 1].set(-0.01)),
    "rgb is not in": GOOD._replace(rgb=GOOD.rgb.at[1, 2].set(1.1)),
    "acc is not in": GOOD._replace(acc=GOOD.acc.at[0].set(-0.1)),
}
NOT_FINITE = {
    f"{value} in {name}": GOOD._replace(**{name: getattr(GOOD, name).at[0].set(value)})
    for name in GOOD._fields
    for value in (jnp.nan, jnp.inf)
}


def checked_and_compiled(check):
    def with_check(value):
        check(value)
        return jax.tree.map(lambda x: 2 * x, value)

    return checked(jax.jit(with_check))


def test_what_is_as_it_must_be_passes_unchanged():
    found = checked_and_compiled(check_composite)(GOOD)
    for leaf, expected in zip(found, GOOD, strict=True):
        np.testing.assert_array_equal(leaf, 2 * expected)


@pytest.mark.parametrize("message", SPOILT)
def test_impossible_values_are_named(message):
    with pytest.raises(AssertionError, match=message):
        checked_and_compiled(check_composite)(SPOILT[message])


@pytest.mark.parametrize("spoilt", NOT_FINITE.values(), ids=NOT_FINITE)
def test_what_is_not_finite_is_refused(spoilt):
    with pytest.raises(AssertionError, match="finite"):
        checked_and_compiled(check_composite)(spoilt)


@pytest.mark.parametrize("spoilt_pass", [0, 1], ids=["coarse", "fine"])
def test_both_passes_are_checked(spoilt_pass):
    rendering = [GOOD, GOOD]
    rendering[spoilt_pass] = SPOILT["rgb is not in"]
    with pytest.raises(AssertionError, match="rgb is not in"):
        checked_and_compiled(check_rendering)(Rendering(*rendering, *[jnp.zeros(1)] * 2))


@pytest.fixture(scope="module")
def programs():
    return {
        debug: images.make_exact_program(FOG, CONFIG, World(), debug=debug)
        for debug in (False, True)
    }


def drawn(program, params=PARAMS, camera=CAMERA):
    return images.render_image(program.with_params(params), camera)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"density": jnp.nan}, "finite"),
        ({"rgb": jnp.inf}, "finite"),
        ({"rgb": 2.0}, "rgb is not in"),
        ({"density": -0.5}, "a weight is negative"),
    ],
)
def test_only_with_debug_does_the_renderer_refuse_a_fields_impossible_values(
    programs, change, message
):
    params = {"shared": PARAMS["shared"] | change}
    drawn(programs[False], params)
    with pytest.raises(AssertionError, match=message):
        drawn(programs[True], params)


def test_only_with_debug_does_the_renderer_refuse_rays_that_run_backwards(programs):
    backwards = dataclasses.replace(CAMERA, bounds=CAMERA.bounds[::-1])
    drawn(programs[False], camera=backwards)
    with pytest.raises(AssertionError, match="t_vals are not sorted"):
        drawn(programs[True], camera=backwards)


def test_debug_does_not_change_the_image(programs):
    plain, debugged = (drawn(programs[debug]) for debug in (False, True))
    for found, expected in zip(debugged, plain, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    middle = plain.acc[3, 4]  # whose ray is as long as the bounds are apart
    np.testing.assert_allclose(middle, 1 - np.exp(-0.7 * 4.0), atol=1e-5)
