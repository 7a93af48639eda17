"""What settings are fitted to, read from a scene."""

import jax

from nerf.config.presets import spans_box
from nerf.config.settings import Config, Vector
from nerf.field import SceneFacts
from nerf.jobs.renderers import scene_box
from nerf.scenes.scene import Scene


def scene_facts(scene: Scene, config: Config) -> SceneFacts:
    """What `nerf.config.presets.fit` needs to know.

    Args:
      scene: the scene.
      config: says whether a box is needed, and which rays it has to hold.
    """
    return SceneFacts(
        longer_side=max(scene.cameras.width, scene.cameras.height),
        background=scene.background,
        is_360=not scene.space.has_depth_axis,
        is_bounded=scene.space.is_bounded,
        box=_box(scene, config) if spans_box(config) else None,
    )


def _box(scene: Scene, config: Config) -> tuple[Vector, Vector]:
    if scene.space.box is not None:
        return scene.space.box
    low, high = scene_box(scene, config.render)
    return _rounded(low), _rounded(high)


def _rounded(corner: jax.Array) -> Vector:
    """To so few digits that every device finds the same."""
    x, y, z = (round(float(value), 3) for value in corner)
    return x, y, z
