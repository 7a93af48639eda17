"""The field `planes` in Flax (Linen)."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from nerf.backends.flax_functions import pure_functions
from nerf.backends.narrow_product import narrow_dot_general
from nerf.backends.planes import (
    PlanesConfig,
    activate,
    initial_planes,
    plane_features,
    radiance_field,
)
from nerf.encoding import encode
from nerf.field import FieldOutput, RadianceField


class Planes(nn.Module):
    """The table of planes, the density's layers, the colour's layers."""

    config: PlanesConfig

    @nn.compact
    def __call__(
        self,
        points: jax.Array,
        viewdirs: jax.Array,
        key: jax.Array | None = None,
        total: jax.Array | None = None,
    ) -> FieldOutput:
        del key  # the density has no noise
        config = self.config
        dtype = jnp.dtype(config.compute_dtype)
        dense = partial(nn.Dense, dtype=dtype)
        rows = self.param("planes", initial_planes, config)
        features = plane_features(rows, points, config, total).astype(dtype)
        hidden = nn.relu(dense(config.width, name="density_hidden")(features))
        log_density, geometry_features = jnp.split(
            dense(1 + config.num_geometry_features, name="density")(hidden), [1], axis=-1
        )
        encoded_viewdirs = encode(viewdirs, config.viewdir_encoding).astype(dtype)
        hidden = jnp.concatenate([geometry_features, encoded_viewdirs], axis=-1)
        hidden = nn.relu(dense(config.width, name="rgb_hidden")(hidden))
        raw_rgb = dense(3, dot_general=narrow_dot_general, name="rgb")(hidden)
        return activate(raw_rgb, log_density[..., 0], points, config)


def make(config: PlanesConfig) -> RadianceField:
    """A `RadianceField`: `{"params": {"planes": rows, layer: {"kernel", "bias"}}}`."""
    init, apply = pure_functions(Planes(config))
    return radiance_field(config, init, apply, lambda params: params["params"]["planes"])
