"""Presets by name, and the settings that are fitted to a scene.

The presets of a field stand with the field; here they are found.
"""

import dataclasses

from nerf import field as field_lib
from nerf.backends import proposal_grid
from nerf.backends.mlp import NOTEBOOK as NOTEBOOK
from nerf.backends.mlp import PAPER as PAPER
from nerf.backends.mlp import QUICK as QUICK
from nerf.backends.planes import PLANES as PLANES
from nerf.config.settings import Config
from nerf.errors import UserError
from nerf.field import SceneFacts

_DEFAULT = "notebook"  # of a field that was registered without presets
_SAMPLES_FOR_360 = 64, 32  # of the proposal and of the field
# Rays that end close to an object are short, and a share of even samples finds what is behind.
_SAMPLES_WITH_HULL, _WEIGHT_FLOOR_WITH_HULL = (32, 24), 0.02
_PROPOSAL_WITH_HULL = (64, 64, 64)  # for photographs: rays then end closer to the object
_MOST_FEW_VIEWS = 8  # up to which more regularisation pays, see docs/corrections.md


def all_presets() -> dict[str, Config]:
    """The presets of all registered fields, by name."""
    return {
        name: config for spec in field_lib.specs().values() for name, config in spec.presets.items()
    }


PRESETS = all_presets()  # those of this project's own fields


def preset(name: str) -> Config:
    """The preset called `name`.

    Raises:
      UserError: if there is none of that name.

    >>> preset("paper").render.networks
    'separate'
    """
    known = all_presets()
    if name not in known:
        raise UserError(f"unknown preset {name!r}: choose one of {', '.join(sorted(known))}")
    return known[name]


def presets_of(field: str) -> tuple[str, ...]:
    """The names of the presets of a field; all names for a field registered without presets.

    >>> presets_of("mlp")
    ('notebook', 'paper', 'quick')
    """
    spec = field_lib.spec(field)
    return tuple(all_presets() if spec is None else spec.presets)


def preset_of(field: str, name: str | None = None) -> Config:
    """The preset called `name`, or else the default of a field.

    Args:
      field: the field that it is for; any preset will do for one that was registered without.
      name: a preset's name, or None.

    Raises:
      UserError: if there is none of that name, or it is for another field.

    >>> preset_of("planes").render.networks
    'proposal'
    """
    spec = field_lib.spec(field)
    config = preset(name or (_DEFAULT if spec is None else next(iter(spec.presets))))
    if config.preset not in presets_of(field):
        owner = field_lib.name_of(config.field)
        raise UserError(
            f"preset {config.preset!r} is for the field {owner!r}, not {field!r}: leave out "
            f'`preset`, or add `field="{owner}"`'
        )
    return config


def spans_box(config: Config) -> bool:
    """Whether the field or its proposal spans a box, which `fit` sets to that of the scene."""
    spec = _spec(config)
    return config.render.networks == "proposal" or (spec is not None and spec.spans_box)


def fit(config: Config, facts: SceneFacts) -> Config:
    """A preset's settings for a scene.

    Every field gets the scene's background and the box of its proposal; where cameras look in many
    directions, a ray may meet the scene anywhere, and more samples find out where, unless the
    visual hull says it. A bounded scene has no opacity loss, since its rays may end in nothing.
    Exposure is corrected where it varies, depth is trained on where the capture knows it, and few
    views are said to be few. The rest is the field's own, see `nerf.field.FieldSpec`.

    Args:
      config: of a preset.
      facts: of the scene.
    """
    render = dataclasses.replace(config.render, background=facts.background)
    train, field = config.train, config.field
    if facts.exposure_varies:
        train = dataclasses.replace(train, exposure="on")
    if facts.knows_depth:
        train = dataclasses.replace(train, depth="on")
    if facts.num_views is not None and facts.num_views <= _MOST_FEW_VIEWS:
        train = dataclasses.replace(train, few_views="on")
    if facts.is_bounded:
        train = dataclasses.replace(train, opacity_loss_weight=0.0)
    if facts.box is not None:
        proposal = proposal_grid.fit(field.proposal, facts)
        if facts.has_hull and facts.are_photographs:
            proposal = dataclasses.replace(proposal, resolution=_PROPOSAL_WITH_HULL)
        field = dataclasses.replace(field, proposal=proposal)
        if facts.is_360 and render.networks == "proposal":
            coarse, fine = _SAMPLES_WITH_HULL if facts.has_hull else _SAMPLES_FOR_360
            render = dataclasses.replace(render, num_coarse=coarse, num_fine=fine)
            if facts.has_hull:
                render = dataclasses.replace(render, fine_weight_floor=_WEIGHT_FLOOR_WITH_HULL)
    config = dataclasses.replace(config, field=field, render=render, train=train)
    spec = _spec(config)
    return config if spec is None else spec.fit(config, facts)


def fit_few_views(config: Config, num_views: int) -> Config:
    """Settings with the field's own regularisation for few views, where that is on.

    Args:
      config: fitted to a scene.
      num_views: that are trained on.
    """
    spec = _spec(config)
    if config.train.few_views == "off" or spec is None:
        return config
    return spec.fit_few_views(config, num_views)


def _spec(config: Config) -> field_lib.FieldSpec | None:
    name = field_lib.name_of(config.field)
    return None if name is None else field_lib.spec(name)
