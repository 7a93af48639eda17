"""A field of a user's own: one file and one call, and all of the program serves it."""

import dataclasses
import json
import sys

import jax
import numpy as np
import pytest

import nerf
from nerf.backends.convert import convert
from nerf.config.presets import presets_of
from nerf.config.text import from_json, override, to_json
from nerf.errors import UserError
from nerf.field import make_field, name_of, register, register_field, spec
from nerf.runs import parameters
from tests.support.command_line import call, call_successfully, scores

pytestmark = pytest.mark.slow

FILE = '''
"""Fog: one colour and one density everywhere."""

import dataclasses

import jax
import jax.numpy as jnp

from nerf.backends.mlp import NOTEBOOK
from nerf.config.settings import ComputeDtype, GridConfig
from nerf.field import FieldOutput, FieldSpec, Implementation, RadianceField


@dataclasses.dataclass(frozen=True)
class FogConfig:
    density: float = 1.0
    num_pixels: int = 0
    compute_dtype: ComputeDtype = "float32"
    proposal: GridConfig = dataclasses.field(default_factory=GridConfig)


def field_of(arrays, tree):
    def make(config):
        def init(key):
            return tree(jax.random.normal(key, (3,)), jnp.log(config.density))

        def apply(params, points, viewdirs, /, *, key=None):
            raw_rgb, log_density = arrays(params)
            rgb = jax.nn.sigmoid(raw_rgb.reshape((1,) * (points.ndim - 1) + (3,)))
            density = jnp.full(points.shape[:-1], jnp.exp(log_density))
            return FieldOutput(jnp.broadcast_to(rgb, points.shape), density)

        return RadianceField(init, apply)

    return make


def fit(config, facts):
    field = dataclasses.replace(config.field, num_pixels=facts.longer_side)
    return dataclasses.replace(config, field=field)


FLAT = {"rgb": ("rgb",), "density": ("density",)}
DEEP = {"rgb": ("look", "of", "rgb"), "density": ("look", "density")}
FIELD = FieldSpec(
    config=FogConfig,
    presets={
        name: dataclasses.replace(NOTEBOOK, preset=name, field=FogConfig(density))
        for name, density in (("mist", 0.5), ("cloud", 5.0))
    },
    implementations={
        "flat": Implementation(
            field_of(
                lambda params: (params["rgb"], params["density"]),
                lambda rgb, density: {"rgb": rgb, "density": density},
            ),
            lambda names: [FLAT[name] for name, in names],
        ),
        "deep": Implementation(
            field_of(
                lambda params: (params["look"]["of"]["rgb"], params["look"]["density"]),
                lambda rgb, density: {"look": {"of": {"rgb": rgb}, "density": density}},
            ),
            lambda names: [DEEP[name] for name, in names],
        ),
    },
    fit=fit,
    array_names=lambda num_groups: [("rgb",), ("density",)],
)
'''


