"""The lines of `nerf.inspect` about the scene that a field would be trained on."""

from collections.abc import Iterator

import numpy as np

from nerf.captures.capture import named_views
from nerf.captures.images.size_counts import sizes_in_words
from nerf.captures.survey import survey_line
from nerf.scenes.scene import Scene
from nerf.scenes.splits import Holdout, describe_rule


def image_sizes(scene: Scene) -> str:
    """The size of the images in words, or the number of each size: `8 of 64x48, 4 of 48x64`."""
    images = scene.images
    return sizes_in_words(np.stack([images.widths, images.heights], axis=-1))


def describe_scene(scene: Scene, holdout: int | Holdout) -> Iterator[str]:
    """Lines about the scene that a field would be trained on.

    Args:
      scene: the scene.
      holdout: which views are held out, see `Scene.split`.
    """
    holdout_rule = Holdout(holdout) if isinstance(holdout, int) else holdout
    split = scene.split(holdout_rule)
    background = f", transparent, over {scene.background}" if scene.is_transparent else ""
    yield survey_line("images", f"{image_sizes(scene)}{background}")
    near, far = scene.cameras.bounds[:, 0].min(), scene.cameras.bounds[:, 1].max()
    yield survey_line("space", f"{scene.space.name}: {scene.space.description}")
    yield survey_line(
        "scene units",
        f"{scene.unit_scale:.4g} per unit of the files; bounds {near:.3g} to {far:.3g}",
    )
    rule = describe_rule(scene.given_split, holdout_rule)
    named = f": {named_views(split.test, scene.image_names)}" if split.test else ""
    yield survey_line(
        "split",
        f"{len(split.train)} for training, {len(split.test)} held out ({rule}){named}",
    )
