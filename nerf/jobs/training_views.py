"""The training views of a scene, as a step draws from them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nerf.errors import UserError
from nerf.scenes.image_store import ImageStore
from nerf.scenes.kept_pixels import KeptPixels
from nerf.scenes.scene import Scene
from nerf.training.batch import PixelLayout, PixelRuns, TrainingViews


def training_views(scene: Scene, indices: Sequence[int]) -> TrainingViews:
    """The pixels of a scene, which are not copied, and the cameras of some views.

    Args:
      scene: with its images.
      indices: the views to draw from.

    Raises:
      UserError: if their masks leave no pixel.
    """
    images, which = scene.images, np.array(sorted(indices))
    return TrainingViews(
        images.pixels,
        PixelLayout(
            *(x[which].astype(np.int32) for x in (images.offsets, images.heights, images.widths))
        ),
        scene.cameras[which],
        images.background,
        images.is_transparent,
        None if images.kept is None else _runs(images, images.kept, which),
    )


def _runs(images: ImageStore, kept: KeptPixels, which: npt.NDArray[np.int64]) -> PixelRuns:
    """The runs of kept pixels of some views.

    Raises:
      UserError: if there is none.
    """
    counts = images.heights * images.widths
    parts = [kept.within(int(images.offsets[i]), int(images.offsets[i] + counts[i])) for i in which]
    starts = np.concatenate([part.starts for part in parts])
    totals = np.cumsum(np.concatenate([part.ends - part.starts for part in parts]))
    if len(starts) == 0:
        raise UserError(
            'the masks leave no pixel to train on: use all pixels with `masks="ignore"` and '
            '`alpha="ignore"`, or make the masks again'
        )
    return PixelRuns(starts.astype(np.int32), totals.astype(np.int32))
