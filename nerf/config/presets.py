"""The presets, which name sets of settings, and what of them follows from a scene."""

import dataclasses
import math
from typing import Any

from nerf.config.settings import (
    Config,
    EncodingConfig,
    FieldConfig,
    GridConfig,
    MLPConfig,
    PlanesConfig,
    RenderConfig,
    TrainConfig,
    Vector,
)
from nerf.errors import UserError

_REFERENCE_SIDE = 126  # pixels, of the pictures that `planes` and `quick` were tuned on
_LEVELS_FOR_LARGE_IMAGES = 3, 2.0  # of planes: how many, and how many times finer each is
_SAMPLES_FOR_360 = 64, 32  # of the proposal and of the field
_CUBIC_RESOLUTION = (40, 40, 40)  # of planes that know no axis of depth, on the coarsest level

_PROPOSED = RenderConfig(
    networks="proposal",
    coarse_t="bins",
    fine_t="intervals",
    fine_weight_floor=3e-3,
    fine_gradient=False,
    last_interval=0.0,
    viewdir_space="world",
    num_coarse=32,
    num_fine=14,
)  # what `quick` and `planes` share

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
    render=_PROPOSED,
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

PLANES = Config(
    preset="planes",
    field=PlanesConfig(
        viewdir_encoding=EncodingConfig(2, identity=True, multiply_by_pi=False, order="frequency"),
    ),
    render=_PROPOSED,
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

PRESETS = {config.preset: config for config in (NOTEBOOK, PAPER, QUICK, PLANES)}
_FIELDS: dict[str, tuple[type[FieldConfig], str]] = {  # its settings, its preset by default
    "mlp": (MLPConfig, "notebook"),
    "planes": (PlanesConfig, "planes"),
}


def preset(name: str) -> Config:
    """The preset called `name`.

    Raises:
      UserError: if there is none of that name.

    >>> preset("paper").render.networks
    'separate'
    """
    if name not in PRESETS:
        raise UserError(f"unknown preset {name!r}: choose one of {', '.join(sorted(PRESETS))}")
    return PRESETS[name]


def presets_of(field: str) -> tuple[str, ...]:
    """The names of the presets that are for a field.

    >>> presets_of("mlp")
    ('notebook', 'paper', 'quick')
    """
    settings, _ = _FIELDS.get(field, (FieldConfig, ""))
    return tuple(name for name, config in PRESETS.items() if isinstance(config.field, settings))


def preset_of(field: str, name: str | None = None) -> Config:
    """The preset called `name`, or else the one that a field has by default.

    Args:
      field: the field that it is for; any preset will do for one that is not of this project.
      name: a preset's name, or None.

    Raises:
      UserError: if there is none of that name, or it is for another field.

    >>> preset_of("planes").render.networks
    'proposal'
    """
    settings, default = _FIELDS.get(field, (FieldConfig, "notebook"))
    config = preset(name or default)
    if not isinstance(config.field, settings):
        owner = next(owner for owner, (cls, _) in _FIELDS.items() if isinstance(config.field, cls))
        raise UserError(
            f"preset {config.preset!r} is for the field {owner!r}, not {field!r}: leave out "
            f'`preset`, or add `field="{owner}"`'
        )
    return config


def uses_box(config: Config) -> bool:
    """Whether the field or its proposal spans a box, which is to be that of the scene."""
    return isinstance(config.field, PlanesConfig) or config.render.networks == "proposal"


def with_box(config: Config, low: Vector, high: Vector) -> Config:
    """The settings for a scene whose rays lie between two corners, in the field's space."""
    proposal = dataclasses.replace(config.field.proposal, low=low, high=high)
    field = dataclasses.replace(config.field, proposal=proposal)
    if isinstance(field, PlanesConfig):
        field = dataclasses.replace(field, low=low, high=high)
    return dataclasses.replace(config, field=field)


def for_image_size(config: Config, longer_side: int) -> Config:
    """The settings for pictures of some size: larger ones show what takes finer planes, or octaves.

    The presets of published conventions stay as they are.

    Args:
      config: of a preset.
      longer_side: of the pictures, in pixels.

    >>> [
    ...     for_image_size(QUICK, n).field.point_encoding.num_frequencies
    ...     for n in (126, 252, 1008)
    ... ]
    [7, 8, 10]
    """
    doublings = round(math.log2(max(longer_side, _REFERENCE_SIDE) / _REFERENCE_SIDE))
    field = config.field
    if isinstance(field, PlanesConfig) and doublings > 0:
        num_levels, growth = _LEVELS_FOR_LARGE_IMAGES
        field = dataclasses.replace(field, num_levels=num_levels, growth=growth)
    elif isinstance(field, MLPConfig) and config.preset == QUICK.preset:
        octaves = field.point_encoding.num_frequencies + doublings
        encoding = dataclasses.replace(field.point_encoding, num_frequencies=octaves)
        field = dataclasses.replace(field, point_encoding=encoding)
    return dataclasses.replace(config, field=field)


def for_360_capture(config: Config, *, is_bounded: bool) -> Config:
    """The settings for cameras that look in many directions: no axis is that of depth.

    Rays then meet the scene anywhere along their way, and more samples find out where.

    Args:
      config: of a field that spans a box, or whose proposal does.
      is_bounded: whether nothing is to be beyond the box.
    """
    even: dict[str, Any] = {
        "outside": "empty" if is_bounded else "border",
        "resolution": _CUBIC_RESOLUTION,
    }
    proposal = dataclasses.replace(config.field.proposal, **even)
    field = dataclasses.replace(config.field, proposal=proposal)
    if isinstance(field, PlanesConfig):
        field = dataclasses.replace(field, **even)
    render = config.render
    if render.networks == "proposal":
        coarse, fine = _SAMPLES_FOR_360
        render = dataclasses.replace(render, num_coarse=coarse, num_fine=fine)
    return dataclasses.replace(config, field=field, render=render)


def without_opacity_loss(config: Config) -> Config:
    """The settings for a scene beside which there is nothing that a ray could end in."""
    return dataclasses.replace(
        config, train=dataclasses.replace(config.train, opacity_loss_weight=0.0)
    )
