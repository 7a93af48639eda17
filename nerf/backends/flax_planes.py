"""Feature planes in Flax (Linen): three planes a level, multiplied, and a small MLP behind them.

Each level has a plane of features across each pair of axes; all planes stand in one table. A
point's features on a level are the product of what the three planes have at its shadows; those of
all levels go through a small MLP. That costs a hundredth of what the layers of the NeRF MLP do, and
a plane's texel learns from the points around it alone.

A point outside the box has the features of the nearest point inside, or no density at all.

Source: the product of planes, Fridovich-Keil et al. 2023 (K-Planes); density by an exponential,
Müller et al. 2022 (Instant NGP).
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from nerf.backends import proposal_grid
from nerf.backends.interpolation import interpolate, num_rows
from nerf.backends.proposal_grid import density_from_log, is_in_domain, to_unit_cube
from nerf.config.settings import PlanesConfig
from nerf.encoding import encode
from nerf.field import FieldOutput, Params, RadianceField

_AXES = [np.array(axes) for axes in ((0, 1), (0, 2), (1, 2))]  # xy, xz, yz


class Planes(nn.Module):
    """Planes of features, the density's layers, the colour's layers."""

    config: PlanesConfig

    @nn.compact
    def __call__(self, points: jax.Array, viewdirs: jax.Array) -> FieldOutput:
        config = self.config
        dtype = jnp.dtype(config.compute_dtype)
        dense = partial(nn.Dense, dtype=dtype)
        texels = plane_texels(config)
        rows = self.param("planes", _near_a_third, (num_rows(texels), config.num_features))
        unit = to_unit_cube(points, config).reshape(-1, 3)
        shadows = jnp.stack([unit[:, axes] for axes in _AXES * config.num_levels], axis=1)
        found = interpolate(rows, shadows, texels)
        found = found.reshape(-1, config.num_levels, len(_AXES), config.num_features)
        num_features = config.num_levels * config.num_features
        features = jnp.prod(found, axis=2).reshape(*points.shape[:-1], num_features).astype(dtype)
        hidden = nn.relu(dense(config.width, name="density_hidden")(features))
        log_density, handed_on = jnp.split(
            dense(1 + config.num_geometry_features, name="density")(hidden), [1], axis=-1
        )
        encoded_viewdirs = encode(viewdirs, config.viewdir_encoding).astype(dtype)
        hidden = jnp.concatenate([handed_on, encoded_viewdirs], axis=-1)
        hidden = nn.relu(dense(config.width, name="rgb_hidden")(hidden))
        raw_rgb = dense(3, name="rgb")(hidden)
        rgb = jax.nn.sigmoid(raw_rgb.astype(jnp.float32))
        density = density_from_log(log_density[..., 0], config)
        return FieldOutput(rgb, jnp.where(is_in_domain(points, config), density, 0.0))


def plane_texels(config: PlanesConfig) -> list[tuple[int, int]]:
    """Texels along both axes of every plane, level by level, in the order of `_AXES`."""
    levels = [config.level(number) for number in range(config.num_levels)]
    return [(texels[a], texels[b]) for texels in levels for a, b in _AXES]


@jax.custom_jvp
def total_variation(plane: jax.Array) -> jax.Array:
    """The mean squared difference of neighbours along both axes of `[rows, columns, features]`.

    It is half of the plane's product with its own gradient, which is what is computed.
    """
    return 0.5 * jnp.vdot(plane, _variation_gradient(plane))


@total_variation.defjvp
def _total_variation_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """XLA makes one loop of this, where it makes many of the differences' own gradients."""
    (plane,), (tangent,) = primals, tangents
    gradient = _variation_gradient(plane)
    return 0.5 * jnp.vdot(plane, gradient), jnp.sum(gradient * tangent)


def _variation_gradient(plane: jax.Array) -> jax.Array:
    rows, columns, num_features = plane.shape
    padded = jnp.pad(plane, ((1, 1), (1, 1), (0, 0)), mode="edge")
    along_rows = 2.0 * plane - padded[:-2, 1:-1] - padded[2:, 1:-1]
    along_columns = 2.0 * plane - padded[1:-1, :-2] - padded[1:-1, 2:]
    num_in_rows, num_in_columns = (rows - 1) * columns, rows * (columns - 1)
    return (2.0 / num_features) * (along_rows / num_in_rows + along_columns / num_in_columns)


def make(config: PlanesConfig) -> RadianceField:
    """A `RadianceField`: `{"params": {"planes": rows, layer: {"kernel", "bias"}}}`."""
    planes, texels = Planes(config), plane_texels(config)
    example = jnp.zeros((1, 3))

    def init(key: jax.Array, /) -> Params:
        return planes.init(key, example, example)

    def apply(
        params: Params,
        points: jax.Array,
        viewdirs: jax.Array,
        /,
        *,
        key: jax.Array | None = None,
    ) -> FieldOutput:
        output = planes.apply(params, points, viewdirs)
        assert isinstance(output, FieldOutput)
        return output

    def penalty(params: Params, /) -> jax.Array:
        rows = params["params"]["planes"]
        planes = jnp.split(rows, np.cumsum([a * b for a, b in texels])[:-1])
        variation = sum(
            total_variation(plane.reshape(*counts, config.num_features))
            for plane, counts in zip(planes, texels, strict=True)
        )
        return config.total_variation_weight * jnp.asarray(variation)

    def rates(params: Params, /) -> Params:
        layers = {name: jax.tree.map(lambda _: 1.0, x) for name, x in params["params"].items()}
        return {"params": {**layers, "planes": config.plane_lr_factor}}

    proposal = proposal_grid.make(config.proposal)
    return RadianceField(init, apply, penalty, rates, proposal)


def _near_a_third(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Positive, so that a product of three has no sign to find, and not all alike."""
    return jax.random.uniform(key, shape, minval=0.1, maxval=0.5)
