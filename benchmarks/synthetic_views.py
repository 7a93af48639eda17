"""Views that need no data: images of noise from a small forward-facing rig."""

import numpy as np

from nerf.geometry.cameras import Cameras
from nerf.geometry.ndc import NDC
from nerf.training.batch import PixelLayout, TrainingViews

HEIGHT, WIDTH, FOCAL = 94, 126, 108.0  # about those of the published scene `flower`
NEAR, FAR = 4 / 3, 16.0
SPACE = NDC.of_views(focal=FOCAL, height=HEIGHT, width=WIDTH)


def make_views(seed: int, num_views: int = 8) -> TrainingViews:
    """Images of noise from cameras in two rows, a tenth of a scene unit apart.

    The time of a step depends on the shapes alone, not on what the images show.
    """
    camtoworlds = np.tile(np.eye(3, 4, dtype=np.float32), (num_views, 1, 1))
    column, row = np.divmod(np.arange(num_views), 2)
    camtoworlds[:, 0, 3] = 0.1 * (column - column.mean())
    camtoworlds[:, 1, 3] = 0.1 * (row - row.mean())
    cameras = Cameras.pinhole(
        camtoworlds, focal=FOCAL, height=HEIGHT, width=WIDTH, near=NEAR, far=FAR
    )
    num_pixels = HEIGHT * WIDTH
    layout = PixelLayout(
        offsets=np.arange(num_views, dtype=np.int32) * num_pixels,
        heights=np.full(num_views, HEIGHT, np.int32),
        widths=np.full(num_views, WIDTH, np.int32),
    )
    noise = np.random.default_rng(seed).integers(0, 256, (num_views * num_pixels, 3), np.uint8)
    return TrainingViews(noise, layout, cameras)
