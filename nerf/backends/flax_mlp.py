"""The NeRF MLP in Flax (Linen)."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from nerf.backends import proposal_grid
from nerf.backends.flax_functions import pure_functions
from nerf.backends.mlp import MLPConfig, activate
from nerf.encoding import encode
from nerf.field import FieldOutput, RadianceField


class NerfMLP(nn.Module):
    """Trunk with one skip, density head, bottleneck, view-dependent colour head."""

    config: MLPConfig

    @nn.compact
    def __call__(
        self, points: jax.Array, viewdirs: jax.Array, key: jax.Array | None = None
    ) -> FieldOutput:
        config = self.config
        dtype = jnp.dtype(config.compute_dtype)
        dense = partial(nn.Dense, dtype=dtype)
        encoded_points = encode(points, config.point_encoding).astype(dtype)
        features = encoded_points
        for number in range(1, config.num_layers + 1):
            features = nn.relu(dense(config.width, name=f"trunk_{number}")(features))
            if number == config.skip_layer:
                features = jnp.concatenate([encoded_points, features], axis=-1)
        bottleneck = dense(config.width, name="bottleneck")(features)
        raw_density = dense(1, name="density")(
            bottleneck if config.density_from == "bottleneck" else features
        )
        encoded_viewdirs = encode(viewdirs, config.viewdir_encoding).astype(dtype)
        hidden = jnp.concatenate([bottleneck, encoded_viewdirs], axis=-1)
        hidden = nn.relu(dense(config.rgb_width, name="rgb_hidden")(hidden))
        raw_rgb = dense(3, name="rgb")(hidden)
        return activate(raw_rgb, raw_density[..., 0], config, key)


def make(config: MLPConfig) -> RadianceField:
    """A `RadianceField` whose parameters are `{"params": {layer: {"kernel", "bias"}}}`."""
    proposal = proposal_grid.make(config.proposal)
    return RadianceField(*pure_functions(NerfMLP(config)), proposal=proposal)
