"""The coarse and the fine pass: a loop over samples, both sets of networks, randomness per ray."""

import dataclasses
import functools
import itertools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.config.presets import NOTEBOOK, PAPER
from nerf.field import FieldOutput, RadianceField, make_field
from nerf.geometry.rays import Rays, normalize
from nerf.geometry.world import World
from nerf.render.rays import evaluate_field_along_rays, init_params, render_rays

pytestmark = pytest.mark.slow

PRESETS = {
    config.preset: dataclasses.replace(config.render, num_coarse=8, num_fine=12)
    for config in (NOTEBOOK, PAPER)
}
TINY = dataclasses.replace(
    PAPER.field, width=16, rgb_width=8, num_layers=2, skip_layer=1, density_noise=3.0
)
SCALES = {"shared": 3.0, "coarse": 3.0, "fine": 1.5}


def waves(xp, scale, points, viewdirs):
    """rgb and density of a cloud with structure in every direction."""
    density = scale * (1 + xp.sin(5 * points[..., 0]) * xp.cos(3 * points[..., 1]))
    rgb = 0.5 + 0.25 * xp.sin(4 * points) + 0.25 * viewdirs
    return rgb, density


def cloud(shapes=None):
    """`waves` as a field; `shapes` collects the shape of all points it is asked for."""

    def apply(params, points, viewdirs, /, *, key=None):
        if shapes is not None:
            shapes.append(points.shape)
        return FieldOutput(*waves(jnp, params, points, viewdirs))

    return RadianceField(lambda key, /: jnp.ones(()), apply)


def params_of(config):
    names = {"shared": ["shared"], "separate": ["coarse", "fine"]}[config.networks]
    return {name: jnp.float32(SCALES[name]) for name in names}


def random_rays(num_rays):
    rng = np.random.default_rng(0)
    directions = jnp.float32(rng.normal(size=(num_rays, 3)))
    return Rays(
        origins=jnp.float32(rng.normal(size=(num_rays, 3))),
        directions=directions,
        viewdirs=normalize(directions),
        near=jnp.float32(rng.uniform(0.0, 0.5, num_rays)),
        far=jnp.float32(rng.uniform(1.0, 2.0, num_rays)),
        space=World(),
    )


def take(tree, index):
    return jax.tree.map(lambda x: x[index], tree)


def compiled(field, config):
    return jax.jit(functools.partial(render_rays, field, config=config))


def composite_by_loop(scale, ray, t_vals, last_interval):
    norm = np.linalg.norm(ray.directions)
    transmittance, rgb, weights = 1.0, np.zeros(3), []
    for i, t in enumerate(t_vals):
        colour, density = waves(np, scale, ray.origins + t * ray.directions, ray.viewdirs)
        step = t_vals[i + 1] - t if i + 1 < len(t_vals) else last_interval
        passes = np.exp(-density * step * norm)
        weights.append(transmittance * (1 - passes))
        rgb = rgb + weights[-1] * colour
        transmittance *= passes
    depth = np.dot(weights, t_vals) / sum(weights)
    return types.SimpleNamespace(
        rgb=rgb, depth=depth, acc=sum(weights), weights=weights, t_vals=t_vals
    )


def render_by_loop(ray, config):
    """One ray in float64, without a line of the renderer."""
    num = config.num_coarse
    if config.coarse_t == "linspace":
        unit = [i / (num - 1) for i in range(num)]
    else:
        unit = [(i + 0.5) / num for i in range(num)]
    t_vals = [ray.near + (ray.far - ray.near) * u for u in unit]
    first, last = ("shared", "shared") if config.networks == "shared" else ("coarse", "fine")
    coarse = composite_by_loop(SCALES[first], ray, t_vals, config.last_interval)

    middles = [(a + b) / 2 for a, b in itertools.pairwise(t_vals)]
    if config.fine_t == "around_samples":
        edges, weights = [t_vals[0], *middles, t_vals[-1]], list(coarse.weights)
        weights[0], weights[-1] = weights[0] / 2, weights[-1] / 2
    else:
        edges, weights = middles, coarse.weights[1:-1]
    cdf = np.cumsum([0, *(w + config.fine_weight_floor for w in weights)])
    shares = (np.arange(config.num_fine) + 0.5) / config.num_fine
    new = np.interp(shares, cdf / cdf[-1], edges)
    fine = composite_by_loop(SCALES[last], ray, sorted([*t_vals, *new]), config.last_interval)
    return coarse, fine


