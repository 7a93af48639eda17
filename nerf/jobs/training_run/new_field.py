"""A field before its training: checked settings, made in a backend, on a scene."""

import dataclasses
from pathlib import Path

from nerf import field as field_lib
from nerf.config import settings
from nerf.config.settings import Config
from nerf.errors import UserError
from nerf.jobs import load
from nerf.jobs.trained_field import TrainedField
from nerf.runs import parameters
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene
from nerf.scenes.splits import Holdout, find_name


def new_field(
    scene: Scene,
    config: Config | None,
    backend: str,
    field: str | None,
    init_from: TrainedField | None,
    precision: str,
) -> TrainedField:
    """The field before training; its parameters are those of `init_from`, or None.

    Raises:
      UserError: if names are unknown, no view is left to train on, or neither settings nor
        parameters are given.
    """
    if isinstance(init_from, str | Path):
        raise UserError("`init_from` is a trained field: open it with nerf.load_params or load_run")
    if config is None:
        if init_from is None:
            raise UserError("give `config` (see nerf.fit_config) or `init_from`")
        config = init_from.config
    if not isinstance(config, Config):
        raise UserError(f"`config` is a Config, not {config!r}: make one with nerf.fit_config")
    name = field or (init_from.field_name if init_from else field_lib.name_of(config.field))
    if name is None:
        raise UserError("which field these settings are for is not known: give `field`")
    spec = field_lib.spec(name)
    if spec is not None and not isinstance(config.field, spec.config):
        raise UserError(f"these settings are not for the field {name!r}: fit others to the scene")
    if precision not in settings.PRECISIONS:
        known = ", ".join(settings.PRECISIONS)
        raise UserError(f"unknown `precision` {precision!r}: choose one of {known}")
    dtype = settings.compute_dtype(precision)
    config = dataclasses.replace(
        config, field=dataclasses.replace(config.field, compute_dtype=dtype)
    )
    if init_from is not None and init_from.backend != backend:
        init_from = load.in_backend(init_from, backend)
    made = field_lib.make_field(backend, name, config.field)
    if init_from is not None:
        parameters.check(init_from.params, made, config, init_from.origin)
    config = _with_plain_split(config, scene)
    record = SceneRecord.of(scene, Holdout.of(config.train))
    if not record.split.train:
        raise UserError(
            f"the scene {scene.name} has no view to train on: all {scene.num_views} are held out; "
            "hold out fewer, or none with `train.holdout=0`"
        )
    return TrainedField(
        backend=backend,
        field_name=name,
        field=made,
        params=None if init_from is None else init_from.params,
        config=config,
        step=None,
        space=scene.space,
        scene=record,
        scene_name=scene.name,
        source=scene.source,
        provenance=_provenance(init_from),
        origin="from scratch" if init_from is None else init_from.origin,
        precision=precision,
    )


def _with_plain_split(config: Config, scene: Scene) -> Config:
    """The settings of a split in one form, however it was asked for, to compare runs by."""
    names = tuple(find_name(scene.image_names, name) for name in config.train.holdout_views)
    train = dataclasses.replace(
        config.train,
        holdout_views=tuple(scene.image_names[index] for index in sorted(set(names))),
        use_file_split=config.train.use_file_split or scene.given_split is None,
    )
    return dataclasses.replace(config, train=train)


def _provenance(init_from: TrainedField | None) -> str:
    """Where training started, without a path, which would not outlive a move."""
    if init_from is None:
        return "none"
    if init_from.run_dir is not None:
        return f"the run {init_from.run_dir.resolve().name}"
    if init_from.is_pretrained:
        return init_from.provenance
    return f"parameters with the checksum {parameters.checksum(init_from.params):08x}"
