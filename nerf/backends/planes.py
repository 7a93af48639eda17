"""The field `planes`: settings, preset, and what its implementations share.

Each level has a plane of features across each pair of axes; all planes are in one table. A
point's features on a level are the product of what the three planes hold where the point projects
onto them; those of all levels go through a small MLP. That costs a hundredth of what the layers of
the NeRF MLP do, and a plane's texel learns from the points around it alone.

A point outside the box has the features of the nearest point inside, or no density at all.

Source: the product of planes, Fridovich-Keil et al. 2023 (K-Planes); density by an exponential,
Müller et al. 2022 (Instant NGP).
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from nerf.backends import layouts, proposal_grid
from nerf.backends.interpolation import computed_once_on_cpu, interpolate, num_rows
from nerf.backends.layouts import Layers
from nerf.backends.proposal_grid import density_from_log, is_in_domain, to_unit_cube
from nerf.config.settings import (
    ComputeDtype,
    Config,
    Counts,
    EncodingConfig,
    GridConfig,
    TrainConfig,
    Vector,
    check,
    check_box,
    check_choices,
    renamed,
)
from nerf.encoding import encode
from nerf.field import (
    ArrayName,
    FieldOutput,
    FieldSpec,
    Implementation,
    InitFn,
    Params,
    RadianceField,
    SceneFacts,
    Table,
)

_AXES = [np.array(axes) for axes in ((0, 1), (0, 2), (1, 2))]  # xy, xz, yz
_MAX_TEXELS = 4096  # of a plane, along one axis
# From which longer side on, in pixels, images show finer detail than the settings before can hold.
_LARGE_IMAGE = 126 * 2**0.5
_FOR_LARGE_IMAGES = {"num_levels": 3, "growth": 2.0}
_FOR_PHOTOGRAPHS = {
    "num_levels": 4,
    "growth": 2.0,
    "num_features": 8,
    "resolution": (64, 48, 24),
}
# How much more total variation 3 views take, and 6; in even ratios between them and on to 8.
_VARIATION_OF_3, _VARIATION_OF_6 = 100.0, 10.0
# Of a step, which also moves all planes once; most rays of an object with a hull meet nothing.
_RAYS_FOR_PHOTOGRAPHS, _RAYS_WITH_HULL = 4096, 8192


@dataclasses.dataclass(frozen=True)
class PlanesConfig:
    """Three feature planes per level, multiplied, and a small MLP.

    Attributes:
      viewdir_encoding: of the viewing direction.
      low, high: corners of the box that the planes span, in the space the field lives in; they are
        fitted to the scene.
      outside: of the box, `border` extrapolates the values at its border, `empty` has no density.
      resolution: texels of the coarsest level along x, y and z.
      num_levels, growth: each level has `growth` times the texels of the one before.
      num_features: features of a texel.
      width: of the hidden layers.
      num_geometry_features: features that the density's layers pass to the colour's.
      total_variation_weight: of the planes' total variation in the loss.
      total_variation_every: it is taken at every step of that number, times that number.
      plane_lr_factor: learning rate of the planes, relative to that of the layers.
      compute_dtype: of the layers' products and activations.
      proposal: places the samples.
    """

    viewdir_encoding: EncodingConfig
    low: Vector = (-1.0, -1.0, -1.0)
    high: Vector = (1.0, 1.0, 1.0)
    outside: Literal["border", "empty"] = renamed("border", "beyond")
    resolution: Counts = (48, 36, 24)
    num_levels: int = 2
    growth: float = 2.7
    num_features: int = 16
    width: int = 64
    num_geometry_features: int = renamed(15, "num_handed_on")
    total_variation_weight: float = renamed(1e-4, "smoothness")
    total_variation_every: int = 1
    plane_lr_factor: float = renamed(10.0, "plane_rate")
    compute_dtype: ComputeDtype = "float32"
    proposal: GridConfig = dataclasses.field(default_factory=GridConfig)

    def __post_init__(self) -> None:
        check_choices(self)
        counts = "num_levels", "num_features", "width", "num_geometry_features"
        for name in (*counts, "total_variation_every"):
            check(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        check(min(self.resolution) >= 2, "resolution", self.resolution, ">= 2 on each axis")
        check(self.growth >= 1, "growth", self.growth, ">= 1")
        check(max(self.level(-1)) <= _MAX_TEXELS, "resolution", self.level(-1), "smaller")
        check(
            self.total_variation_weight >= 0,
            "total_variation_weight",
            self.total_variation_weight,
            ">= 0",
        )
        check(self.plane_lr_factor > 0, "plane_lr_factor", self.plane_lr_factor, "> 0")
        check_box(self.low, self.high)

    def level(self, number: int) -> tuple[int, ...]:
        """Texels along x, y and z of a level, counted from 0, or from the last with -1."""
        number %= self.num_levels
        scale = min(self.growth**number, _MAX_TEXELS + 1.0)
        return tuple(round(texels * scale) for texels in self.resolution)


PLANES = Config(
    preset="planes",
    field=PlanesConfig(
        viewdir_encoding=EncodingConfig(2, identity=True, multiply_by_pi=False, order="frequency"),
        total_variation_every=8,
    ),
    render=proposal_grid.SAMPLING,
    train=TrainConfig(
        loss="mean",
        learning_rate=1e-2,
        final_learning_rate=1e-3,
        clip_norm=0.0,
        num_rays=1024,
        num_steps=10_000,
        holdout=16,
        warmup_steps=20,
        adam_b1=0.8,
        adam_b2=0.95,
        adam_eps=1e-15,
        distortion_loss_weight=1.5e-4,
        opacity_loss_weight=0.01,
    ),
)


def fit(config: Config, facts: SceneFacts) -> Config:
    """The scene's box; for larger images finer planes, and more rays a step."""
    field, train = config.field, config.train
    assert isinstance(field, PlanesConfig)
    changes: dict[str, Any] = {}
    if facts.are_photographs:
        changes = _FOR_PHOTOGRAPHS
        num_rays = _RAYS_WITH_HULL if facts.has_hull else _RAYS_FOR_PHOTOGRAPHS
        train = dataclasses.replace(train, num_rays=num_rays)
    elif facts.longer_side > _LARGE_IMAGE:
        changes = _FOR_LARGE_IMAGES
    field = proposal_grid.fit(dataclasses.replace(field, **changes), facts)
    return dataclasses.replace(config, field=field, train=train)