@pytest.mark.parametrize("networks", ["shared", "separate"])
@pytest.mark.parametrize("preset", PRESETS)
def test_both_passes_equal_a_loop(preset, networks):
    config = dataclasses.replace(PRESETS[preset], networks=networks)
    rays = random_rays(5)
    rendering = compiled(cloud(), config)(params_of(config), rays)
    for n in range(5):
        ray = jax.tree.map(lambda x, n=n: np.asarray(x[n], np.float64), rays)
        for found, expected in zip(rendering[:2], render_by_loop(ray, config), strict=True):
            for name in found._fields:
                np.testing.assert_allclose(
                    getattr(found, name)[n], getattr(expected, name), atol=1e-4, err_msg=name
                )


@pytest.mark.parametrize(("preset", "expected"), [(NOTEBOOK, [64, 128]), (PAPER, [64, 192])])
def test_the_coarse_outputs_are_used_again_where_one_network_serves_both(preset, expected):
    """192 evaluations a ray with one network, 256 with two."""
    shapes = []
    field, rays = cloud(shapes), random_rays(3)
    jax.eval_shape(
        lambda rays: render_rays(field, params_of(preset.render), rays, preset.render), rays
    )
    assert shapes == [(3 * num_samples, 3) for num_samples in expected]


def test_using_the_coarse_outputs_again_equals_evaluating_all_samples(
    backend, key, usual_compilation
):
    """One network twice over is two networks with the same parameters."""
    field = make_field(backend, "mlp", TINY)
    tree, rays = field.init(key), random_rays(4)
    shared = PRESETS["notebook"]
    separate = dataclasses.replace(shared, networks="separate")
    once = compiled(field, shared)({"shared": tree}, rays)
    twice = compiled(field, separate)({"coarse": tree, "fine": tree}, rays)
    for found, expected in zip(jax.tree.leaves(once), jax.tree.leaves(twice), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("preset", PRESETS)
def test_rays_do_not_depend_on_how_they_are_grouped(backend, preset, key):
    field, config = make_field(backend, "mlp", TINY), PRESETS[preset]
    params = init_params(field, config, key)
    rays, ray_keys = random_rays(6), jax.random.split(key, 6)
    render = compiled(field, config)
    together = render(params, rays, ray_keys=ray_keys)
    for group in (np.array([0, 1, 2]), np.array([5, 4, 3])):
        apart = render(params, take(rays, group), ray_keys=ray_keys[group])
        for found, expected in zip(jax.tree.leaves(apart), jax.tree.leaves(together), strict=True):
            np.testing.assert_allclose(found, np.asarray(expected)[group], atol=1e-5)


@pytest.mark.parametrize("preset", PRESETS)
def test_each_key_draws_its_own_samples_and_the_same_key_the_same(preset, key):
    config = PRESETS[preset]
    rays, ray_keys = take(random_rays(1), jnp.array([0, 0, 0])), jax.random.split(key, 2)
    rendering = compiled(cloud(), config)(
        params_of(config), rays, ray_keys=ray_keys[jnp.array([0, 1, 0])]
    )
    for composite in (rendering.coarse, rendering.fine):
        first, other, again = np.asarray(composite.t_vals)
        np.testing.assert_array_equal(first, again)
        assert np.mean(first != other) > 0.9


@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_ray_draws_from_its_key_is_drawn_apart(preset, key):
    """Coarse jitter, coarse noise, the one fine sample and fine noise are unrelated."""

    def draw_colour(params, points, viewdirs, /, *, key=None):
        drawn = jax.vmap(jax.random.uniform)(key)  # one key a point
        rgb = jnp.broadcast_to(drawn[:, None], points.shape)
        return FieldOutput(rgb, jnp.full(points.shape[:-1], 1e6))

    config = dataclasses.replace(
        PRESETS[preset], networks="separate", num_coarse=4, num_fine=1, fine_weight_floor=1e6
    )
    rays = take(random_rays(1), jnp.zeros(400, jnp.int32))
    field, params = RadianceField(None, draw_colour), {"coarse": {}, "fine": {}}
    keys = jax.random.split(key, 400)
    coarse, fine, *_ = compiled(field, config)(params, rays, ray_keys=keys)
    new_t = fine.t_vals.sum(axis=-1) - coarse.t_vals.sum(axis=-1)
    draws = np.stack([coarse.t_vals[:, 0], coarse.rgb[:, 0], new_t, fine.rgb[:, 0]])
    np.testing.assert_allclose(np.corrcoef(draws), np.eye(4), atol=0.3)


def test_without_keys_nothing_is_random(backend, key):
    """No density noise either, however much is configured."""
    config, rays = PRESETS["paper"], random_rays(3)
    noisy = make_field(backend, "mlp", TINY)
    quiet = make_field(backend, "mlp", dataclasses.replace(TINY, density_noise=0.0))
    params = init_params(noisy, config, key)
    found, expected = (compiled(field, config)(params, rays) for field in (noisy, quiet))
    for leaf, expected_leaf in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(leaf, expected_leaf)
    ray_keys = jax.random.split(key, 3)
    found, expected = (
        compiled(field, config)(params, rays, ray_keys=ray_keys) for field in (noisy, quiet)
    )
    assert np.all(np.abs(found.coarse.weights - expected.coarse.weights).max(axis=-1) > 1e-3)


@pytest.mark.parametrize("fine_gradient", [False, True])
def test_the_fine_samples_carry_a_gradient_to_the_coarse_network_only_if_asked_to(fine_gradient):
    config = dataclasses.replace(PRESETS["paper"], fine_gradient=fine_gradient)

    def total(params):
        return render_rays(cloud(), params, random_rays(3), config).fine.rgb.sum()

    gradient = jax.jit(jax.grad(total))(params_of(config))
    assert (np.abs(gradient["coarse"]) > 1e-4) == fine_gradient
    assert np.abs(gradient["fine"]) > 1e-4


def test_the_field_is_evaluated_at_the_points_and_directions_of_each_ray():
    def echo(params, points, viewdirs, /, *, key=None):
        return FieldOutput(points + 10 * viewdirs, points[..., 0])

    rays, t_vals = random_rays(2), jnp.array([[0.0, 1.0, 2.5], [1.0, 2.0, 3.0]])
    output = evaluate_field_along_rays(RadianceField(None, echo), {}, rays, t_vals, None)
    for n in range(2):
        for i in range(3):
            point = rays.origins[n] + t_vals[n, i] * rays.directions[n]
            np.testing.assert_allclose(output.rgb[n, i], point + 10 * rays.viewdirs[n], atol=1e-5)
            np.testing.assert_allclose(output.density[n, i], point[0], atol=1e-6)


def test_fresh_parameters_are_one_tree_or_two_that_differ(backend, key):
    field = make_field(backend, "mlp", TINY)
    assert set(init_params(field, PRESETS["notebook"], key)) == {"shared"}
    params = init_params(field, PRESETS["paper"], key)
    assert set(params) == {"coarse", "fine"}
    coarse, fine = (jax.tree.leaves(params[name]) for name in ("coarse", "fine"))
    matrices = [(a, b) for a, b in zip(coarse, fine, strict=True) if a.ndim == 2]
    assert all(np.any(a != b) for a, b in matrices)
