"""The NeRF MLP in Flax (Linen)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from nerf.backends import proposal_grid
from nerf.backends.flax_functions import pure_functions
from nerf.backends.mlp import MLPConfig, forward
from nerf.field import FieldOutput, RadianceField


class NerfMLP(nn.Module):
    """See `nerf.backends.mlp.forward`."""

    config: MLPConfig

    @nn.compact
    def __call__(
        self, points: jax.Array, viewdirs: jax.Array, key: jax.Array | None = None
    ) -> FieldOutput:
        dtype = jnp.dtype(self.config.compute_dtype)

        def layer(name: str, num_outputs: int) -> nn.Dense:
            return nn.Dense(num_outputs, dtype=dtype, name=name)

        return forward(layer, points, viewdirs, self.config, key, dtype)


def make(config: MLPConfig) -> RadianceField:
    """A `RadianceField` whose parameters are `{"params": {layer: {"kernel", "bias"}}}`."""
    proposal = proposal_grid.make(config.proposal)
    return RadianceField(*pure_functions(NerfMLP(config)), proposal=proposal)
