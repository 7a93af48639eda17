"""The field `planes` in Flax's NNX."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from nerf.backends.narrow_product import narrow_dot_general
from nerf.backends.nnx_functions import pure_functions
from nerf.backends.planes import (
    PlanesConfig,
    forward,
    initial_planes,
    radiance_field,
)
from nerf.field import FieldOutput, RadianceField


class Planes(nnx.Module):
    """The table of planes and the layers, see `nerf.backends.planes.forward`."""

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
        config, dtype = self.config, jnp.dtype(self.config.compute_dtype)
        return forward(
            lambda name, _: getattr(self, name),
            self.planes[...],
            points,
            viewdirs,
            config,
            dtype,
            total,
        )


def make(config: PlanesConfig) -> RadianceField:
    """A `RadianceField`: `{"planes": rows, layer: {"kernel", "bias"}}`."""
    init, apply = pure_functions(lambda rngs: Planes(config, rngs=rngs))
    return radiance_field(config, init, apply, lambda params: params["planes"])
