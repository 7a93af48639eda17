"""The field `mlp`, the NeRF MLP: settings, presets, and what its implementations share.

Two conventions exist side by side: the one that the published Haiku parameters were trained with
(preset `notebook`), and the one of the paper, bmild/nerf and JaxNeRF (`paper`). Each point on which
they differ is one setting, so that they can be mixed. A third preset, `quick`, has a proposal and
learns in minutes on a CPU.

Source: Mildenhall et al. 2020, section 5 and figure 7.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import chex
import jax
import jax.numpy as jnp

from nerf.backends import layouts, proposal_grid
from nerf.backends.layouts import Layers
from nerf.config.settings import (
    ComputeDtype,
    Config,
    EncodingConfig,
    GridConfig,
    RenderConfig,
    TrainConfig,
    check,
    check_choices,
)
from nerf.encoding import encode
from nerf.field import ArrayName, FieldOutput, FieldSpec, Implementation, SceneFacts, TreePath

_REFERENCE_SIDE = 126  # pixels, the longer side of the images that `quick` was tuned on
_HEADS = ("density", "bottleneck", "rgb_hidden", "rgb")


@dataclasses.dataclass(frozen=True)
class MLPConfig:
    """The NeRF MLP, and the points on which the two conventions differ.

    Attributes:
      point_encoding, viewdir_encoding: of the point and of the viewing direction.
      density_from: what the density layer reads, the trunk's last features or the bottleneck.
      density_noise: standard deviation of the noise that is added to the raw density in training.
      density_activation: of the raw density.
      num_layers, width: of the trunk.
      skip_layer: the encoded point is put in front of this layer's output; layers count from 1.
      rgb_width: of the hidden layer of the colour.
      compute_dtype: of the layers' products and of the activations between them; parameters,
        encoding and outputs are float32 in any case.
      proposal: for `networks="proposal"`.
    """

    point_encoding: EncodingConfig
    viewdir_encoding: EncodingConfig
    density_from: Literal["bottleneck", "trunk"]
    density_noise: float
    density_activation: Literal["relu", "softplus"] = "relu"
    num_layers: int = 8
    width: int = 256
    skip_layer: int = 5
    rgb_width: int = 128
    compute_dtype: ComputeDtype = "float32"
    proposal: GridConfig = dataclasses.field(default_factory=GridConfig)

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("num_layers", "width", "rgb_width"):
            check(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        check(
            1 <= self.skip_layer < self.num_layers,
            "skip_layer",
            self.skip_layer,
            f"from 1 to num_layers - 1 = {self.num_layers - 1}",
        )
        check(self.density_noise >= 0, "density_noise", self.density_noise, ">= 0")


NOTEBOOK = Config(
    preset="notebook",
    field=MLPConfig(
        point_encoding=EncodingConfig(10, identity=False, multiply_by_pi=True, order="coordinate"),
        viewdir_encoding=EncodingConfig(4, identity=False, multiply_by_pi=True, order="coordinate"),
        density_from="bottleneck",
        density_noise=0.0,
    ),
    render=RenderConfig(
        networks="shared",
        coarse_t="linspace",
        fine_t="around_samples",
        fine_weight_floor=1e-7,
        fine_gradient=True,
        last_interval=0.0,
        viewdir_space="ndc",
    ),
    train=TrainConfig(
        loss="sum",
        learning_rate=2e-4,
        final_learning_rate=2e-5,
        clip_norm=1.0,
        num_rays=1024,
        num_steps=150_000,
        holdout=16,
    ),
)

PAPER = Config(
    preset="paper",
    field=MLPConfig(
        point_encoding=EncodingConfig(10, identity=True, multiply_by_pi=False, order="frequency"),
        viewdir_encoding=EncodingConfig(4, identity=True, multiply_by_pi=False, order="frequency"),
        density_from="trunk",
        density_noise=1.0,
    ),
    render=RenderConfig(
        networks="separate",
        coarse_t="bins",
        fine_t="between_samples",
        fine_weight_floor=1e-5,
        fine_gradient=False,
        last_interval=1e10,
        viewdir_space="world",
    ),
    train=TrainConfig(
        loss="mean",
        learning_rate=5e-4,
        final_learning_rate=5e-5,
        clip_norm=0.0,
        num_rays=4096,
        num_steps=200_000,
        holdout=8,
    ),
)

QUICK = Config(  # the MLP with a proposal and few octaves, for minutes on a CPU
    preset="quick",
    field=MLPConfig(
        point_encoding=EncodingConfig(7, identity=True, multiply_by_pi=False, order="frequency"),
        viewdir_encoding=EncodingConfig(4, identity=True, multiply_by_pi=False, order="frequency"),
        density_from="trunk",
        density_noise=0.0,
        density_activation="softplus",
        proposal=GridConfig(lr_factor=30.0),
    ),
    render=proposal_grid.SAMPLING,
    train=TrainConfig(
        loss="mean",
        learning_rate=3e-3,
        final_learning_rate=3e-4,
        clip_norm=0.0,
        num_rays=256,
        num_steps=10_000,
        holdout=16,
        warmup_steps=20,
        adam_b2=0.99,
        adam_eps=1e-15,
        distortion_loss_weight=1.5e-4,
        opacity_loss_weight=0.01,
    ),
)


def fit(config: Config, facts: SceneFacts) -> Config:
    """With a proposal, one octave more for each doubling of the images' size.

    The published conventions, which have none, stay as they are.
    """
    field = config.field
    if config.render.networks != "proposal" or not isinstance(field, MLPConfig):
        return config
    doublings = round(math.log2(max(facts.longer_side, _REFERENCE_SIDE) / _REFERENCE_SIDE))
    octaves = field.point_encoding.num_frequencies + doublings
    encoding = dataclasses.replace(field.point_encoding, num_frequencies=octaves)
    field = dataclasses.replace(field, point_encoding=encoding)
    return dataclasses.replace(config, field=field)


def forward(
    layer: Layers,
    points: jax.Array,
    viewdirs: jax.Array,
    config: MLPConfig,
    key: jax.Array | None,
    dtype: jnp.dtype,
) -> FieldOutput:
    """The network: a trunk with one skip, the density, a bottleneck, the view-dependent colour.

    Args:
      layer: makes or finds the linear layers.
      points, viewdirs, key: see `nerf.field.ApplyFn`.
      config: sizes and conventions.
      dtype: of what the layers read.
    """
    encoded_points = encode(points, config.point_encoding).astype(dtype)
    features = encoded_points
    for number in range(1, config.num_layers + 1):
        features = jax.nn.relu(layer(f"trunk_{number}", config.width)(features))
        if number == config.skip_layer:
            features = jnp.concatenate([encoded_points, features], axis=-1)
    bottleneck = layer("bottleneck", config.width)(features)
    of_density = bottleneck if config.density_from == "bottleneck" else features
    raw_density = layer("density", 1)(of_density)
    encoded_viewdirs = encode(viewdirs, config.viewdir_encoding).astype(dtype)
    hidden = jnp.concatenate([bottleneck, encoded_viewdirs], axis=-1)
    hidden = jax.nn.relu(layer("rgb_hidden", config.rgb_width)(hidden))
    return activate(layer("rgb", 3)(hidden), raw_density[..., 0], config, key)


def activate(
    raw_rgb: jax.Array, raw_density: jax.Array, config: MLPConfig, key: jax.Array | None
) -> FieldOutput:
    """Noise and activations.

    Args:
      raw_rgb: `[..., 3]`, before the sigmoid, of any float type.
      raw_density: `[...]`, before its activation.
      config: which activation, how much noise.
      key: None for no noise, else `[]` or `[...]`.

    Returns:
      float32.
    """
    raw_rgb, raw_density = raw_rgb.astype(jnp.float32), raw_density.astype(jnp.float32)
    if key is not None and config.density_noise > 0:
        raw_density = raw_density + config.density_noise * standard_normal(key, raw_density.shape)
    density = {"relu": jax.nn.relu, "softplus": jax.nn.softplus}[config.density_activation]
    return FieldOutput(jax.nn.sigmoid(raw_rgb), density(raw_density))


def standard_normal(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Normal numbers of mean 0 and deviation 1, for the `key` of `ApplyFn`.

    Args:
      key: `[]`, one for all, or of `shape`, one for each.
      shape: of what is returned.
    """
    if key.ndim == 0:
        return jax.random.normal(key, shape)
    chex.assert_shape(key, shape)
    numbers: jax.Array = jax.vmap(jax.random.normal)(key.reshape(-1))
    return numbers.reshape(shape)


