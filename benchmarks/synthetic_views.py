"""Views that need no data: images of noise from a small forward-facing rig."""

import jax
import jax.numpy as jnp
import numpy as np

from nerf.geometry.cameras import Cameras
from nerf.geometry.ndc import NDC
from nerf.training.batch import TrainingViews

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
    return TrainingViews(
        images=jax.random.uniform(jax.random.key(seed), (num_views, HEIGHT, WIDTH, 3)),
        cameras=jax.tree.map(jnp.asarray, cameras),
    )
