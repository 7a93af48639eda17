"""The NeRF MLP in Flax's NNX."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from nerf.backends import proposal_grid
from nerf.backends.mlp import MLPConfig, activate
from nerf.backends.nnx_functions import pure_functions
from nerf.encoding import encode
from nerf.field import FieldOutput, RadianceField


class NerfMLP(nnx.Module):
    """Trunk with one skip, density head, bottleneck, view-dependent colour head."""

    def __init__(self, config: MLPConfig, *, rngs: nnx.Rngs):
        linear = partial(nnx.Linear, dtype=jnp.dtype(config.compute_dtype), rngs=rngs)
        num_encoded, width = config.point_encoding.num_features, config.width
        num_inputs = num_encoded
        for number in range(1, config.num_layers + 1):
            setattr(self, f"trunk_{number}", linear(num_inputs, width))
            num_inputs = width + (num_encoded if number == config.skip_layer else 0)
        self.bottleneck = linear(num_inputs, width)
        self.density = linear(width if config.density_from == "bottleneck" else num_inputs, 1)
        num_inputs = width + config.viewdir_encoding.num_features
        self.rgb_hidden = linear(num_inputs, config.rgb_width)
        self.rgb = linear(config.rgb_width, 3)
        self.config = config

    def __call__(
        self, points: jax.Array, viewdirs: jax.Array, key: jax.Array | None = None
    ) -> FieldOutput:
        config = self.config
        dtype = jnp.dtype(config.compute_dtype)
        encoded_points = encode(points, config.point_encoding).astype(dtype)
        features = encoded_points
        for number in range(1, config.num_layers + 1):
            features = nnx.relu(getattr(self, f"trunk_{number}")(features))
            if number == config.skip_layer:
                features = jnp.concatenate([encoded_points, features], axis=-1)
        bottleneck = self.bottleneck(features)
        raw_density = self.density(bottleneck if config.density_from == "bottleneck" else features)
        encoded_viewdirs = encode(viewdirs, config.viewdir_encoding).astype(dtype)
        hidden = jnp.concatenate([bottleneck, encoded_viewdirs], axis=-1)
        raw_rgb = self.rgb(nnx.relu(self.rgb_hidden(hidden)))
        return activate(raw_rgb, raw_density[..., 0], config, key)


def make(config: MLPConfig) -> RadianceField:
    """A `RadianceField` whose parameters are `{layer: {"kernel", "bias"}}`."""
    proposal = proposal_grid.make(config.proposal)
    functions = pure_functions(lambda rngs: NerfMLP(config, rngs=rngs))
    return RadianceField(*functions, proposal=proposal)
