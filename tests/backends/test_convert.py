"""Parameters from any form to any other: the same bits, and the same training afterwards."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.backends.convert import convert, differences
from nerf.config import text as config_text
from nerf.config.presets import NOTEBOOK, PRESETS
from nerf.config.settings import PROPOSAL
from nerf.errors import UserError
from nerf.field import abstract_params, make_field, name_of, specs
from nerf.geometry.cameras import Cameras
from nerf.geometry.ndc import NDC
from nerf.render.rays import abstract_networks
from nerf.runs import parameters
from nerf.runs.parameters import Header
from nerf.training.batch import sample_batch
from nerf.training.gradient import loss_and_gradient
from nerf.training.state import init_state
from nerf.training.step import make_step
from tests.conftest import BACKENDS
from tests.support.cameras import training_views as views_of
from tests.support.fields import draw, other, small, small_config

pytestmark = pytest.mark.slow

FEW = (
    "render.num_coarse=8",
    "render.num_fine=8",
    "train.num_rays=32",
    "train.num_steps=10",
    "train.learning_rate=0.01",
)


@pytest.fixture(params=["notebook", "paper", "quick", "planes"])
def config(request):
    """A preset with a small field and few samples."""
    return small_config(request.param, *FEW)


@pytest.fixture
def name(config):
    """Of the field."""
    return name_of(config.field)


@pytest.fixture
def haiku_params(name, config):
    """Random arrays, biases too, for every network of the preset; none is empty space."""
    field = make_field("haiku", name, config.field)
    params = draw(abstract_networks(field, config.render))
    for network, tree in params.items():
        if network != PROPOSAL:
            layer = tree["linear" if name == "mlp" else "density"]
            layer["w"] = np.abs(layer["w"])
    return params


def assert_same_bits(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())


def assert_close_in_norm(found, expected, tolerance):
    """Array by array: |found - expected| <= tolerance |expected|, and no array is zero."""
    expected_leaves = jax.tree_util.tree_leaves_with_path(expected)
    for (path, b), a in zip(expected_leaves, jax.tree.leaves(found), strict=True):
        name = jax.tree_util.keystr(path)
        assert np.linalg.norm(b) > 0, name
        assert np.linalg.norm(a - b) <= tolerance * np.linalg.norm(b), name


# Forms.

FORMS = {
    "haiku tree": "haiku",
    "flax tree": "flax",
    "nnx tree": "nnx",
    "published folder": "haiku",
    "haiku file": "haiku",
    "flax file": "flax",
    "nnx file": "nnx",
}


def put(params, form, config, path):
    """Brings parameters, in the layout of `form`, into that form."""
    if form.endswith("tree"):
        return params
    if form == "published folder":
        parameters.save_published(path, params, name_of(config.field), "haiku")
        return path
    path = path.with_suffix(".safetensors")
    header = Header(
        name_of(config.field), FORMS[form], config, "meadow", "photographs", 3, "drawn at random"
    )
    parameters.save(path, params, header)
    return path


def take(thing, form, name, layout):
    if form.endswith("tree"):
        return convert(thing, name, FORMS[form], layout)
    return parameters.load(thing, layout).params


@pytest.mark.parametrize(("first", "second"), list(itertools.product(FORMS, FORMS)))
def test_every_form_becomes_every_other_and_comes_back_to_the_bit(
    first, second, name, config, haiku_params, tmp_path
):
    if PROPOSAL in haiku_params and "published folder" in (first, second):
        with pytest.raises(UserError, match=r"has no place for a proposal|holds the field 'mlp'"):
            parameters.save_published(tmp_path / "folder", haiku_params, name, "haiku")
        assert not (tmp_path / "folder").exists()
        return
    for leaf in jax.tree.leaves(haiku_params):
        leaf.flat[0] = -0.0
        leaf.flat[-1] = 1e-42  # less than the smallest normal number
    start = convert(haiku_params, name, "haiku", FORMS[first])
    there = put(start, first, config, tmp_path / "first")
    then = put(take(there, first, name, FORMS[second]), second, config, tmp_path / "second")
    assert_same_bits(take(then, second, name, "haiku"), haiku_params)
    assert_same_bits(take(then, second, name, FORMS[first]), start)


def test_a_converted_tree_has_the_shapes_of_fresh_parameters(backend, name, config, haiku_params):
    expected = abstract_params(make_field(backend, name, config.field))
    for network, tree in convert(haiku_params, name, "haiku", backend).items():
        if network == PROPOSAL:
            assert_same_bits(tree, haiku_params[network])
            continue
        assert jax.tree.structure(tree) == jax.tree.structure(expected)
        assert differences(tree, expected) == []


def test_every_array_has_one_name_and_each_backend_one_place_for_it(name, config, haiku_params):
    """Which is what makes conversion exact: no array is made, lost, or stored twice."""
    (spec,) = (spec for owner, spec in specs().items() if owner == name)
    (tree, *_) = (tree for network, tree in haiku_params.items() if network != PROPOSAL)
    num_arrays = len(jax.tree.leaves(tree))
    names = spec.array_names(len(tree))
    assert len(set(names)) == num_arrays
    for backend in BACKENDS:
        assert len(set(spec.implementations[backend].layout(names))) == num_arrays


# What all backends do with the same parameters.


def fields(config):
    name = name_of(config.field)
    return {backend: make_field(backend, name, config.field) for backend in BACKENDS}


def test_all_backends_say_the_same_of_a_point(name, config, haiku_params, key):
    points = jax.random.uniform(jax.random.key(1), (50, 3), minval=-1.0)
    viewdirs = points / jnp.linalg.norm(points, axis=-1, keepdims=True)
    for network, tree in haiku_params.items():
        if network == PROPOSAL:
            continue
        for noise_key in (None, key):
            first, *others = (
                jax.jit(field.apply)(
                    convert({"shared": tree}, name, "haiku", backend)["shared"],
                    points,
                    viewdirs,
                    key=noise_key,
                )
                for backend, field in fields(config).items()
            )
            assert len(others) == len(BACKENDS) - 1
            for other_output in others:
                np.testing.assert_allclose(other_output.rgb, first.rgb, rtol=1e-5)
                np.testing.assert_allclose(
                    other_output.density, first.density, rtol=1e-5, atol=1e-6
                )
            assert np.ptp(first.density) > 0.1


def training_views():
    """Three views of a smooth image; numbers repeat from call to call."""
    v, u = np.mgrid[0:1:6j, 0:1:8j]
    images = [np.stack([u, v, 0.5 + 0.4 * np.sin(3 * u + i)], axis=-1) for i in range(3)]
    matrices = np.tile(np.eye(3, 4), (3, 1, 1))
    matrices[:, 0, 3] = [-0.1, 0.0, 0.1]
    cameras = Cameras.pinhole(matrices, focal=8.0, height=6, width=8, near=1.3, far=8.0)
    return views_of(np.asarray(images), cameras)


SPACE = NDC.of_views(focal=8.0, height=6, width=8)


def test_all_backends_have_the_same_loss_and_gradient(name, config, haiku_params, key):
    batch = sample_batch(key, training_views(), num_rays=32, space=SPACE, config=config.render)
    results = {}
    for backend, field in fields(config).items():
        params = convert(haiku_params, name, "haiku", backend)
        loss, found_losses, gradient = jax.jit(
            lambda params, field=field: loss_and_gradient(field, params, batch, config, 16)
        )(params)
        results[backend] = (loss, found_losses, convert(gradient, name, backend, "haiku"))
    haiku = results.pop("haiku")
    assert len(results) == len(BACKENDS) - 1
    for found in results.values():
        np.testing.assert_allclose(found[0], haiku[0], rtol=1e-4)
        for ours, theirs in zip(found[1], haiku[1], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4)
        assert_close_in_norm(found[2], haiku[2], tolerance=1e-4)


@pytest.mark.slow
def test_ten_steps_of_any_backend_lead_to_the_same_parameters(name, config, haiku_params, key):
    views = training_views()
    ends = {}
    for backend, field in fields(config).items():
        params = jax.tree.map(jnp.array, convert(haiku_params, name, "haiku", backend))
        state = init_state(field, config, key, params)
        step = make_step(field, config, views, space=SPACE, rays_per_microbatch=16)
        losses = []
        for _ in range(10):
            state, metrics = step(state)
            losses.append(float(metrics.loss))
        assert int(state.step) == 10
        ends[backend] = (convert(jax.device_get(state.params), name, backend, "haiku"), losses)
    for backend in BACKENDS[1:]:
        assert_close_in_norm(ends[backend][0], ends["haiku"][0], tolerance=1e-3)
        np.testing.assert_allclose(ends[backend][1], ends["haiku"][1], rtol=1e-3)
    moved = jax.tree.map(
        lambda a, b: np.linalg.norm(a - b) / np.linalg.norm(b), ends["haiku"][0], haiku_params
    )
    assert min(jax.tree.leaves(moved)) > 0.02  # far more than the tolerance


# Refusals.


def refusal(function, *arguments):
    with pytest.raises(UserError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("names", [("haiku", "torch"), ("torch", "flax")])
def test_an_unknown_layout_is_refused_with_the_known_ones(names, name, haiku_params):
    message = refusal(convert, haiku_params, name, *names)
    expected = f"unknown parameter layout 'torch' of the field '{name}': there are flax, haiku, nnx"
    assert message == expected


def test_an_unknown_field_is_not_converted(haiku_params):
    message = refusal(convert, haiku_params, "fog", "haiku", "flax")
    assert message == "unknown parameter layout 'haiku' of the field 'fog': there are none"


def test_the_other_backends_tree_is_refused(backend, name, haiku_params):
    params = convert(haiku_params, name, "haiku", backend)
    for wrong in set(BACKENDS) - {backend}:
        assert f"in the {wrong} layout" in refusal(convert, params, name, wrong, backend)


def test_another_fields_tree_is_refused(backend):
    for name, wrong in (("mlp", "planes"), ("planes", "mlp")):
        config = small({"mlp": "notebook", "planes": "planes"}[name])
        params = {"shared": abstract_params(make_field(backend, name, config))}
        message = refusal(convert, params, wrong, backend, other(backend))
        assert f"not those of the field '{wrong}' in the {backend} layout" in message


BOTTLENECK = {"haiku": "linear_1", "flax": "bottleneck", "nnx": "bottleneck"}


@pytest.mark.parametrize("where", ["layer", "array"])
@pytest.mark.parametrize("what", ["missing", "unexpected"])
def test_a_tree_with_a_part_too_few_or_too_many_is_not_converted(backend, where, what):
    source = make_field(backend, "mlp", NOTEBOOK.field)
    params = {"shared": jax.tree.map(lambda leaf: leaf, abstract_params(source))}
    layers = params["shared"]["params"] if backend == "flax" else params["shared"]
    layer = BOTTLENECK[backend]
    node, part = (layers, layer) if where == "layer" else (layers[layer], sorted(layers[layer])[0])
    if what == "missing":
        del node[part]
    else:
        part = "another"
        node[part] = node[next(iter(node))]
    message = refusal(convert, params, "mlp", backend, other(backend))
    assert f"not those of the field 'mlp' in the {backend} layout: " in message
    if (what, where) != ("missing", "layer"):  # which changes the number of layers
        assert re.search(rf"{what} [^,]*\b{part}\b", message)


def test_a_second_collection_of_variables_is_not_lost_in_silence():
    tree = abstract_params(make_field("flax", "mlp", NOTEBOOK.field))
    params = {"shared": {**tree, "batch_stats": {"mean": np.zeros(3, np.float32)}}}
    assert "unexpected batch_stats/mean" in refusal(convert, params, "mlp", "flax", "haiku")


def test_differences_are_listed_array_by_array():
    def struct(*shape, dtype="float32"):
        return jax.ShapeDtypeStruct(shape, dtype)

    expected = {
        "a": {"w": struct(2, 3), "b": struct(3)},
        "c": {"w": struct(3, 1), "b": struct(1)},
        "d": struct(),
    }
    found = {
        "a": {"w": struct(2, 4), "b": struct(3)},
        "c": {"b": struct(1, dtype="float16"), "u": struct(1)},
        "d": struct(1),
    }
    assert differences(expected, expected) == []
    assert differences(found, expected) == [
        "c/w: missing",
        "c/u: unexpected",
        "a/w: 2x4 where 2x3 is needed",
        "c/b: float16 where float32 is needed",
        "d: 1 where scalar is needed",
    ]


def test_parameters_of_another_shape_are_refused_with_all_that_differs(backend):
    smaller = config_text.override(NOTEBOOK, "field.rgb_width=64")
    shapes = abstract_params(make_field(backend, "mlp", smaller.field))
    field = make_field(backend, "mlp", NOTEBOOK.field)
    message = refusal(parameters.check, {"shared": shapes}, field, NOTEBOOK, "the file")
    assert message.startswith("not what the field of preset 'notebook' needs, in the file: ")
    assert sorted(
        part.split(": ")[1] for part in message.split("in the file: ")[1].split("; ")
    ) == ["280x64 where 280x128 is needed", "64 where 128 is needed", "64x3 where 128x3 is needed"]


def test_parameters_of_other_networks_are_refused(backend):
    field = make_field(backend, "mlp", NOTEBOOK.field)
    shapes = abstract_params(field)
    parameters.check({"shared": shapes}, field, NOTEBOOK, "the file")
    message = refusal(
        parameters.check, {"coarse": shapes, "fine": shapes}, field, NOTEBOOK, "the file"
    )
    assert "found the networks coarse, fine in the file" in message
    assert "networks=shared needs shared" in message


def test_the_second_network_is_checked_as_the_first_is(backend):
    config = PRESETS["paper"]
    field = make_field(backend, "mlp", config.field)
    good = abstract_params(field)
    bad = abstract_params(make_field(backend, "mlp", NOTEBOOK.field))
    parameters.check({"coarse": good, "fine": good}, field, config, "the file")
    for params in ({"coarse": good, "fine": bad}, {"coarse": bad, "fine": good}):
        assert "60x256 where 63x256" in refusal(parameters.check, params, field, config, "it")
