"""The registry of fields: names, factories, and what is imported when."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf import field as field_lib
from nerf.config.presets import NOTEBOOK
from nerf.errors import UserError
from nerf.field import FieldOutput, RadianceField, make_field, register
from tests.conftest import BACKENDS


def grey_fog(config):
    """A field without parameters, as dense as its settings say `width`."""

    def apply(params, points, viewdirs, /, *, key=None):
        return FieldOutput(jnp.full_like(points, 0.5), jnp.full_like(points[..., 0], config.width))

    return RadianceField(lambda key: {}, apply)


def test_the_known_backends_are_listed():
    assert field_lib.backends() == tuple(sorted(BACKENDS))


def test_an_unknown_backend_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"unknown backend 'torch': .*flax, haiku, nnx$"):
        make_field("torch", "mlp", NOTEBOOK.field)


def test_an_unknown_field_is_refused_with_the_known_ones(backend, own_registry):
    register(backend, "fog", grey_fog)
    register("other", "elsewhere", grey_fog)
    with pytest.raises(UserError, match=rf"'{backend}' has no field 'grid': .* fog, mlp, planes"):
        make_field(backend, "grid", NOTEBOOK.field)


def test_a_registered_callable_is_a_field_like_any_other(own_registry):
    register("other", "fog", grey_fog)
    assert field_lib.backends() == ("flax", "haiku", "nnx", "other")
    field = make_field("other", "fog", NOTEBOOK.field)
    output = field.apply(field.init(jax.random.key(0)), jnp.zeros((2, 3, 3)), jnp.zeros((2, 3, 3)))
    np.testing.assert_array_equal(output.density, np.full((2, 3), 256.0))


def test_a_factory_named_by_a_string_is_imported_when_it_is_asked_for(
    own_registry, tmp_path, monkeypatch
):
    (tmp_path / "fog_backend.py").write_text("def make(config):\n    return ('made', config)\n")
    monkeypatch.syspath_prepend(tmp_path)
    register("fog", "mlp", "fog_backend:make")
    field_lib.check_names("fog", "mlp")
    assert "fog_backend" not in sys.modules
    assert make_field("fog", "mlp", NOTEBOOK.field) == ("made", NOTEBOOK.field)
    assert sys.modules.pop("fog_backend")