def fit_few_views(config: Config, num_views: int) -> Config:
    """More total variation for fewer views: it fills in smoothly what no view shows."""
    assert isinstance(config.field, PlanesConfig)
    share = (min(max(num_views, 3), 8) - 3) / 3
    factor = _VARIATION_OF_3 * (_VARIATION_OF_6 / _VARIATION_OF_3) ** share
    weight = config.field.total_variation_weight * factor
    return dataclasses.replace(
        config, field=dataclasses.replace(config.field, total_variation_weight=weight)
    )


def planes_shape(config: PlanesConfig) -> tuple[int, int]:
    """`(num_rows, num_features)` of the table that holds all planes."""
    return num_rows(plane_texels(config)), config.num_features


def initial_planes(key: jax.Array, config: PlanesConfig) -> jax.Array:
    """A fresh table `[num_rows, num_features]`.

    Positive, so that a product of three has no sign to find, and not all alike.
    """
    return jax.random.uniform(key, planes_shape(config), minval=0.1, maxval=0.5)


def plane_features(
    rows: jax.Array, points: jax.Array, config: PlanesConfig, total: jax.Array | None = None
) -> jax.Array:
    """The product of the three planes of each level at points.

    Args:
      rows: `[num_rows, num_features]`, the table of all planes.
      points: `[..., 3]`, scene units or NDC.
      config: box and levels.
      total: what the gradient with respect to `rows` is added to, see
        `nerf.backends.interpolation.interpolate`.

    Returns:
      `[..., num_levels * num_features]`, float32.
    """
    unit = computed_once_on_cpu(to_unit_cube(points, config).reshape(-1, 3).T)
    projected = jnp.stack([unit[axes] for axes in _AXES * config.num_levels])
    features = interpolate(
        rows, projected, plane_texels(config), num_factors=len(_AXES), total=total
    )
    return features.reshape(*points.shape[:-1], config.num_levels * config.num_features)


