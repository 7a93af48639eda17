"""`config.json`: what a run computes, with which versions, on which device."""

from typing import Any

import numpy as np

from nerf.captures.images.size_counts import size_counts
from nerf.config import text
from nerf.geometry.cameras import Cameras
from nerf.jobs.trained_field import TrainedField
from nerf.runs import run_folder
from nerf.runtime import devices
from nerf.scenes.scene import Scene


def run_record(trained: TrainedField, scene: Scene, *, mode: str, seed: int) -> dict[str, Any]:
    """What `config.json` holds.

    Args:
      trained: the field, with or without parameters.
      scene: it is trained or scored on.
      mode: `train`, `evaluate` or `render`.
      seed: of training.
    """
    cameras = scene.cameras
    return {
        "mode": mode,
        "backend": trained.backend,
        "field": trained.field_name,
        "scene": scene.name,
        "source": scene.source,
        "resolution": [cameras.height, cameras.width],
        **_sizes(cameras),
        **_used_pixels(scene),
        **_known_depths(trained, scene),
        "space": scene.space.name,
        "unit_scale": _rounded(scene.unit_scale),
        "bounds": [_rounded(bound) for bound in cameras.bounds.mean(axis=0)],
        "init_from": trained.provenance,
        "seed": seed,
        "precision": trained.precision,
        "config": text.to_json(trained.config),
        "device": run_folder.device_name(),
        "versions": run_folder.versions(),
        "machine": devices.machine(),
        "notes": [_without_path(note, scene) for note in scene.notes],
    }


def _without_path(note: str, scene: Scene) -> str:
    """A note that names the scene's folder by its last part alone: a run folder has no path."""
    if scene.folder is None:
        return note
    for folder in (scene.folder.absolute(), scene.folder.resolve(), scene.folder):
        if folder.name:
            note = note.replace(str(folder), folder.name)
    return note


def _sizes(cameras: Cameras) -> dict[str, Any]:
    """How many views have which width and height; nothing where all views have one size."""
    if cameras.sizes is None:
        return {}
    return {"sizes": size_counts(np.asarray(cameras.sizes)[:, ::-1])}


def _used_pixels(scene: Scene) -> dict[str, Any]:
    """What alpha means, and how many pixels masks leave; None where all are used."""
    images = scene.images
    alpha = "object" if images.is_transparent else "colour" if images.background else "not used"
    return {"alpha": alpha, "used_pixels": None if images.mask is None else images.mask.count}


def _known_depths(trained: TrainedField, scene: Scene) -> dict[str, Any]:
    """The number of known depths of the training views, and their source; empty where they are not
    trained on.
    """
    samples = scene.depth_samples
    if trained.config.train.depth == "off" or samples is None or trained.scene is None:
        return {}
    count = len(samples.of_views(trained.scene.split.train))
    return {"known_depths": {"count": count, "source": samples.source}}


def _rounded(value: Any) -> float:
    """Rounds to few digits, so that every machine finds the same."""
    return float(f"{float(value):.5g}")
