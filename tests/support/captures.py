"""Small captures on disk, in any format, and what it means that two of them are the same."""

import json

import jax
import numpy as np
from PIL import Image

from nerf import procedural
from nerf.captures.export import ExportImages, export
from nerf.captures.images.files import read_header, read_image
from nerf.captures.lenses.scaled import scaled_lens
from nerf.captures.reading import read_capture
from nerf.config.presets import NOTEBOOK
from nerf.geometry.poses import look_at
from nerf.render.images import image_rays
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions

HEIGHT, WIDTH = 8, 12


def orbit_poses(num_views=6, distance=3.0):
    """Cameras around the origin, z up, `[num_views, 3, 4]`."""
    angles = 2 * np.pi * np.arange(num_views) / num_views
    height = 0.3 + 0.1 * np.arange(num_views) % 0.3
    back = np.stack([np.cos(angles), np.sin(angles), height], axis=-1)
    back /= np.linalg.norm(back, axis=-1, keepdims=True)
    return np.stack([look_at(b, np.array([0.0, 0.0, 1.0]), distance * b) for b in back])


def forward_poses(num_views=5, seed=0):
    """Cameras that look in about the same direction, `[num_views, 3, 4]`."""
    rng = np.random.default_rng(seed)
    return np.stack(
        [
            look_at(np.array([0.05, -0.1, 1.0]) + rng.normal(0, 0.05, 3), np.array([0, 1.0, 0]), p)
            for p in rng.normal(0.0, 0.5, (num_views, 3))
        ]
    )


def write_images(folder, names, *, size=(WIDTH, HEIGHT), channels=3, seed=0):
    rng = np.random.default_rng(seed)
    for name in names:
        pixels = rng.integers(0, 256, (size[1], size[0], channels), np.uint8)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.squeeze()).save(path)


def transforms(poses, names, **shared):
    """The content of a transforms.json."""
    frames = [
        {
            "file_path": name,
            "transform_matrix": np.vstack([pose, [0.0, 0.0, 0.0, 1.0]]).tolist(),
        }
        for name, pose in zip(names, poses, strict=True)
    ]
    return {"fl_x": 10.0, "w": WIDTH, "h": HEIGHT, **shared, "frames": frames}


def write_nerfstudio(folder, poses=None, change=lambda content: None, channels=3, **shared):
    """A folder with transforms.json and noise for images."""
    poses = orbit_poses() if poses is None else poses
    names = [f"images/view_{i}.png" for i in range(len(poses))]
    write_images(folder, names, channels=channels)
    content = transforms(poses, names, **shared)
    change(content)
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def write_procedural(folder, name, height=12, width=16):
    """A bundled scene in LLFF layout."""
    views = procedural.render_views(name, height, width, supersample=1)
    (folder / "images").mkdir(parents=True)
    for i, image in enumerate(views.images):
        Image.fromarray(image).save(folder / "images" / f"view_{i:03d}.png")
    rows = views.poses_bounds.copy()
    rows[:, [4, 9, 14]] *= width / rows[:, [9]]
    rows[:, 4] = height
    np.save(folder / "poses_bounds.npy", rows)
    return folder


def convert(folder, to, out):
    """Exports a folder, its images at their own sizes."""
    capture = read_capture(folder)
    sizes = np.array([read_header(file).size for file in capture.files], np.int64)
    pixels = ExportImages(sizes, capture.files, lambda i: read_image(capture.files[i]))
    lens = scaled_lens(capture, sizes[:, 1], sizes[:, 0])
    export(capture, lens, capture.bounds, pixels, to, out)
    return out


def all_rays(scene):
    """The rays of every view by its name."""
    found = {}
    for index, name in enumerate(scene.image_names):
        rays = image_rays(scene.cameras[index], space=scene.space, config=NOTEBOOK.render)
        found[name.split("/")[-1]] = jax.tree.map(np.asarray, rays)
    return found


def assert_same(first, second, atol=1e-4):
    """Two folders give the same rays and images, view by view, and the same split."""
    one, other = (
        load_folder(folder, CaptureOptions(max_size=0)).scene for folder in (first, second)
    )
    assert one.space.name == other.space.name
    assert one.background == other.background
    rays, expected = all_rays(other), all_rays(one)
    assert rays.keys() == expected.keys()
    for name in expected:
        for found, expected_view in zip(
            jax.tree.leaves(rays[name]), jax.tree.leaves(expected[name]), strict=True
        ):
            np.testing.assert_allclose(found, expected_view, rtol=1e-4, atol=atol)
    expected = {name.split("/")[-1]: x for name, x in zip(one.image_names, one.images, strict=True)}
    for name, image in zip(other.image_names, other.images, strict=True):
        np.testing.assert_array_equal(image, expected[name.split("/")[-1]])


def refusal(folder, **options):
    """The message with which a folder is refused."""
    import pytest

    from nerf.errors import UserError

    with pytest.raises(UserError) as caught:
        load_folder(folder, CaptureOptions(**options))
    message = str(caught.value)
    assert "\n" not in message
    return message
