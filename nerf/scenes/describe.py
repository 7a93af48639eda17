"""The lines of `nerf.inspect` about the scene that a field would be trained on."""

from collections.abc import Iterator

from nerf.captures.capture import named_views
from nerf.captures.survey import survey_line
from nerf.scenes.scene import Scene
from nerf.scenes.splits import Holdout, rule_of


def describe_scene(scene: Scene, holdout: int | Holdout) -> Iterator[str]:
    """Lines about the scene that a field would be trained on.

    Args:
      scene: the scene.
      holdout: which views are held out, see `Scene.split`.
    """
    height, width = scene.cameras.height, scene.cameras.width
    asked = Holdout(holdout) if isinstance(holdout, int) else holdout
    split = scene.split(asked)
    background = f", transparent, over {scene.background}" if scene.is_transparent else ""
    yield survey_line("images", f"{width}x{height}{background}")
    near, far = scene.cameras.bounds[:, 0].min(), scene.cameras.bounds[:, 1].max()
    yield survey_line("space", f"{scene.space.name}: {scene.space.description}")
    yield survey_line(
        "scene units",
        f"{scene.unit_scale:.4g} per unit of the files; bounds {near:.3g} to {far:.3g}",
    )
    rule = rule_of(scene.given_split, asked)
    named = f": {named_views(split.test, scene.image_names)}" if split.test else ""
    yield survey_line(
        "split",
        f"{len(split.train)} for training, {len(split.test)} held out ({rule}){named}",
    )