@pytest.fixture
def fog(own_registry, tmp_path, monkeypatch):
    """The field is a file in a folder, and registered by a string."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own_fog.py").write_text(FILE)
    monkeypatch.syspath_prepend(folder)
    register_field("fog", "own_fog:FIELD")
    yield spec("fog")
    del sys.modules["own_fog"]


def train_flags(scene, run_dir, backend, *more):
    return (
        *("--mode=train", "--field=fog", f"--backend={backend}", f"--scene={scene}"),
        *(f"--run_dir={run_dir}", "--steps=8", "--rays=16", "--lr=0.1", "--video_frames=0"),
        *("--set=render.num_coarse=4", "--set=render.num_fine=4", "--eval_every=0", *more),
    )


def arrays(run_dir, backend):
    return jax.tree.leaves(
        convert(parameters.load(run_dir, backend).params, "fog", backend, "flat")
    )


def test_it_trains_stops_resumes_elsewhere_and_is_scored(fog, scene, tmp_path):
    whole, half, there = (tmp_path / name for name in ("whole", "half", "there"))
    out = call_successfully(*train_flags(scene, whole, "flat", "--set=field.density=2"))
    assert "flat, field fog, preset mist, 4 parameters" in out
    record = json.loads((whole / "config.json").read_text())
    assert (record["field"], record["config"]["field"]["density"]) == ("fog", 2.0)
    assert record["config"]["field"]["num_pixels"] == 16  # what the field's own `fit` sets
    loaded = parameters.load(whole, "flat")
    assert loaded.header.config == from_json(record["config"], "fog")
    assert type(loaded.header.config.field) is fog.config

    stop = ("--set=field.density=2", "--stop_at=4")
    assert "stopped at step 4 of 8" in call_successfully(*train_flags(scene, half, "flat", *stop))
    elsewhere = ("--set=field.density=2", f"--init_from={half}")
    assert "step 4" in call_successfully(*train_flags(scene, there, "deep", *elsewhere))
    assert "step 4" in call_successfully(*train_flags(scene, half, "flat", "--set=field.density=2"))
    for run_dir, backend in ((half, "flat"), (there, "deep")):  # Adam's moments go along
        for ours, theirs in zip(arrays(run_dir, backend), arrays(whole, "flat"), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)
        assert scores(run_dir)["psnr"] == pytest.approx(scores(whole)["psnr"], abs=1e-4)
    ended = call(*train_flags(scene, whole, "flat", "--set=field.density=3"))
    assert "field.density was 2.0 and is now 3.0" in ended.err


def test_the_main_functions_serve_it_too(fog, scene, tmp_path):
    loaded_scene = nerf.load_scene(scene)
    few = {"num_coarse": 4, "num_fine": 4, "num_rays": 16, "num_steps": 2}
    config = nerf.fit_config("cloud", loaded_scene, density=3.0, **few)
    assert nerf.fit_config("fog", loaded_scene).preset == "mist"
    trained = nerf.train(loaded_scene, config, backend="flat")
    image = nerf.render_view(trained, loaded_scene.view(0))
    nerf.save_params(tmp_path / "fog.safetensors", trained)
    again = nerf.load_params(tmp_path / "fog.safetensors", loaded_scene, backend="deep")
    assert (again.field_name, again.config) == ("fog", config)
    np.testing.assert_allclose(
        nerf.render_view(again, loaded_scene.view(0)).rgb, image.rgb, atol=1e-6
    )


def test_its_parameters_keep_their_nesting_in_a_file(fog, scene, tmp_path):
    for backend, structure in (
        ("flat", {"shared": {"rgb": 0, "density": 0}}),
        ("deep", {"shared": {"look": {"of": {"rgb": 0}, "density": 0}}}),
    ):
        config = fog.presets["cloud"]
        params = {"shared": make_field(backend, "fog", config.field).init(jax.random.key(0))}
        header = parameters.Header("fog", backend, config, "meadow", "photographs", 0, "fresh")
        parameters.save(tmp_path / "fog.safetensors", jax.device_get(params), header)
        loaded = parameters.load(tmp_path / "fog.safetensors", backend)
        assert loaded.header == header
        assert jax.tree.structure(loaded.params) == jax.tree.structure(structure)
        jax.tree.map(np.testing.assert_array_equal, loaded.params, params)
        with pytest.raises(UserError, match="unknown parameter layout 'nnx' of the field 'fog'"):
            parameters.load(tmp_path / "fog.safetensors", "nnx")


def test_its_settings_are_found_by_name_and_by_what_they_hold(fog):
    config = override(fog.presets["mist"], "field.density=3", "train.num_rays=7")
    assert (config.field.density, config.train.num_rays) == (3.0, 7)
    assert name_of(config.field) == "fog"
    assert presets_of("fog") == ("mist", "cloud")
    for field in ("fog", None):
        assert from_json(to_json(config), field) == config
    with pytest.raises(UserError, match="no setting 'colour'; there are density, num_pixels"):
        override(config, "field.colour=1")


def test_the_name_decides_between_fields_with_the_same_settings(fog):
    @dataclasses.dataclass(frozen=True)
    class TwinConfig(fog.config):
        pass

    register_field("twin", dataclasses.replace(fog, config=TwinConfig, presets={}))
    values = to_json(fog.presets["mist"])
    assert type(from_json(values, "twin").field) is TwinConfig
    assert type(from_json(values, "fog").field) is fog.config


def test_another_backend_of_a_known_field_is_one_call(own_registry, scene, tmp_path):
    """Parameters go to it and from it, since it says where it keeps them."""

    def make(config):
        made = make_field("nnx", "mlp", config)

        def apply(params, points, viewdirs, /, *, key=None):
            return made.apply(params["network"], points, viewdirs, key=key)

        return made._replace(init=lambda key: {"network": made.init(key)}, apply=apply)

    def layout(names):
        nnx = spec("mlp").implementations["nnx"].layout
        return [("network", *path) for path in nnx(names)]

    register("mine", "mlp", make, layout)
    tiny = ("--set=field.width=8", "--set=field.rgb_width=8", "--rays=16", "--video_frames=0")
    few = ("--set=render.num_coarse=4", "--set=render.num_fine=4")
    flags = ("--mode=train", "--backend=mine", f"--scene={scene}", "--steps=2", *tiny, *few)
    call_successfully(*flags, f"--run_dir={tmp_path / 'mine'}")
    evaluate = (f"--init_from={tmp_path / 'mine'}", "--backend=haiku", f"--scene={scene}")
    call_successfully(*evaluate, f"--run_dir={tmp_path / 'haiku'}", "--video_frames=0")
    before, after = (scores(tmp_path / name)["psnr"] for name in ("mine", "haiku"))
    assert after == pytest.approx(before, abs=1e-3)
