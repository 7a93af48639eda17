"""The NeRF MLP in Haiku; module names and their order are those of the published parameters."""

import haiku as hk
import jax
import jax.numpy as jnp

from nerf.backends import proposal_grid
from nerf.backends.haiku_functions import pure_functions
from nerf.backends.mlp import MLPConfig, activate
from nerf.encoding import encode
from nerf.field import FieldOutput, RadianceField


class LinearReluBlock(hk.Module):
    """A linear layer and a ReLU; the parameter names hold the class's name in snake case."""

    def __init__(self, num_features: int):
        super().__init__()
        self.linear_layer = hk.Linear(num_features)

    def __call__(self, features: jax.Array) -> jax.Array:
        return jax.nn.relu(self.linear_layer(features))


class ColorBlock(hk.Module):
    """The last layer, three raw colour channels."""

    def __init__(self) -> None:
        super().__init__()
        self.linear_layer = hk.Linear(3)

    def __call__(self, features: jax.Array) -> jax.Array:
        return self.linear_layer(features)


def make(config: MLPConfig) -> RadianceField:
    """A `RadianceField` whose parameters are `{module: {"w", "b"}}`."""

    def network(
        points: jax.Array, viewdirs: jax.Array, key: jax.Array | None, dtype: jnp.dtype
    ) -> FieldOutput:
        trunk = [LinearReluBlock(config.width) for _ in range(config.num_layers)]
        density_layer = hk.Linear(1)
        bottleneck_layer = hk.Linear(config.width)
        rgb_hidden_layer = LinearReluBlock(config.rgb_width)
        rgb_layer = ColorBlock()

        encoded_points = encode(points, config.point_encoding).astype(dtype)
        features = encoded_points
        for number, layer in enumerate(trunk, start=1):
            features = layer(features)
            if number == config.skip_layer:
                features = jnp.concatenate([encoded_points, features], axis=-1)
        bottleneck = bottleneck_layer(features)
        raw_density = density_layer(bottleneck if config.density_from == "bottleneck" else features)
        encoded_viewdirs = encode(viewdirs, config.viewdir_encoding).astype(dtype)
        hidden = rgb_hidden_layer(jnp.concatenate([bottleneck, encoded_viewdirs], axis=-1))
        return activate(rgb_layer(hidden), raw_density[..., 0], config, key)

    proposal = proposal_grid.make(config.proposal)
    return RadianceField(*pure_functions(network, config.compute_dtype), proposal=proposal)
