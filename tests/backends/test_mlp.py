"""Laws of the field `mlp` on every backend: its noise, its tree, and a slow oracle."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.work import equations
from nerf.backends.mlp import standard_normal
from nerf.config.presets import PRESETS
from nerf.field import abstract_params, make_field
from tests.support.fields import drawn_params, in_layout, random_inputs, random_params, small


@pytest.fixture(params=["notebook", "paper"])
def preset(request):
    return request.param


def constant_density_params(backend, config, raw_density):
    """The density layer's weights are zero, so that its bias is the raw density everywhere."""
    params = drawn_params(config)
    layer = params["params"]["density"]
    layer["kernel"] = np.zeros_like(layer["kernel"])
    layer["bias"] = np.full(1, raw_density, np.float32)
    return in_layout(backend, config, params)


def test_space_can_be_empty(backend):
    config = small("notebook")
    params = jax.tree.map(lambda leaf: 30 * leaf, random_params(backend, config))
    density = make_field(backend, "mlp", config).apply(params, *random_inputs(200)).density
    assert density.min() == 0
    assert density.max() > 100


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
    sampled = np.asarray(output.density, np.float64) - 100.0
    assert abs(sampled.mean()) < 5 * noise / n**0.5
    assert sampled.std() == pytest.approx(noise, rel=5 / (2 * n) ** 0.5)
    assert abs(np.mean((sampled / noise) ** 4) - 3.0) < 5 * (96 / n) ** 0.5  # a normal's kurtosis
    assert abs(np.corrcoef(sampled[1:], sampled[:-1])[0, 1]) < 5 / n**0.5
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


# Parameters.


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


@pytest.mark.parametrize("preset", ["notebook", "paper", "quick"])
def test_a_point_goes_through_twelve_layers(backend, preset):
    field = make_field(backend, "mlp", PRESETS[preset].field)
    params = abstract_params(field)
    point = jax.ShapeDtypeStruct((4, 3), jnp.float32)
    closed = jax.make_jaxpr(field.apply)(params, point, point)
    products = [e for e in equations(closed.jaxpr) if e.primitive.name == "dot_general"]
    assert len(products) == 12  # eight of the trunk, bottleneck, density, two of the colour


# A slow oracle.


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


def mlp_at(layers, point, viewdir, config):
    def linear(name, features):
        matrix, vector = (layers[name][leaf].astype(np.float64) for leaf in ("kernel", "bias"))
        return features @ matrix + vector

    position = encoded(point, config.point_encoding)
    features = position
    for number in range(1, config.num_layers + 1):
        features = np.maximum(linear(f"trunk_{number}", features), 0.0)
        if number == config.skip_layer:
            features = np.concatenate([position, features])
    bottleneck = linear("bottleneck", features)
    read = {"bottleneck": bottleneck, "trunk": features}[config.density_from]
    raw = linear("density", read)[0]
    density = {"relu": max(raw, 0.0), "softplus": np.log1p(np.exp(raw))}[config.density_activation]
    direction = encoded(viewdir, config.viewdir_encoding)
    hidden = np.maximum(linear("rgb_hidden", np.concatenate([bottleneck, direction])), 0.0)
    rgb = 1.0 / (1.0 + np.exp(-linear("rgb", hidden)))
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
    drawn = drawn_params(config)
    params = in_layout(backend, config, drawn)
    points, viewdirs = random_inputs(12)
    found = make_field(backend, "mlp", config).apply(params, points, viewdirs)
    pairs = zip(np.float64(points), np.float64(viewdirs), strict=True)
    expected = [mlp_at(drawn["params"], point, viewdir, config) for point, viewdir in pairs]
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
