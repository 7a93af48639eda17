"""Cameras of depth maps are read back with their lenses; views of any lens become pinholes."""

import numpy as np
import pytest

from nerf.captures.lenses.models import make_lens, panorama_intrinsics
from nerf.captures.reading import read_capture
from nerf.export.cameras import MAX_PIXELS, pinhole_views
from nerf.export.coordinate_frames import CoordinateFrame
from nerf.export.depth_maps import write_cameras
from nerf.export.depth_views import DepthView, directions, intrinsics, is_pinhole
from nerf.geometry.cameras import Cameras
from nerf.geometry.lenses import Lens
from nerf.geometry.poses import similarity
from tests.support.captures import orbit_poses, write_images

HEIGHT, WIDTH = 20, 40
BENT = [0.1, -0.02, 0.003, 0.0, 0.004, -0.002]
FISHEYE = [0.02, -0.01, 0.0, 0.0, 0.0, 0.0]


def lens_of(kind):
    plain = [30.0, 31.0, 19.0, 10.5]
    if kind == "panorama":
        lens = make_lens([panorama_intrinsics(WIDTH, HEIGHT)], [False], [True])
        return Lens(*(None if x is None else np.asarray(x)[0] for x in lens))
    bent = {"pinhole": None, "bent": BENT, "fisheye": FISHEYE}[kind]
    return Lens(
        np.float32(plain[:2]),
        np.float32(plain[2:]),
        None if bent is None else np.float32(bent),
        None if bent is None else np.bool_(kind == "fisheye"),
    )


def camera_of(kind, pose=None):
    pose = np.eye(3, 4) if pose is None else pose
    return Cameras(
        camtoworlds=np.float32(pose),
        focal=np.float32(30),
        bounds=np.float32([1, 9]),
        lens=None if kind == "one focal length" else lens_of(kind),
        height=HEIGHT,
        width=WIDTH,
    )


@pytest.mark.parametrize("kind", ["one focal length", "pinhole", "bent", "fisheye", "panorama"])
def test_cameras_are_read_back_as_they_were(kind, tmp_path):
    poses = orbit_poses(3)
    to_scene = similarity(np.eye(3), 0.5, np.array([1.0, 2, 3]))
    frame = CoordinateFrame.of("capture", np.linalg.inv(to_scene))  # files in half the unit
    named = {f"view_{i}": camera_of(kind, pose) for i, pose in enumerate(poses)}
    write_cameras(tmp_path / "transforms.json", named, frame, 0.1, pixel_offset=0.5)
    write_images(tmp_path, [f"{name}.png" for name in named], size=(WIDTH, HEIGHT))
    capture = read_capture(tmp_path)
    np.testing.assert_allclose(capture.camtoworlds, frame.poses(poses), atol=1e-6)
    found, lens = capture.lens, named["view_0"].lens
    if lens is None:
        lens = Lens(np.full(2, 30.0), np.array([WIDTH, HEIGHT]) / 2 - 0.5)
    np.testing.assert_allclose(found.focal[0], lens.focal, rtol=1e-6)
    np.testing.assert_allclose(found.centre[0], lens.centre, atol=1e-5)
    for name in ("distortion", "fisheye", "panorama"):
        here, there = getattr(found, name), getattr(lens, name)
        expected = 0 if there is None else there
        np.testing.assert_allclose(0 if here is None else np.float64(here[0]), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["bent", "fisheye"])
def test_a_bent_view_becomes_a_pinhole_at_its_place(kind):
    (found,) = pinhole_views([camera_of(kind, orbit_poses(1)[0])], 30, pixel_offset=0.5)
    assert is_pinhole(found)
    assert max(found.height, found.width) == 30
    np.testing.assert_array_equal(found.camtoworlds, np.float32(orbit_poses(1)[0]))


def test_a_panorama_becomes_the_six_sides_of_a_cube():
    pose = np.float32(orbit_poses(1)[0])
    sides = pinhole_views([camera_of("panorama", pose)], 512, pixel_offset=0.5)
    assert len(sides) == 6
    axes = []
    for side in sides:
        rotation = side.camtoworlds[:, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-5)
        np.testing.assert_array_equal(side.camtoworlds[:, 3], pose[:, 3])
        axes.append(rotation[:, 2])
        focal, centre = intrinsics(side, 0.5)
        blank = np.ones((side.height, side.width), np.float32)
        view = DepthView(side.camtoworlds, focal, centre, blank, blank[..., None])
        local = directions(view) @ rotation
        assert np.abs(local[..., :2]).max() == pytest.approx(1, abs=1.1 / side.width)  # 90 degrees
    np.testing.assert_allclose(np.sum(axes, axis=0), 0, atol=1e-6)
    assert np.linalg.matrix_rank(axes) == 3


def test_many_large_views_are_shrunk_to_what_fits_the_memory():
    camera = Cameras.pinhole(np.eye(3, 4), focal=900.0, height=800, width=1000, near=1, far=9)
    found = pinhole_views([camera] * 50, 1000, pixel_offset=0.5)
    assert sum(each.height * each.width for each in found) <= 1.01 * MAX_PIXELS
    assert found[0].width > 600
