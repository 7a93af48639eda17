"""The field `planes` in Flax's NNX."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from nerf.backends.narrow_product import narrow_dot_general
from nerf.backends.nnx_functions import pure_functions
from nerf.backends.planes import (
    PlanesConfig,
    activate,
    initial_planes,
    plane_features,
    radiance_field,
)
from nerf.encoding import encode
from nerf.field import FieldOutput, RadianceField


class Planes(nnx.Module):
    """The table of planes, the density's layers, the colour's layers."""

    def __init__(self, config: PlanesConfig, *, rngs: nnx.Rngs):
        linear = partial(nnx.Linear, dtype=jnp.dtype(config.compute_dtype), rngs=rngs)
        num_geometry, width = config.num_geometry_features, config.width
        self.planes = nnx.Param(initial_planes(rngs.params(), config))
        self.density_hidden = linear(config.num_levels * config.num_features, width)
        self.density = linear(width, 1 + num_geometry)
        self.rgb_hidden = linear(num_geometry + config.viewdir_encoding.num_features, width)
        self.rgb = linear(width, 3, dot_general=narrow_dot_general)
        self.config = config

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
        features = plane_features(self.planes[...], points, config, total).astype(dtype)
        hidden = nnx.relu(self.density_hidden(features))
        log_density, geometry_features = jnp.split(self.density(hidden), [1], axis=-1)
        encoded_viewdirs = encode(viewdirs, config.viewdir_encoding).astype(dtype)
        hidden = jnp.concatenate([geometry_features, encoded_viewdirs], axis=-1)
        raw_rgb = self.rgb(nnx.relu(self.rgb_hidden(hidden)))
        return activate(raw_rgb, log_density[..., 0], points, config)


def make(config: PlanesConfig) -> RadianceField:
    """A `RadianceField`: `{"planes": rows, layer: {"kernel", "bias"}}`."""
    init, apply = pure_functions(lambda rngs: Planes(config, rngs=rngs))
    return radiance_field(config, init, apply, lambda params: params["planes"])
