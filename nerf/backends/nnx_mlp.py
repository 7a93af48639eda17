"""The NeRF MLP in Flax's NNX."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from nerf.backends import proposal_grid
from nerf.backends.mlp import MLPConfig, forward
from nerf.backends.nnx_functions import pure_functions
from nerf.field import FieldOutput, RadianceField


class NerfMLP(nnx.Module):
    """See `nerf.backends.mlp.forward`."""

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
        dtype = jnp.dtype(self.config.compute_dtype)
        return forward(
            lambda name, _: getattr(self, name), points, viewdirs, self.config, key, dtype
        )


def make(config: MLPConfig) -> RadianceField:
    """A `RadianceField` whose parameters are `{layer: {"kernel", "bias"}}`."""
    proposal = proposal_grid.make(config.proposal)
    functions = pure_functions(lambda rngs: NerfMLP(config, rngs=rngs))
    return RadianceField(*functions, proposal=proposal)
