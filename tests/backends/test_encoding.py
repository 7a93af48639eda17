"""Positional encoding against a loop, for each convention."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.config.presets import NOTEBOOK, PAPER
from nerf.encoding import encode, positional_encoding

CONVENTIONS = [
    {"identity": identity, "multiply_by_pi": multiply_by_pi, "order": order}
    for identity, multiply_by_pi, order in itertools.product(
        [False, True], [False, True], ["coordinate", "frequency"]
    )
]
POINT = (0.5, -0.25, 0.9)


def encode_by_loop(point, num_frequencies, *, identity, multiply_by_pi, order):
    scales = [2**k * (math.pi if multiply_by_pi else 1.0) for k in range(num_frequencies)]
    features = list(point) if identity else []
    if order == "coordinate":
        for x in point:
            for scale in scales:
                features += [math.sin(scale * x), math.cos(scale * x)]
    else:
        for scale in scales:
            features += [math.sin(scale * x) for x in point]
            features += [math.cos(scale * x) for x in point]
    return features


def test_the_order_by_coordinate():
    point = jnp.array([1 / 2, 1 / 6])
    found = positional_encoding(point, 2, identity=False, multiply_by_pi=True, order="coordinate")
    root = math.sqrt(3) / 2  # sin and cos of 90, 180, then of 30, 60 degrees
    np.testing.assert_allclose(found, [1, 0, 0, -1, 0.5, root, root, 0.5], atol=1e-6)


def test_the_order_by_frequency():
    point = jnp.array([1 / 2, 1 / 6])
    found = positional_encoding(point, 2, identity=True, multiply_by_pi=True, order="frequency")
    root = math.sqrt(3) / 2
    expected = [1 / 2, 1 / 6, 1, 0.5, 0, root, 0, root, -1, 0.5]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("num_frequencies", [0, 1, 4, 10])
def test_encoding_equals_a_loop(convention, num_frequencies):
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (2, 5, 3)).astype(np.float32)
    found = positional_encoding(jnp.asarray(points), num_frequencies, **convention)
    assert found.shape == (2, 5, 3 * (2 * num_frequencies + convention["identity"]))
    expected = [
        [encode_by_loop(point, num_frequencies, **convention) for point in row]
        for row in points.tolist()
    ]
    # The largest angle is 512 pi, and float32 holds it to 1e-4.
    tolerance = 3e-4 if num_frequencies == 10 else 3e-6
    np.testing.assert_allclose(found, np.reshape(expected, found.shape), atol=tolerance)


@pytest.mark.parametrize(
    ("config", "num_features"),
    [
        (NOTEBOOK.field.point_encoding, 60),
        (NOTEBOOK.field.viewdir_encoding, 24),
        (PAPER.field.point_encoding, 63),
        (PAPER.field.viewdir_encoding, 27),
    ],
)
def test_each_preset_has_the_published_number_of_features(config, num_features):
    assert config.num_features == num_features
    assert encode(jnp.zeros((2, 3)), config).shape == (2, num_features)


def test_encode_passes_every_convention_on():
    point = jnp.array(POINT)
    for config in (NOTEBOOK.field.viewdir_encoding, PAPER.field.viewdir_encoding):
        expected = encode_by_loop(
            POINT,
            4,
            identity=config.identity,
            multiply_by_pi=config.multiply_by_pi,
            order=config.order,
        )
        np.testing.assert_allclose(encode(point, config), expected, atol=3e-6)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_gradient_equals_the_loops_differences(convention):
    found = jax.jacobian(lambda point: positional_encoding(point, 4, **convention))(
        jnp.array(POINT)
    )
    step = 1e-5
    for coordinate in range(3):
        shift = step * np.eye(3)[coordinate]
        above, below = (encode_by_loop(POINT + s, 4, **convention) for s in (shift, -shift))
        slope = (np.array(above) - np.array(below)) / (2 * step)
        np.testing.assert_allclose(found[:, coordinate], slope, atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_encoding_has_the_dtype_of_its_points(dtype, convention):
    assert positional_encoding(jnp.zeros((2, 3), dtype), 4, **convention).dtype == dtype


def test_a_point_without_coordinates_is_refused():
    with pytest.raises(ValueError, match="unpack"):
        encode(jnp.float32(0.5), PAPER.field.point_encoding)


@pytest.mark.parametrize("multiply_by_pi", [True, False])
@pytest.mark.parametrize("num_frequencies", [1, 4, 5, 10, 12])
def test_octaves_by_doubling_are_nearly_those_computed_one_by_one(num_frequencies, multiply_by_pi):
    points = np.random.default_rng(0).uniform(-1, 1, (500, 3)).astype(np.float32)
    found = positional_encoding(
        jnp.asarray(points),
        num_frequencies,
        identity=False,
        multiply_by_pi=multiply_by_pi,
        order="frequency",
    )
    for number in range(num_frequencies):
        scale = np.float32(2**number * (np.pi if multiply_by_pi else 1.0))
        # Doubling starts from an angle that was rounded at its own octave.
        first = 2 ** (number % 4)
        angles = (points * (scale / first)).astype(np.float32).astype(np.float64) * first
        expected = np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)
        part = np.asarray(found)[:, 6 * number : 6 * number + 6]
        np.testing.assert_allclose(part, expected, atol=3e-6)


@pytest.mark.parametrize("order", ["coordinate", "frequency"])
def test_the_slope_is_that_of_sines_and_cosines(order):
    point = jnp.array([0.3, -0.7, 0.11])

    def features(point):
        return positional_encoding(point, 6, identity=True, multiply_by_pi=True, order=order)

    slopes = jax.jacfwd(features)(point)
    np.testing.assert_allclose(slopes, jax.jacrev(features)(point), rtol=1e-6)
    scale = 2.0 ** np.arange(6) * np.pi
    magnitude = np.sort(np.abs(np.asarray(slopes)).sum(axis=-1))
    sines, cosines = (f(scale[:, None] * np.asarray(point, np.float64)) for f in (np.sin, np.cos))
    expected = np.concatenate(
        [np.ones(3), *(scale[:, None] * np.abs(w) for w in (sines, cosines))], axis=None
    )
    np.testing.assert_allclose(magnitude, np.sort(expected), rtol=1e-3, atol=1e-3)
