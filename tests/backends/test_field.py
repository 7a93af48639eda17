"""Laws of the radiance field on both backends, and its parameter tree."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.backends.convert import convert
from nerf.backends.mlp import standard_normal
from nerf.config import text as config_text
from nerf.config.presets import PRESETS
from nerf.field import FieldOutput, abstract_params, make_field

SMALL = (
    "field.point_encoding.num_frequencies=3",
    "field.viewdir_encoding.num_frequencies=2",
    "field.width=16",
    "field.rgb_width=8",
    "field.skip_layer=2",
    "field.num_layers=3",
)


def small(preset, *assignments):
    """A field small enough to be computed point by point."""
    config = PRESETS[preset]
    for assignment in (*SMALL, *assignments):
        config = config_text.override(config, assignment)
    return config.field


@pytest.fixture(scope="module", autouse=True)
def fast_compilation_options():
    """Most of the time of these tests would go to the compiler."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(params=["notebook", "paper"])
def preset(request):
    return request.param


def random_haiku_tree(config, seed=0):
    """Every array random, the biases too, which fresh parameters leave at zero."""
    rng = np.random.default_rng(seed)
    shapes = abstract_params(make_field("haiku", "mlp", config))

    def draw(leaf):
        scale = (2 / leaf.shape[0]) ** 0.5 if leaf.ndim == 2 else 0.1
        return rng.normal(0.0, scale, leaf.shape).astype(np.float32)

    return jax.tree.map(draw, shapes)


def random_params(backend, config, seed=0):
    return convert({"shared": random_haiku_tree(config, seed)}, "mlp", "haiku", backend)["shared"]


def random_inputs(*shape, seed=1):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1.0, 1.0, (*shape, 3)).astype(np.float32)
    viewdirs = rng.normal(size=(*shape, 3))
    viewdirs /= np.linalg.norm(viewdirs, axis=-1, keepdims=True)
    return jnp.asarray(points), jnp.asarray(viewdirs.astype(np.float32))


def constant_density_params(backend, config, raw_density):
    """The density layer's weights are zero, so that its bias is the raw density everywhere."""
    tree = random_haiku_tree(config)
    tree["linear"] = {
        "w": np.zeros_like(tree["linear"]["w"]),
        "b": np.full(1, raw_density, np.float32),
    }
    return convert({"shared": tree}, "mlp", "haiku", backend)["shared"]


# The contract.


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (2, 1, 4), (0,)])
def test_outputs_have_the_shape_of_the_points_and_their_ranges(backend, preset, shape):
    config = small(preset)
    field = make_field(backend, "mlp", config)
    output = field.apply(random_params(backend, config), *random_inputs(*shape))
    assert isinstance(output, FieldOutput)
    assert output.rgb.shape == (*shape, 3)
    assert output.density.shape == shape
    assert output.rgb.dtype == output.density.dtype == jnp.float32


def test_rgb_lies_in_0_1_and_density_is_not_negative_far_from_the_usual(backend, preset):
    config = small(preset)
    field = make_field(backend, "mlp", config)
    params = jax.tree.map(lambda leaf: 30 * leaf, random_params(backend, config))
    output = field.apply(params, *random_inputs(200))
    assert np.isfinite(output.rgb).all()
    assert np.isfinite(output.density).all()
    assert output.rgb.min() >= 0
    assert output.rgb.max() <= 1
    assert output.density.min() == 0
    assert output.density.max() > 100


def test_each_point_is_evaluated_on_its_own(backend, preset):
    config = small(preset)
    field = make_field(backend, "mlp", config)
    params = random_params(backend, config)
    points, viewdirs = random_inputs(6)
    together = field.apply(params, points, viewdirs)
    reversed_ = field.apply(params, points[::-1], viewdirs[::-1])
    np.testing.assert_allclose(reversed_.rgb[::-1], together.rgb, rtol=1e-5)
    np.testing.assert_allclose(reversed_.density[::-1], together.density, rtol=1e-5, atol=1e-6)
    for i in range(6):
        alone = field.apply(params, points[i], viewdirs[i])
        np.testing.assert_allclose(alone.rgb, together.rgb[i], rtol=1e-5)
        np.testing.assert_allclose(alone.density, together.density[i], rtol=1e-5, atol=1e-6)


def test_density_does_not_depend_on_the_viewing_direction_and_rgb_does(backend, preset):
    config = small(preset)
    field = make_field(backend, "mlp", config)
    params = random_params(backend, config)
    points, viewdirs = random_inputs(20)
    front, back = (field.apply(params, points, sign * viewdirs) for sign in (1.0, -1.0))
    np.testing.assert_array_equal(front.density, back.density)
    assert np.abs(front.rgb - back.rgb).max() > 1e-2


# Density noise.


