"""The part of the world that a crop box can hold."""

import numpy as np
import numpy.typing as npt

from nerf.scenes.record import SceneRecord
from nerf.viewer.cameras import look_distance, view_angles

Array = npt.NDArray[np.float64]

_FAR = 3.0  # times the distance to what a camera looks at
_CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
_EDGES = [
    (a, b) for a in range(8) for b in range(a) if np.abs(_CORNERS[a] - _CORNERS[b]).sum() == 1
]


def scene_extent(record: SceneRecord) -> Array:
    """Corners `[2, 3]` of a box around all that the cameras see from near by, scene units."""
    if record.space.box is not None and record.space.is_bounded:
        return np.array(record.space.box, np.float64)
    poses = np.asarray(record.cameras.camtoworlds, np.float64)
    bounds = np.asarray(record.cameras.bounds, np.float64)
    far = np.minimum(bounds[:, 1], _FAR * look_distance(record))
    points = [poses[:, :, 3]]
    half_width, half_height = np.tan(
        0.5 * np.minimum([view_angles(record.cameras[i]) for i in range(record.num_views)], 2.0)
    ).T
    for x, y in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        local = np.stack([x * half_width, y * half_height, -np.ones_like(half_width)], axis=-1)
        directions = np.einsum("nij,nj->ni", poses[:, :, :3], local)
        points.append(poses[:, :, 3] + far[:, None] * directions)
    every = np.concatenate(points)
    return np.stack([every.min(axis=0), every.max(axis=0)])


def box_edges(box: npt.ArrayLike) -> Array:
    """The twelve edges `[12, 2, 3]` of a box `[2, 3]`."""
    low, high = np.asarray(box, np.float64)
    corners = low + _CORNERS * (high - low)
    return np.stack([[corners[a], corners[b]] for a, b in _EDGES])
