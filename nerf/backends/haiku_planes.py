"""The field `planes` in Haiku."""

import haiku as hk
import jax
import jax.numpy as jnp

from nerf.backends.planes import (
    PlanesConfig,
    activate,
    initial_planes,
    plane_features,
    planes_shape,
    radiance_field,
)
from nerf.encoding import encode
from nerf.field import FieldOutput, Params, RadianceField


def make(config: PlanesConfig) -> RadianceField:
    """A `RadianceField`: `{"~": {"planes": rows}, layer: {"w", "b"}}`."""

    def network(points: jax.Array, viewdirs: jax.Array, dtype: jnp.dtype) -> FieldOutput:
        rows = hk.get_parameter(
            "planes",
            planes_shape(config),
            init=lambda shape, dtype: initial_planes(hk.next_rng_key(), config),
        )
        features = plane_features(rows, points, config).astype(dtype)
        hidden = jax.nn.relu(hk.Linear(config.width, name="density_hidden")(features))
        log_density, geometry_features = jnp.split(
            hk.Linear(1 + config.num_geometry_features, name="density")(hidden), [1], axis=-1
        )
        encoded_viewdirs = encode(viewdirs, config.viewdir_encoding).astype(dtype)
        hidden = jnp.concatenate([geometry_features, encoded_viewdirs], axis=-1)
        hidden = jax.nn.relu(hk.Linear(config.width, name="rgb_hidden")(hidden))
        raw_rgb = hk.Linear(3, name="rgb")(hidden)
        return activate(raw_rgb, log_density[..., 0], points, config)

    transformed: hk.Transformed = hk.without_apply_rng(hk.transform(network))

    def init(key: jax.Array, /) -> Params:
        example = jnp.zeros((1, 3))
        return transformed.init(key, example, example, jnp.dtype("float32"))

    def apply(
        params: Params,
        points: jax.Array,
        viewdirs: jax.Array,
        /,
        *,
        key: jax.Array | None = None,
    ) -> FieldOutput:
        dtype = jnp.dtype(config.compute_dtype)
        layers = {name: layer for name, layer in params.items() if name != "~"}
        layers = jax.tree.map(lambda leaf: leaf.astype(dtype), layers)  # no change for float32
        output = transformed.apply({**layers, "~": params["~"]}, points, viewdirs, dtype)
        assert isinstance(output, FieldOutput)
        return output

    return radiance_field(config, init, apply, lambda params: params["~"]["planes"])