def test_without_a_key_there_is_no_noise(backend, preset):
    config = small(preset, "field.density_noise=3")
    field = make_field(backend, "mlp", config)
    params, inputs = random_params(backend, config), random_inputs(50)
    quiet = make_field(backend, "mlp", dataclasses.replace(config, density_noise=0.0))
    for _ in range(2):
        np.testing.assert_array_equal(
            field.apply(params, *inputs).density, quiet.apply(params, *inputs).density
        )


def test_a_key_alone_makes_no_noise(backend, key):
    config = small("notebook")
    field = make_field(backend, "mlp", config)
    params, inputs = random_params(backend, config), random_inputs(50)
    np.testing.assert_array_equal(
        field.apply(params, *inputs, key=key).density, field.apply(params, *inputs).density
    )


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_noise_has_its_standard_deviation_and_no_mean(backend, key, noise):
    """Far above zero the ReLU is the identity, so that the noise can be seen whole."""
    config = small("paper", f"field.density_noise={noise}")
    params = constant_density_params(backend, config, raw_density=100.0)
    n = 20_000
    inputs = random_inputs(n)
    output = make_field(backend, "mlp", config).apply(params, *inputs, key=key)
    seen = np.asarray(output.density, np.float64) - 100.0
    assert abs(seen.mean()) < 5 * noise / n**0.5
    assert seen.std() == pytest.approx(noise, rel=5 / (2 * n) ** 0.5)
    assert abs(np.mean((seen / noise) ** 4) - 3.0) < 5 * (96 / n) ** 0.5  # a normal's kurtosis
    assert abs(np.corrcoef(seen[1:], seen[:-1])[0, 1]) < 5 / n**0.5
    np.testing.assert_array_equal(
        output.rgb, make_field(backend, "mlp", config).apply(params, *inputs).rgb
    )


def test_noise_is_added_before_the_activation(backend, key):
    """Around zero the ReLU keeps one half: P(density = 0) = 1/2, mean = noise / sqrt(2 pi)."""
    config = small("paper")
    params = constant_density_params(backend, config, raw_density=0.0)
    n = 20_000
    density = make_field(backend, "mlp", config).apply(params, *random_inputs(n), key=key).density
    assert density.min() == 0
    assert np.mean(density == 0) == pytest.approx(0.5, abs=5 * 0.5 / n**0.5)
    assert np.mean(density) == pytest.approx((2 * np.pi) ** -0.5, abs=5 * 0.6 / n**0.5)


