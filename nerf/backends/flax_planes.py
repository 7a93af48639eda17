"""Feature planes in Flax (Linen): three planes a level, multiplied, and a small MLP behind them.

Each level has a plane of features across each pair of axes. A point's features on a level are the
product of what the three planes have at its shadows; those of all levels go through a small MLP.
Looking features up costs a tenth of what the layers of the NeRF MLP do, and a plane's texel learns
from the points around it alone, so training takes a hundredth of the time.

A point outside the box has the features of the nearest point inside.

Source: the product of planes, Fridovich-Keil et al. 2023 (K-Planes), equation 4; density by an
exponential, Müller et al. 2022 (Instant NGP), section 5.4; the proposal, Barron et al. 2022
(mip-NeRF 360), section 3, with a grid in the place of its MLP.
"""

import itertools
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from nerf.config import PlanesConfig
from nerf.encoding import encode
from nerf.field import FieldOutput, Params, Proposal, RadianceField
from nerf.render.interpolation import interpolate

AXES = {"xy": (0, 1), "xz": (0, 2), "yz": (1, 2)}
_MAX_LOG_DENSITY = 11.0  # e^11 over the size of the box is a wall
_LOG_DENSITY_SCALE = 10.0  # of the proposal's grid, whose texels then learn as fast as planes do


class Planes(nn.Module):
    """Planes of features, the density's layers, the colour's layers."""

    config: PlanesConfig

    @nn.compact
    def __call__(self, points: jax.Array, viewdirs: jax.Array) -> FieldOutput:
        config = self.config
        dtype = jnp.dtype(config.compute_dtype)
        dense = partial(nn.Dense, dtype=dtype)
        unit = unit_points(points, config).reshape(-1, 3)
        features = jnp.concatenate(
            [self._level(unit, number) for number in range(config.num_levels)], axis=-1
        )
        features = features.reshape(*points.shape[:-1], -1).astype(dtype)
        hidden = nn.relu(dense(config.width, name="density_hidden")(features))
        log_density, handed_on = jnp.split(
            dense(1 + config.num_handed_on, name="density")(hidden), [1], axis=-1
        )
        encoded_viewdirs = encode(viewdirs, config.viewdir_encoding).astype(dtype)
        hidden = jnp.concatenate([handed_on, encoded_viewdirs], axis=-1)
        hidden = nn.relu(dense(config.width, name="rgb_hidden")(hidden))
        raw_rgb = dense(3, name="rgb")(hidden)
        rgb = jax.nn.sigmoid(raw_rgb.astype(jnp.float32))
        return FieldOutput(rgb, density_of(log_density[..., 0], config))

    def _level(self, unit: jax.Array, number: int) -> jax.Array:
        """The product of three planes at points `[num_points, 3]` of the unit cube."""
        texels = self.config.level(number)
        features = jnp.ones(())
        for name, axes in AXES.items():
            shape = (*(texels[axis] for axis in axes), self.config.num_features)
            plane = self.param(f"{name}_{number}", _near_a_third, shape)
            features = features * interpolate(plane, jnp.stack([unit[:, a] for a in axes], axis=-1))
        return features


class LogDensityGrid(nn.Module):
    """A grid of logarithms of densities, interpolated."""

    config: PlanesConfig

    @nn.compact
    def __call__(self, points: jax.Array) -> jax.Array:
        shape = (*self.config.proposal_resolution, 1)
        grid = self.param("log_density", nn.initializers.zeros_init(), shape)
        unit = unit_points(points, self.config)
        found = interpolate(grid, unit.reshape(-1, 3)).reshape(points.shape[:-1])
        return density_of(_LOG_DENSITY_SCALE * found, self.config)


def unit_points(points: jax.Array, config: PlanesConfig) -> jax.Array:
    """Points `[..., 3]` in the unit cube that the box becomes; those outside move to its border."""
    low, high = jnp.array(config.low), jnp.array(config.high)
    shape = (1,) * (points.ndim - 1) + (3,)
    return jnp.clip((points - low.reshape(shape)) / (high - low).reshape(shape), 0.0, 1.0)


def density_of(log_density: jax.Array, config: PlanesConfig) -> jax.Array:
    """Density per unit of length; 0 is one of which the box is some optical depth of one thick."""
    size = sum(high - low for low, high in zip(config.low, config.high, strict=True)) / 3.0
    return jnp.exp(jnp.minimum(log_density.astype(jnp.float32), _MAX_LOG_DENSITY)) / size


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
    """A `RadianceField`: `{"params": {plane: array, layer: {"kernel", "bias"}}}`."""
    planes, grid = Planes(config), LogDensityGrid(config)
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
        variation = sum(total_variation(params["params"][name]) for name in names)
        return config.smoothness * jnp.asarray(variation)

    def rates(params: Params, /) -> Params:
        layers = {name: jax.tree.map(lambda _: 1.0, x) for name, x in params["params"].items()}
        return {"params": layers | dict.fromkeys(names, config.plane_rate)}

    def init_proposal(key: jax.Array, /) -> Params:
        return grid.init(key, example)

    def propose(params: Params, points: jax.Array, /) -> jax.Array:
        density = grid.apply(params, points)
        assert isinstance(density, jax.Array)
        return density

    def proposal_rates(params: Params, /) -> Params:
        return jax.tree.map(lambda _: config.proposal_rate / _LOG_DENSITY_SCALE, params)

    names = [f"{name}_{n}" for name, n in itertools.product(AXES, range(config.num_levels))]
    proposal = Proposal(init_proposal, propose, proposal_rates)
    return RadianceField(init, apply, penalty, rates, proposal)


def _near_a_third(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Positive, so that a product of three has no sign to find, and not all alike."""
    return jax.random.uniform(key, shape, minval=0.1, maxval=0.5)
