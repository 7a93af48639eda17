"""The cameras whose depth becomes a mesh or a point cloud: pinholes at the places of the views."""

import math
from collections.abc import Sequence

import numpy as np

from nerf.export.depth_views import is_pinhole
from nerf.geometry.cameras import Cameras

MAX_PIXELS = 2**24  # of all views together, so that their depth maps stay below 400 MB
# The six sides of a cube around a panorama: right, up and back of each.
_SIDES = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[-1, 0, 0], [0, 1, 0], [0, 0, -1]],
        [[0, 0, -1], [0, 1, 0], [1, 0, 0]],
        [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
        [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
        [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
    ],
    np.float32,
)


def pinhole_views(
    cameras: Sequence[Cameras], max_size: int, *, pixel_offset: float
) -> list[Cameras]:
    """Pinhole cameras that cover the views of other cameras.

    A camera whose lens bends rays becomes a pinhole at its place, a panorama six of them. All have
    a lens, so that their images may differ in size.

    Args:
      cameras: single cameras.
      max_size: the longer side of the images in pixels at most; less where there are so many that
        they would have more than `MAX_PIXELS` together.
      pixel_offset: of cameras without a lens.
    """
    found = [pinhole for camera in cameras for pinhole in _pinholes(camera)]
    sizes = [_fitted(camera, max_size) for camera in found]
    num_pixels = sum(height * width for height, width in sizes)
    if num_pixels > MAX_PIXELS:
        max_size = math.floor(max(map(max, sizes)) * math.sqrt(MAX_PIXELS / num_pixels))
        sizes = [_fitted(camera, max_size) for camera in found]
    return [
        camera.shrunk(*size, pixel_offset=pixel_offset)
        for camera, size in zip(found, sizes, strict=True)
    ]


def _fitted(camera: Cameras, max_size: int) -> tuple[int, int]:
    """Height and width with a longer side of at most `max_size`."""
    scale = min(1.0, max_size / max(camera.height, camera.width))
    return max(2, round(scale * camera.height)), max(2, round(scale * camera.width))


def _pinholes(camera: Cameras) -> list[Cameras]:
    lens = camera.lens
    if lens is not None and lens.panorama is not None and bool(lens.panorama):
        return _sides(camera)
    return [camera if is_pinhole(camera) else camera.resized(camera.height, camera.width)]


def _sides(camera: Cameras) -> list[Cameras]:
    """The sides of a cube; a pixel at their middle is as wide as one of the panorama."""
    pose = np.asarray(camera.camtoworlds, np.float32)
    size = max(2, round(2 * camera.height / math.pi))
    near, far = (float(x) for x in np.asarray(camera.bounds))
    poses = [np.concatenate([pose[:, :3] @ side.T, pose[:, 3:]], axis=1) for side in _SIDES]
    made = Cameras.pinhole(
        np.stack(poses),
        focal=0.5 * size,
        height=size,
        width=size,
        near=near / math.sqrt(3.0),
        far=far,
    )
    return [made[index] for index in range(len(poses))]
