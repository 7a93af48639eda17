"""Settings for a scene: a preset fitted to the scene's images and cameras, then overrides."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nerf import field as field_lib
from nerf.config import presets, text
from nerf.config.settings import PROPOSAL, Config, Vector
from nerf.errors import UserError
from nerf.field import SceneFacts
from nerf.jobs.training_run.scene_box import scene_box
from nerf.jobs.training_run.views import num_known_depths
from nerf.scenes.scene import Scene
from nerf.scenes.splits import Holdout
from nerf.scenes.visual_hull import hull_box


def fit_config(name: str, scene: Scene, /, **overrides: Any) -> Config:
    """Settings for training a field on a scene.

    Args:
      name: a field (`mlp`, `planes`), which means its default preset, or a preset (`notebook`,
        `paper`, `quick`, `planes`).
      scene: from `nerf.load_scene`; the size of its images, its cameras, its space and its
        background are taken into account.
      **overrides: settings by name, e.g. `num_rays=2048`; where two parts of the settings have the
        name, by the dotted one: `**{"field.width": 128}`.

    Raises:
      UserError: if there is no such field, preset or setting, or a value is out of its range.
    """
    if not isinstance(scene, Scene):
        raise UserError(f"`scene` is a Scene, not {scene!r}: load it with nerf.load_scene")
    config = _named(name)
    return fit_to_scene(config, scene, assignments(config, overrides))


def fit_to_scene(config: Config, scene: Scene, assigned: tuple[str, ...] = ()) -> Config:
    """A preset fitted to a scene, then settings on top, as `nerf.config.text.override` takes them.

    The settings are known before fitting, since some decide whether a box is needed.
    """
    assigned_config = text.override(config, *assigned)
    facts = scene_facts(scene, assigned_config, spans_box=presets.spans_box(assigned_config))
    fitted = text.override(presets.fit(config, facts), *assigned)
    if facts.num_views is not None:
        fitted = presets.fit_few_views(fitted, facts.num_views)
    return text.override(fitted, *assigned)


def scene_facts(scene: Scene, config: Config, *, spans_box: bool) -> SceneFacts:
    """What settings are fitted to.

    Args:
      scene: the scene.
      config: pixel conventions, networks, and which views are held out.
      spans_box: whether the settings need the box of what the cameras see.
    """
    train = scene.split(Holdout.of(config.train)).train
    hull = _hull_box(scene, config) if spans_box else None
    box = hull
    if spans_box and hull is None:
        low, high = scene_box(scene.space, config.render, scene.cameras)
        box = _rounded(np.asarray(low)), _rounded(np.asarray(high))
    return SceneFacts(
        longer_side=int(np.max(scene.cameras.image_sizes)),
        background=scene.background,
        is_360=not scene.space.has_depth_axis,
        is_bounded=scene.space.is_bounded,
        box=box,
        has_hull=hull is not None and config.render.networks == PROPOSAL,
        exposure_varies=scene.exposure_varies,
        knows_depth=num_known_depths(scene, train) > 0,
        num_views=len(train),
    )


def _hull_box(scene: Scene, config: Config) -> tuple[Vector, Vector] | None:
    """The bounding box of the visual hull; None if the scene has no hull."""
    if not scene.has_hull or scene.space.box is None:
        return None
    views = scene.split(Holdout.of(config.train)).train
    are_exact = config.train.poses == "off"
    box = hull_box(scene.cameras, scene.images, views, scene.space.box, are_exact=are_exact)
    if box is None:
        return None
    low, high = (_rounded(np.asarray(corner)) for corner in box)
    return low, high


def assignments(config: Config, overrides: Mapping[str, Any]) -> tuple[str, ...]:
    """Overrides by name as `part.field=value`.

    Raises:
      UserError: if there is no setting of that name, or several.
    """
    parts = {
        part.name: [field.name for field in dataclasses.fields(getattr(config, part.name))]
        for part in dataclasses.fields(config)
        if dataclasses.is_dataclass(getattr(config, part.name))
    }
    assigned = []
    for name, value in overrides.items():
        paths = [f"{part}.{name}" for part, names in parts.items() if name in names]
        if "." in name:
            paths = [name]
        if not paths:
            known = ", ".join(sorted(name for names in parts.values() for name in names))
            raise UserError(f"no setting {name!r}: there are {known}")
        if len(paths) > 1:
            raise UserError(f"several settings are called {name!r}: give one of {', '.join(paths)}")
        plain = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
        shown = plain if isinstance(plain, str) else json.dumps(plain)
        assigned.append(f"{paths[0]}={shown}")
    return text.with_implied(assigned)


def _named(name: str) -> Config:
    """The preset of that name, or the default one of the field of that name."""
    if field_lib.spec(name) is not None:
        return presets.preset_of(name)
    known = presets.all_presets()
    if name not in known:
        names = ", ".join(sorted({*known, *field_lib.specs()}))
        raise UserError(f"no field or preset {name!r}: choose one of {names}")
    return known[name]


def _rounded(corner: npt.NDArray[np.floating]) -> Vector:
    """Rounds to few digits, so that every device finds the same."""
    x, y, z = (round(float(value), 3) for value in corner)
    return x, y, z
