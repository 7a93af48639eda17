"""The exact depth of a bundled scene, fused, is its ray-traced surface: to 1 % of its size."""

import numpy as np
import pytest

from nerf.export.depth_views import depth_view, surface_points
from nerf.jobs.export import extract_mesh
from nerf.jobs.exports.views import SurfaceViews
from nerf.jobs.load_scene import load_scene
from nerf.runtime.events import log_event

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("skimage")


def seen_in(scene, views):
    """What the cameras of some views see, by ray tracing."""
    pixels = [
        depth_view(
            scene.cameras[i],
            np.asarray(scene.depth[i]),
            np.asarray(scene.images[i]),
            is_bounded=True,
            pixel_offset=0.0,
        )
        for i in views
    ]
    depths = np.concatenate([view.depth[np.isfinite(view.depth)] for view in pixels])
    median = float(np.median(depths))
    return SurfaceViews(pixels, np.inf, median, median / float(pixels[0].focal.mean()))


def points_of(seen):
    points = np.concatenate([surface_points(view).reshape(-1, 3) for view in seen.views])
    return points[np.isfinite(points).all(axis=-1)]


@pytest.mark.parametrize("name", ["table", "room"])
def test_exact_depth_gives_the_traced_surface_both_ways(name):
    from scipy.spatial import cKDTree

    scene = load_scene(f"procedural:{name}@64x48")
    chosen = [i for i in range(scene.num_views) if i % 8]  # the others are only measured with
    surface, _ = extract_mesh(seen_in(scene, chosen), None, log_event)
    truth = points_of(seen_in(scene, range(scene.num_views)))
    size = np.linalg.norm(np.ptp(truth, axis=0))
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    on_mesh = trimesh.sample.sample_surface(mesh, 20_000, seed=0)[0]
    assert cKDTree(truth).query(on_mesh)[0].mean() < 0.01 * size
    assert cKDTree(on_mesh).query(truth[::4])[0].mean() < 0.01 * size
