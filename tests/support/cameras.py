"""Small sets of cameras and training views, and a space of each kind for them."""

import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from nerf.geometry.cameras import Cameras, pinhole_rays
from nerf.geometry.contraction import Contracted
from nerf.geometry.ndc import NDC
from nerf.geometry.world import World
from nerf.training.batch import PixelLayout, TrainingViews


def ndc_of(cameras):
    """NDC of a scene whose own views are those of the cameras."""
    focal = float(np.mean(cameras.focal))
    return NDC.of_views(focal=focal, height=cameras.height, width=cameras.width)


def space_of(name, cameras):
    """The space called `name`; world space without a box."""
    return {"ndc": ndc_of(cameras), "world": World(), "contracted": Contracted()}[name]


def cameras_at_origin(num, height, width, *, focal=4.0, near=1.0, far=5.0):
    """Cameras that all look along -z."""
    poses = np.tile(np.eye(3, 4), (num, 1, 1))
    return Cameras.pinhole(poses, focal=focal, height=height, width=width, near=near, far=far)


def views_from_origin(images, **options):
    """Images `[num_views, height, width, 3]`, all from `cameras_at_origin`."""
    return training_views(images, cameras_at_origin(*np.shape(images)[:3], **options))


def training_views(images, cameras, **options):
    """Images `[num_views, height, width, 3 or 4]` in [0, 1], rounded to 8 bits."""
    num_views, height, width, channels = np.shape(images)
    pixels = np.round(np.asarray(images, np.float32) * 255).astype(np.uint8)
    layout = PixelLayout(
        np.arange(num_views, dtype=np.int32) * height * width,
        np.full(num_views, height, np.int32),
        np.full(num_views, width, np.int32),
    )
    return TrainingViews(pixels.reshape(-1, channels), layout, cameras, **options)


_PIXELS_AT_ONCE = 256  # of views of any size, so that all sizes share one program


def rays_of_pixels(camera, function=pinhole_rays):
    """What a function of columns, rows and cameras gives for all pixels of a camera.

    Returns:
      its results as NumPy arrays, each `[height, width, ...]`.
    """
    shape = camera.height, camera.width
    rows, columns = (x.ravel() for x in np.mgrid[: shape[0], : shape[1]])
    found = []
    for start in range(0, len(rows), _PIXELS_AT_ONCE):
        index = np.minimum(np.arange(start, start + _PIXELS_AT_ONCE), len(rows) - 1)
        cameras = camera.broadcast_to(index.shape)
        found.append(function(jnp.asarray(columns[index]), jnp.asarray(rows[index]), cameras))
    joined = (
        np.concatenate([np.asarray(each) for each in part]) for part in zip(*found, strict=True)
    )
    return tuple(each[: len(rows)].reshape(*shape, -1) for each in joined)


# A forward-facing rig, and rays through random pixels of it.

HEIGHT, WIDTH, FOCAL = 6, 8, 5.0


def forward_facing(num, seed=0):
    """Poses `[num, 3, 4]`: turned by up to some 20 degrees, around the world's origin."""
    rng = np.random.default_rng(seed)
    rotations = Rotation.from_rotvec(rng.uniform(-0.2, 0.2, (num, 3))).as_matrix()
    positions = rng.uniform(-0.5, 0.5, (num, 3, 1))
    return np.concatenate([rotations, positions], axis=-1).astype(np.float32)


def forward_cameras(num):
    """Cameras at `forward_facing` poses."""
    poses = forward_facing(num)
    return Cameras.pinhole(poses, focal=FOCAL, height=HEIGHT, width=WIDTH, near=2.0, far=6.0)


def random_pixels(num, seed=1):
    """Columns and rows `[num]`."""
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.integers(0, WIDTH, num)), jnp.asarray(rng.integers(0, HEIGHT, num))


def world_rays(num=20):
    """Origins and directions `[num, 3]` through random pixels, as float64."""
    rays = pinhole_rays(*random_pixels(num), forward_cameras(num))
    return tuple(np.asarray(x, np.float64) for x in rays)
