"""The training views of a scene, as a step draws from them."""

from collections.abc import Sequence

import numpy as np

from nerf.scenes.scene import Scene
from nerf.training.batch import PixelLayout, TrainingViews


def training_views(scene: Scene, indices: Sequence[int]) -> TrainingViews:
    """The pixels of a scene, which are not copied, and the cameras of some views.

    Args:
      scene: with its images.
      indices: the views to draw from.
    """
    images, which = scene.images, np.array(indices)
    return TrainingViews(
        images.pixels,
        PixelLayout(
            *(x[which].astype(np.int32) for x in (images.offsets, images.heights, images.widths))
        ),
        scene.cameras[which],
        images.background,
        images.is_transparent,
    )