def test_noise_follows_its_key(backend):
    config = small("paper")
    field = make_field(backend, "mlp", config)
    params, inputs = random_params(backend, config), random_inputs(50)
    first, again, other = (
        field.apply(params, *inputs, key=jax.random.key(seed)).density for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.mean(first != other) > 0.4


# Fresh parameters.


def test_fresh_parameters_have_the_announced_shapes_and_follow_their_key(backend, preset):
    field = make_field(backend, "mlp", small(preset))
    first, again, other = (field.init(jax.random.key(seed)) for seed in (0, 0, 1))
    announced = abstract_params(field)
    assert jax.tree.structure(first) == jax.tree.structure(announced)
    for leaf, shape in zip(jax.tree.leaves(first), jax.tree.leaves(announced), strict=True):
        assert (leaf.shape, leaf.dtype) == (shape.shape, jnp.float32)
        assert np.isfinite(leaf).all()
    for a, b, c in zip(*map(jax.tree.leaves, (first, again, other)), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.ndim == 1 or (a != c).all()


PUBLISHED_SHAPES = {
    "linear_relu_block/~/linear": (60, 256),
    "linear_relu_block_1/~/linear": (256, 256),
    "linear_relu_block_2/~/linear": (256, 256),
    "linear_relu_block_3/~/linear": (256, 256),
    "linear_relu_block_4/~/linear": (256, 256),
    "linear_relu_block_5/~/linear": (60 + 256, 256),
    "linear_relu_block_6/~/linear": (256, 256),
    "linear_relu_block_7/~/linear": (256, 256),
    "linear": (256, 1),
    "linear_1": (256, 256),
    "linear_relu_block_8/~/linear": (256 + 24, 128),
    "color_block/~/linear": (128, 3),
}
PAPER_SHAPES = PUBLISHED_SHAPES | {
    "linear_relu_block/~/linear": (63, 256),
    "linear_relu_block_5/~/linear": (63 + 256, 256),
    "linear_relu_block_8/~/linear": (256 + 27, 128),
}


@pytest.mark.parametrize(
    ("preset", "expected"), [("notebook", PUBLISHED_SHAPES), ("paper", PAPER_SHAPES)]
)
def test_the_haiku_tree_has_exactly_the_published_names_and_shapes(preset, expected):
    tree = abstract_params(make_field("haiku", "mlp", PRESETS[preset].field))
    found = {
        name: {leaf: array.shape for leaf, array in module.items()} for name, module in tree.items()
    }
    assert found == {name: {"w": shape, "b": shape[1:]} for name, shape in expected.items()}


@pytest.mark.parametrize(("preset", "expected"), [("notebook", 593_924), ("paper", 595_844)])
def test_the_number_of_parameters_is_that_of_the_published_networks(backend, preset, expected):
    tree = abstract_params(make_field(backend, "mlp", PRESETS[preset].field))
    assert sum(leaf.size for leaf in jax.tree.leaves(tree)) == expected


# A slow oracle, which reads the parameters by their published names.


def encoded(vector, config):
    scale = np.pi if config.multiply_by_pi else 1.0
    frequencies = [scale * 2.0**k for k in range(config.num_frequencies)]
    features = list(vector) if config.identity else []
    if config.order == "coordinate":
        for x in vector:
            for f in frequencies:
                features += [np.sin(f * x), np.cos(f * x)]
    else:
        for f in frequencies:
            features += [np.sin(f * x) for x in vector] + [np.cos(f * x) for x in vector]
    return np.array(features, np.float64)


def mlp_at(tree, point, viewdir, config):
    def linear(name, features):
        w, b = (tree[name][leaf].astype(np.float64) for leaf in "wb")
        return features @ w + b

    def block(number, features):
        name = f"linear_relu_block_{number}" if number else "linear_relu_block"
        return np.maximum(linear(f"{name}/~/linear", features), 0.0)

    position = encoded(point, config.point_encoding)
    features = position
    for number in range(config.num_layers):
        features = block(number, features)
        if number + 1 == config.skip_layer:
            features = np.concatenate([position, features])
    bottleneck = linear("linear_1", features)
    read = {"bottleneck": bottleneck, "trunk": features}[config.density_from]
    raw = linear("linear", read)[0]
    density = {"relu": max(raw, 0.0), "softplus": np.log1p(np.exp(raw))}[config.density_activation]
    direction = encoded(viewdir, config.viewdir_encoding)
    hidden = block(config.num_layers, np.concatenate([bottleneck, direction]))
    rgb = 1.0 / (1.0 + np.exp(-linear("color_block/~/linear", hidden)))
    return rgb, density


def test_the_field_agrees_with_a_slow_one(backend, preset):
    assert_agrees_with_a_slow_one(backend, small(preset))


@pytest.mark.parametrize(
    "switches",
    [
        ("point_encoding.num_frequencies=5", "viewdir_encoding.num_frequencies=1"),
        ("point_encoding.num_frequencies=0", "point_encoding.identity=true"),
        ("point_encoding.identity=true",),
        ("viewdir_encoding.identity=true",),
        ("point_encoding.multiply_by_pi=false",),
        ("viewdir_encoding.multiply_by_pi=false",),
        ("point_encoding.order=frequency",),
        ("viewdir_encoding.order=frequency",),
        ("density_from=trunk",),
        ("density_activation=softplus",),
        ("num_layers=5", "skip_layer=1"),
        ("num_layers=5", "skip_layer=4"),
        ("width=7", "rgb_width=5"),
    ],
    ids=" ".join,
)
def test_the_field_agrees_with_a_slow_one_when_it_is_switched(backend, switches):
    config = small("notebook", *(f"field.{switch}" for switch in switches))
    assert config != small("notebook")
    assert_agrees_with_a_slow_one(backend, config)


def assert_agrees_with_a_slow_one(backend, config):
    tree = random_haiku_tree(config)
    params = convert({"shared": tree}, "mlp", "haiku", backend)["shared"]
    points, viewdirs = random_inputs(12)
    found = make_field(backend, "mlp", config).apply(params, points, viewdirs)
    pairs = zip(np.float64(points), np.float64(viewdirs), strict=True)
    expected = [mlp_at(tree, point, viewdir, config) for point, viewdir in pairs]
    np.testing.assert_allclose(found.rgb, [rgb for rgb, _ in expected], atol=1e-5)
    np.testing.assert_allclose(found.density, [d for _, d in expected], atol=2e-5)
    assert np.ptp(found.density) > 0.1


def test_noise_from_a_key_for_each_point_does_not_depend_on_the_others(key):
    keys = jax.random.split(key, 6)
    together = standard_normal(keys, (6,))
    apart = jnp.stack([standard_normal(one, ()) for one in keys])
    np.testing.assert_array_equal(together, apart)
    np.testing.assert_array_equal(standard_normal(keys.reshape(2, 3), (2, 3)), apart.reshape(2, 3))
    many = np.asarray(standard_normal(jax.random.split(key, 4000), (4000,)))
    assert abs(many.mean()) < 0.06
    assert abs(many.std() - 1.0) < 0.05
    with pytest.raises(AssertionError):
        standard_normal(keys, (5,))
