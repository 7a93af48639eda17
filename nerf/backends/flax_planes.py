"""The field `planes` in Flax (Linen)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from nerf.backends.flax_functions import pure_functions
from nerf.backends.narrow_product import narrow_dot_general
from nerf.backends.planes import (
    PlanesConfig,
    forward,
    initial_planes,
    radiance_field,
)
from nerf.field import FieldOutput, RadianceField


class Planes(nn.Module):
    """The table of planes and the layers, see `nerf.backends.planes.forward`."""

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
        dtype = jnp.dtype(self.config.compute_dtype)

        def layer(name: str, num_outputs: int) -> nn.Dense:
            product = narrow_dot_general if name == "rgb" else None
            return nn.Dense(num_outputs, dtype=dtype, dot_general=product, name=name)

        rows = self.param("planes", initial_planes, self.config)
        return forward(layer, rows, points, viewdirs, self.config, dtype, total)


def make(config: PlanesConfig) -> RadianceField:
    """A `RadianceField`: `{"params": {"planes": rows, layer: {"kernel", "bias"}}}`."""
    init, apply = pure_functions(Planes(config))
    return radiance_field(config, init, apply, lambda params: params["params"]["planes"])
