"""The training views of a scene, as a step draws from them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nerf.config import presets
from nerf.config.settings import Config, TrainConfig
from nerf.errors import UserError
from nerf.runtime import processes
from nerf.scenes.image_store import ImageStore
from nerf.scenes.pixel_mask import PixelMask
from nerf.scenes.scene import Scene
from nerf.training.batch import (
    PixelLayout,
    PixelRuns,
    PixelShare,
    TrainingViews,
    pixels_of_strata,
)
from nerf.training.depth_batch import DepthTable


def training_views(scene: Scene, indices: Sequence[int], *, num_strata: int = 1) -> TrainingViews:
    """The pixels of a scene, which are not copied, and the cameras of some views.

    Args:
      scene: with its images. Where it has none, since each process of a job reads its own, these
        are read now.
      indices: the views to draw from.
      num_strata: in how many strata pixels are drawn where each process reads its own, see
        `nerf.training.batch.draw_pixels`; a multiple of the number of processes.

    Raises:
      UserError: if their masks leave no pixel, or an image cannot be read.
    """
    images, view_indices = scene.images, np.array(sorted(indices))
    if images.read is not None:
        return _views_of_process(scene, view_indices, num_strata)
    return TrainingViews(
        images.pixels,
        PixelLayout(
            *(
                x[view_indices].astype(np.int32)
                for x in (images.offsets, images.heights, images.widths)
            )
        ),
        scene.cameras[view_indices],
        images.background,
        images.is_transparent,
        None if images.mask is None else _pixel_runs(images, images.mask, view_indices),
        depth_table(scene, view_indices),
    )


def _views_of_process(
    scene: Scene, view_indices: npt.NDArray[np.int64], num_strata: int
) -> TrainingViews:
    """The training views with the pixels that this process of a job draws from."""
    images = scene.images
    assert images.read is not None
    heights, widths = images.heights[view_indices], images.widths[view_indices]
    ends = np.cumsum(heights * widths)
    offsets = ends - heights * widths
    own = range(processes.index(), processes.index() + 2)
    first, end = (number * num_strata // processes.count() for number in own)
    first_pixel, end_pixel = pixels_of_strata(first, end, num_strata, int(ends[-1]))
    first_view, last_view = np.searchsorted(ends, [first_pixel, end_pixel - 1], side="right")
    return TrainingViews(
        images.read(view_indices[first_view : last_view + 1].tolist()),
        PixelLayout(*(x.astype(np.int32) for x in (offsets, heights, widths))),
        scene.cameras[view_indices],
        images.background,
        images.is_transparent,
        depths=depth_table(scene, view_indices),
        share=PixelShare(num_strata, int(offsets[first_view])),
    )


def depths_in_words(scene: Scene, views: TrainingViews, config: TrainConfig) -> str:
    """The message of a run that trains on depth.

    Raises:
      UserError: if no depth of the training views is known.
    """
    if scene.depth_samples is None or views.depths is None:
        raise UserError(
            f'`depth="on"` needs known depths, and the scene {scene.name} has none of its training '
            "views: COLMAP's points with the images that show them, depth images of Record3D or "
            "Polycam, or depth_file_path in a transforms.json"
        )
    num_views = len(np.unique(views.depths.view))
    return (
        f"and on {len(views.depths.view):,} known depths in {num_views} of them, from "
        f"{scene.depth_samples.source}: {config.num_depth_rays:,} more rays a step "
        '(`depth="off"` leaves them out)'
    )


def corrections_in_words(config: Config) -> list[str]:
    """One message for each correction that a run makes; empty without corrections."""
    train, texts = config.train, []
    if train.exposure == "on":
        texts.append('correcting exposure and white balance of each (`exposure="off"` does not)')
    if train.poses == "on":
        texts.append('correcting the pose of each (`poses="off"` does not)')
    if presets.fit_few_views(config, 3) != config:
        texts.append('smoothing the field more, for few views (`few_views="off"` does not)')
    return texts


def num_known_depths(scene: Scene, indices: Sequence[int]) -> int:
    """The number of known depths of some views."""
    return 0 if scene.depth_samples is None else len(scene.depth_samples.of_views(indices))


def depth_table(scene: Scene, view_indices: npt.NDArray[np.int64]) -> DepthTable | None:
    """The known depths of some views, by ascending indices; None without any."""
    if scene.depth_samples is None:
        return None
    known = scene.depth_samples.of_views(view_indices.tolist())
    if len(known) == 0:
        return None
    return DepthTable(
        np.searchsorted(view_indices, known.view).astype(np.int32),
        *(np.asarray(x, np.float32) for x in (known.column, known.row, known.depth)),
        *(np.asarray(x, np.float32) for x in (known.sigma, known.weight)),
    )


def _pixel_runs(
    images: ImageStore, mask: PixelMask, view_indices: npt.NDArray[np.int64]
) -> PixelRuns:
    """The runs of used pixels of some views.

    Raises:
      UserError: if there is none.
    """
    counts = images.heights * images.widths
    parts = [
        mask.within(int(images.offsets[i]), int(images.offsets[i] + counts[i]))
        for i in view_indices
    ]
    starts = np.concatenate([part.starts for part in parts])
    totals = np.cumsum(np.concatenate([part.ends - part.starts for part in parts]))
    if len(starts) == 0:
        raise UserError(
            'the masks leave no pixel to train on: use all pixels with `masks="ignore"` and '
            '`alpha="ignore"`, or make the masks again'
        )
    return PixelRuns(starts.astype(np.int32), totals.astype(np.int32))