def array_names(num_groups: int) -> Sequence[ArrayName]:
    """Matrix and vector of each layer, under the layers' names in the paper's figure."""
    trunk = (f"trunk_{number}" for number in range(1, num_groups - len(_HEADS) + 1))
    return layouts.linear(*trunk, *_HEADS)


def haiku_layout(names: Sequence[ArrayName]) -> Sequence[TreePath]:
    """The names of the published parameters.

    Haiku numbers modules of one class in the order in which they are made, and the trunk's layers
    and `rgb_hidden` are of one class.
    """
    layers = list(dict.fromkeys(layer for layer, _ in names))
    in_blocks = [layer for layer in layers if layer not in ("density", "bottleneck", "rgb")]
    modules = {"density": "linear", "bottleneck": "linear_1", "rgb": "color_block/~/linear"}
    for number, layer in enumerate(in_blocks):
        modules[layer] = f"linear_relu_block{f'_{number}' if number else ''}/~/linear"
    return layouts.haiku([(modules[layer], array) for layer, array in names])


FIELD = FieldSpec(
    config=MLPConfig,
    presets={config.preset: config for config in (NOTEBOOK, PAPER, QUICK)},
    implementations={
        "haiku": Implementation("nerf.backends.haiku_mlp:make", haiku_layout),
        "flax": Implementation("nerf.backends.flax_mlp:make", layouts.flax),
        "nnx": Implementation("nerf.backends.nnx_mlp:make", layouts.nnx),
    },
    fit=fit,
    array_names=array_names,
    summary="the NeRF MLP; with the preset quick it learns in minutes on a CPU",
)
