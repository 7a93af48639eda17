"""Laws of fusion, meshes and files: exact depth of a ball gives the ball, and files read back."""

import jax
import numpy as np
import pytest

from nerf.errors import UserError
from nerf.export import components, files, fusion, marching
from nerf.export.cameras import pinhole_views
from nerf.export.colours import surface_colours
from nerf.export.coordinate_frames import CoordinateFrame
from nerf.export.depth_views import depth_view, normals, surface_points
from nerf.export.points import point_cloud
from nerf.geometry.cameras import Cameras
from nerf.geometry.poses import look_at, similarity

RADIUS, CELL = 1.0, 0.06
COLOUR = np.array([0.8, 0.4, 0.2], np.float32)


@pytest.fixture(scope="module")
def views():
    """A ball seen from six sides."""
    made = []
    for back in (*np.eye(3), *-np.eye(3)):
        pose = look_at(back, np.roll(back, 1), 3.0 * back).astype(np.float32)
        camera = Cameras.pinhole(pose, focal=40.0, height=40, width=40, near=1, far=9)
        blank = np.zeros((40, 40), np.float32)
        rgb = np.broadcast_to(COLOUR, (40, 40, 3))
        view = depth_view(camera, blank, rgb, blank + 1, is_bounded=True, pixel_offset=0.0)
        rays = surface_points(view._replace(depth=np.ones_like(blank))) - pose[:, 3]
        a, b = np.sum(rays**2, -1), rays @ pose[:, 3]
        inside = b * b - a * (9.0 - RADIUS**2)
        depth = np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, np.inf)
        made.append(view._replace(depth=depth.astype(np.float32)))
    return made


@pytest.fixture(scope="module")
def surface(views):
    points = np.concatenate([surface_points(view).reshape(-1, 3) for view in views])
    grid = fusion.grid_around(points[np.isfinite(points).all(axis=-1)], CELL)
    fused = fusion.fuse(views, grid, 4 * CELL, fusion.surface_blocks(views, grid))
    return components.largest_components(marching.marching_cubes(fused, grid))


def test_exact_depth_of_a_ball_gives_the_ball(surface):
    radii = np.linalg.norm(surface.vertices, axis=-1)
    assert abs(radii - RADIUS).mean() < 0.25 * CELL
    assert abs(radii - RADIUS).max() < CELL
    for axis in np.eye(3):  # the whole ball
        assert np.ptp(surface.vertices @ axis) == pytest.approx(2 * RADIUS, abs=CELL)


def test_the_triangles_face_the_cameras(surface):
    a, b, c = (surface.vertices[surface.faces[:, i]] for i in range(3))
    assert np.mean(np.sum(np.cross(b - a, c - a) * a, axis=-1) > 0) > 0.99


def test_the_mesh_is_closed_across_the_chunks_of_marching_cubes(surface):
    edges = np.sort(surface.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    assert np.mean(counts == 2) > 0.99


def test_normals_of_depth_are_those_of_the_ball(views):
    found, at = normals(views[0]), surface_points(views[0])
    is_inner = np.isfinite(found).all(axis=-1) & (at[..., 0] > 0.5)
    assert np.sum(found * at, axis=-1)[is_inner].min() > 0.98


def test_points_lie_on_the_ball_and_have_its_colour(views):
    cloud = point_cloud(views, 500)
    assert len(cloud.points) == 500
    np.testing.assert_allclose(np.linalg.norm(cloud.points, axis=-1), RADIUS, atol=1e-3)
    np.testing.assert_allclose(cloud.rgb, np.broadcast_to(COLOUR, cloud.rgb.shape), atol=1e-6)
    everything = point_cloud(views, 10**6).points
    assert 500 < len(everything) < 6 * 40 * 40
    assert len(np.unique(everything, axis=0)) == len(everything)
    for axis in np.eye(3):  # from all sides
        assert np.ptp(cloud.points @ axis) > 1.8 * RADIUS


def test_small_components_are_left_out(surface):
    speck = np.array([[9.0, 0, 0], [9, 1, 0], [9, 0, 1]])
    both = marching.TriangleMesh(
        np.concatenate([surface.vertices, speck]),
        np.concatenate([surface.faces, len(surface.vertices) + np.arange(3)[None]]).astype(
            np.int32
        ),
    )
    assert len(components.largest_components(both).faces) == len(surface.faces)


@pytest.mark.parametrize("suffix", files.MESH_SUFFIXES)
def test_a_mesh_reads_back_in_the_frame_that_it_states(suffix, surface, views, tmp_path):
    trimesh = pytest.importorskip("trimesh")
    to_scene = similarity(np.eye(3), 0.5, np.ones(3))  # the capture's unit is half a scene unit
    frame, path = CoordinateFrame.of("capture", to_scene), tmp_path / f"mesh{suffix}"
    rgb = surface_colours(surface.vertices.astype(np.float32), views, CELL)
    np.testing.assert_allclose(rgb, np.broadcast_to(COLOUR, rgb.shape), atol=1e-4)
    files.write_mesh(path, surface, rgb, frame, {"scene": "ball"})
    loaded = trimesh.load(path, process=False, force="mesh")
    assert len(loaded.faces) == len(surface.faces)
    np.testing.assert_allclose(loaded.bounds.mean(axis=0), 1.0, atol=2 * CELL)
    np.testing.assert_allclose(np.ptp(loaded.bounds, axis=0), 4 * RADIUS, atol=4 * CELL)
    assert b"coordinates" in path.read_bytes()


def test_a_point_cloud_reads_back(views, tmp_path):
    trimesh = pytest.importorskip("trimesh")
    frame = CoordinateFrame.of("scene", np.eye(4))
    files.write_points(tmp_path / "points.ply", point_cloud(views, 200), frame, {})
    loaded = trimesh.load(tmp_path / "points.ply")
    np.testing.assert_allclose(np.linalg.norm(loaded.vertices, axis=-1), RADIUS, atol=1e-3)


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(UserError, match="has the ending of no mesh: choose one of"):
        files.check_mesh_path(tmp_path / "mesh.stl")


def test_a_pinhole_view_is_shrunk_to_the_size():
    camera = Cameras.pinhole(np.eye(3, 4), focal=40.0, height=30, width=40, near=1, far=9)
    (small,) = pinhole_views([camera], 20, pixel_offset=0.5)
    assert (small.height, small.width) == (15, 20)
    np.testing.assert_allclose(jax.device_get(small.lens.focal), 20.0)
