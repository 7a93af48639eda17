"""Views of a corner of a room that is covered with noise, whose poses COLMAP finds at 240x180."""

import numpy as np
from PIL import Image, ImageFilter

from nerf.geometry.poses import look_at

HEIGHT, WIDTH, FOCAL = 180, 240, 220.0
_TEXELS = 512  # along each side of a wall, which is 4 long


def corner_poses(num_views):
    """Camera to world `[num_views, 3, 4]`, along an arc around the corner."""
    angles = np.linspace(np.radians(20), np.radians(70), num_views)
    back = np.stack([np.cos(angles), 0.5 + 0.1 * np.sin(3 * angles), np.sin(angles)], axis=-1)
    back /= np.linalg.norm(back, axis=-1, keepdims=True)
    centre = np.array([0.9, 0.7, 0.9])
    return np.stack([look_at(b, np.array([0.0, 1.0, 0.0]), centre + 2.2 * b) for b in back])


def render_corner(pose, seed=0):
    """The view of a camera, `[HEIGHT, WIDTH, 3]` uint8."""
    walls = [_texture(seed + axis) for axis in range(3)]
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    x, y = (columns - WIDTH / 2) / FOCAL, -(rows - HEIGHT / 2) / FOCAL
    directions = np.stack([x, y, -np.ones_like(x)], axis=-1) @ pose[:, :3].T
    image, nearest = np.zeros((HEIGHT, WIDTH)), np.full((HEIGHT, WIDTH), np.inf)
    for axis, wall in enumerate(walls):
        with np.errstate(divide="ignore", invalid="ignore"):
            t = -pose[axis, 3] / directions[..., axis]
        hits = (t > 0) & (t < nearest)
        points = pose[:, 3] + np.where(hits, t, 0.0)[..., None] * directions
        u, v = (np.delete(points, axis, axis=-1) * (_TEXELS / 4)).astype(int).clip(0, _TEXELS - 1).T
        image = np.where(hits, wall[v.T, u.T], image)
        nearest = np.where(hits, t, nearest)
    return np.repeat(image.astype(np.uint8)[..., None], 3, axis=-1)


def _texture(seed):
    """Noise at several scales, 0 to 255."""
    rng = np.random.default_rng(seed)
    total = np.zeros((_TEXELS, _TEXELS))
    for cells in (32, 64, 128):
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells), np.uint8))
        large = noise.resize((_TEXELS, _TEXELS), Image.Resampling.BICUBIC)
        total += np.asarray(large.filter(ImageFilter.GaussianBlur(1)), float)
    return 255 * (total - total.min()) / np.ptp(total)


def write_corner_photos(folder, num_views):
    """Photographs without poses, with names as phones give them; returns the poses."""
    folder.mkdir(parents=True)
    poses = corner_poses(num_views)
    for i, pose in enumerate(poses):
        Image.fromarray(render_corner(pose)).save(folder / f"IMG {i + 7}.jpg", quality=95)
    return poses
