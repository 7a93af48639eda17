"""The NeRF MLP in Haiku; module names and their order are those of the published parameters."""

import haiku as hk
import jax
import jax.numpy as jnp

from nerf.backends import proposal_grid
from nerf.backends.haiku_functions import pure_functions
from nerf.backends.mlp import MLPConfig, forward
from nerf.field import FieldOutput, RadianceField


class LinearReluBlock(hk.Module):
    """Holds a layer whose published name begins with this class's name in snake case."""

    def __init__(self, num_features: int):
        super().__init__()
        self.layer = hk.Linear(num_features)


class ColorBlock(hk.Module):
    """Holds the last layer, three raw colour channels, under its published name."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = hk.Linear(3)


def make(config: MLPConfig) -> RadianceField:
    """A `RadianceField` whose parameters are `{module: {"w", "b"}}`."""

    def network(
        points: jax.Array, viewdirs: jax.Array, key: jax.Array | None, dtype: jnp.dtype
    ) -> FieldOutput:
        layers = {  # numbered in this order
            f"trunk_{number}": LinearReluBlock(config.width).layer
            for number in range(1, config.num_layers + 1)
        }
        layers["density"] = hk.Linear(1)
        layers["bottleneck"] = hk.Linear(config.width)
        layers["rgb_hidden"] = LinearReluBlock(config.rgb_width).layer
        layers["rgb"] = ColorBlock().layer
        return forward(lambda name, _: layers[name], points, viewdirs, config, key, dtype)

    proposal = proposal_grid.make(config.proposal)
    return RadianceField(*pure_functions(network, config.compute_dtype), proposal=proposal)
