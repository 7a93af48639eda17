import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nerf.geometry.cameras import Cameras, pinhole_rays
from nerf.geometry.ndc import NDC
from nerf.geometry.world import World
from nerf.viewer.cameras import (
    PIXEL_OFFSET,
    PageCamera,
    PageFrame,
    home_index,
    orbit_centre,
    turning_axis,
    unseen_pixels,
    upright_pose,
    window_fov,
)

FRAME = PageFrame(scale=2.5, near=1.0, far=9.0)


def page_camera(rotation=(0.0, 0.0, 0.0), position=(0.0, 0.0, 0.0), fov=1.0, width=40, height=20):
    x, y, z, w = Rotation.from_rotvec(rotation).as_quat()
    return PageCamera(np.array([w, x, y, z]), np.array(position), fov, width, height)


def test_an_unturned_camera_of_the_page_looks_along_z_with_y_down():
    right, up, back, position = FRAME.to_scene(page_camera(position=(5.0, 0.0, -2.5))).T
    np.testing.assert_allclose(right, [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(up, [0, -1, 0], atol=1e-6)
    np.testing.assert_allclose(back, [0, 0, -1], atol=1e-6)
    np.testing.assert_allclose(position, [2, 0, -1], atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_a_camera_goes_to_the_scene_and_back(seed):
    rng = np.random.default_rng(seed)
    camera = page_camera(rng.uniform(-2, 2, 3), rng.uniform(-5, 5, 3))
    wxyz, position = FRAME.to_page(FRAME.to_scene(camera))
    assert camera.is_near(camera._replace(wxyz=wxyz, position=position))
    assert not camera.is_near(camera._replace(position=position + 0.1))
    pose = FRAME.to_scene(camera)
    np.testing.assert_allclose(np.linalg.det(pose[:, :3]), 1.0, atol=1e-5)


@pytest.mark.parametrize("size", [(20, 40), (5, 10), (200, 400)])
def test_rays_of_an_image_of_any_size_span_the_same_window(size):
    """The outer edges of the outermost pixels are those of the window; the middle looks ahead."""
    height, width = size
    window = page_camera(fov=0.9)
    camera = FRAME.camera(window, height, width)
    corners = jnp.array([-0.5, width - 0.5]), jnp.array([-0.5, height - 0.5])
    _, directions = pinhole_rays(*corners, camera.broadcast_to((2,)), pixel_offset=PIXEL_OFFSET)
    slope = np.tan(0.45)
    expected = [[-2 * slope, -slope, 1.0], [2 * slope, slope, 1.0]]
    np.testing.assert_allclose(directions, expected, rtol=1e-5)


@pytest.mark.parametrize("aspect", [0.5, 4 / 3, 3.0])
def test_a_window_shows_all_that_a_camera_sees(aspect):
    camera = Cameras.pinhole(np.eye(3, 4), focal=5.0, height=6, width=8, near=1, far=9)
    slope = np.tan(0.5 * window_fov(camera, aspect))
    assert slope >= 0.6 - 1e-6
    assert slope * aspect >= 0.8 - 1e-6
    assert min(slope / 0.6, slope * aspect / 0.8) < 1 + 1e-6


def test_a_camera_that_is_held_on_its_side_is_turned_upright():
    lying = np.array([[0.0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0]])
    np.testing.assert_allclose(upright_pose(lying)[:, 1], [0, 1, 0], atol=1e-6)
    camera = Cameras.pinhole(lying, focal=5.0, height=6, width=8, near=1, far=9)
    assert np.tan(0.5 * window_fov(camera, 10.0)) == pytest.approx(0.8)


@pytest.mark.parametrize("seed", range(5))
def test_a_level_camera_turns_around_the_vertical_and_a_rolled_one_keeps_its_roll(seed):
    rng = np.random.default_rng(seed)
    pitch, yaw, roll = rng.uniform(-1.2, 1.2, 3)
    level = Rotation.from_euler("YX", [yaw, pitch])
    pose = np.concatenate([level.as_matrix(), np.ones((3, 1))], axis=1)
    np.testing.assert_allclose(turning_axis(pose), [0, 1, 0], atol=1e-6)
    rolled = level * Rotation.from_rotvec([0, 0, roll])
    pose[:, :3] = rolled.as_matrix()
    axis = turning_axis(pose)
    across = axis - (axis @ pose[:, 2]) * pose[:, 2]  # how the page makes the image upright
    np.testing.assert_allclose(across / np.linalg.norm(across), pose[:, 1], atol=1e-6)
    assert axis[1] >= np.cos(roll) - 1e-6


def test_a_camera_that_looks_down_turns_around_its_own_axis():
    down = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0]])
    np.testing.assert_allclose(turning_axis(down), [0, 0, -1])


def test_the_page_starts_at_the_middle_camera_and_turns_around_what_it_looks_at(record):
    home = home_index(record)
    away = np.linalg.norm(record.cameras.camtoworlds[:, :, 3], axis=-1)
    assert away[home] < away.max()
    pose = record.cameras.camtoworlds[home]
    target = orbit_centre(record, pose) - pose[:, 3]
    np.testing.assert_allclose(target / np.linalg.norm(target), -pose[:, 2], atol=1e-6)


def test_free_cameras_may_come_near_to_an_object_in_a_box(record):
    inside = PageFrame.of(record)
    outside = PageFrame.of(dataclasses.replace(record, space=World()))
    assert inside.near < outside.near == record.cameras.bounds[:, 0].min()
    assert inside.far > outside.far == record.cameras.bounds[:, 1].max()


def test_what_ndc_cannot_show_is_known():
    ahead = Cameras.pinhole(np.eye(3, 4), focal=5.0, height=6, width=8, near=1, far=9)
    behind = dataclasses.replace(ahead, camtoworlds=np.diag([-1.0, 1.0, -1.0, 1.0])[:3])
    aside = np.array([[0.0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0]])  # looks along -x
    ndc = NDC((1.0, 1.0))
    assert unseen_pixels(ndc, ahead) is None
    assert unseen_pixels(ndc, behind).all()
    unseen = unseen_pixels(ndc, dataclasses.replace(ahead, camtoworlds=aside))
    assert unseen[:, :4].all() != unseen[:, 4:].all()  # one half looks ahead of the scene's -z
    assert unseen_pixels(World(), behind) is None