def forward(
    layer: Layers,
    rows: jax.Array,
    points: jax.Array,
    viewdirs: jax.Array,
    config: PlanesConfig,
    dtype: jnp.dtype,
    total: jax.Array | None = None,
) -> FieldOutput:
    """The features of a point, two layers for the density, two for the view-dependent colour.

    Args:
      layer: makes or finds the linear layers.
      rows: the table of all planes.
      points, viewdirs: see `nerf.field.ApplyFn`.
      config: box, levels and sizes.
      dtype: of what the layers read.
      total: see `plane_features`.
    """
    features = plane_features(rows, points, config, total).astype(dtype)
    hidden = jax.nn.relu(layer("density_hidden", config.width)(features))
    output = layer("density", 1 + config.num_geometry_features)(hidden)
    log_density, geometry_features = jnp.split(output, [1], axis=-1)
    encoded_viewdirs = encode(viewdirs, config.viewdir_encoding).astype(dtype)
    hidden = jnp.concatenate([geometry_features, encoded_viewdirs], axis=-1)
    hidden = jax.nn.relu(layer("rgb_hidden", config.width)(hidden))
    return activate(layer("rgb", 3)(hidden), log_density[..., 0], points, config)


def activate(
    raw_rgb: jax.Array, log_density: jax.Array, points: jax.Array, config: PlanesConfig
) -> FieldOutput:
    """Sigmoid and exponential; the density is 0 outside of a box whose border does not extend.

    Args:
      raw_rgb: `[..., 3]`, of any float type.
      log_density: `[...]`, of any float type.
      points: `[..., 3]`, scene units or NDC.
      config: the box.

    Returns:
      float32.
    """
    density = density_from_log(log_density, config)
    rgb = jax.nn.sigmoid(raw_rgb.astype(jnp.float32))
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
    """A gradient that XLA compiles to one loop; that of the differences becomes many."""
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


def radiance_field(
    config: PlanesConfig,
    init: InitFn,
    apply: Callable[..., FieldOutput],
    table: Callable[[Params], jax.Array],
) -> RadianceField:
    """The field from two functions of a backend.

    Args:
      config: settings.
      init, apply: see `RadianceField`; `apply` also takes `total`, see `plane_features`.
      table: finds the planes in the parameters.
    """
    texels = plane_texels(config)

    def penalty(params: Params, /) -> jax.Array:
        planes = jnp.split(table(params), np.cumsum([a * b for a, b in texels])[:-1])
        variation = sum(
            total_variation(plane.reshape(*counts, config.num_features))
            for plane, counts in zip(planes, texels, strict=True)
        )
        return config.total_variation_weight * jnp.asarray(variation)

    def rates(params: Params, /) -> Params:
        rows = table(params)
        return jax.tree.map(lambda leaf: config.plane_lr_factor if leaf is rows else 1.0, params)

    proposal = proposal_grid.make(config.proposal)
    return RadianceField(
        init, apply, penalty, rates, proposal, Table(table, apply), config.total_variation_every
    )


def array_names(num_groups: int) -> Sequence[ArrayName]:
    """The table of planes, and matrix and vector of each layer."""
    del num_groups  # always the same
    return [("planes",), *layouts.linear("density_hidden", "density", "rgb_hidden", "rgb")]


FIELD = FieldSpec(
    config=PlanesConfig,
    presets={PLANES.preset: PLANES},
    implementations={
        "haiku": Implementation("nerf.backends.haiku_planes:make", layouts.haiku),
        "flax": Implementation("nerf.backends.flax_planes:make", layouts.flax),
        "nnx": Implementation("nerf.backends.nnx_planes:make", layouts.nnx),
    },
    fit=fit,
    fit_few_views=fit_few_views,
    spans_box=True,
    array_names=array_names,
    summary="feature planes, which train in minutes on a CPU",
)
