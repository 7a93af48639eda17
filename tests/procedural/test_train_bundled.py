import dataclasses

import jax
import numpy as np
import pytest

from nerf import field
from nerf.backends import convert
from nerf.config import presets
from nerf.config import text as config_text
from nerf.render.rays import init_params
from tools import train_bundled

pytestmark = pytest.mark.slow


def test_wider_encoding_is_the_same_function(backend, key):
    wide = dataclasses.replace(presets.NOTEBOOK.field, width=32, rgb_width=16)
    narrow = config_text.override(
        dataclasses.replace(presets.NOTEBOOK, field=wide), "field.point_encoding.num_frequencies=6"
    )
    params = init_params(field.make_field(backend, "mlp", narrow.field), narrow.render, key)
    widened = train_bundled.widen_params(params, backend, 6, 10)
    wide_field = field.make_field(backend, "mlp", wide)
    assert convert.differences(widened["shared"], field.abstract_params(wide_field)) == []
    points, viewdirs = jax.random.uniform(key, (2, 50, 3), minval=-1.0)
    before = field.make_field(backend, "mlp", narrow.field).apply(
        params["shared"], points, viewdirs
    )
    after = wide_field.apply(widened["shared"], points, viewdirs)
    np.testing.assert_allclose(after.rgb, before.rgb, rtol=1e-5)
    np.testing.assert_allclose(after.density, before.density, rtol=1e-4, atol=1e-6)
