"""Which way is up: laws for cameras held upright, on their side, and around an object."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nerf.geometry.arrangement import find_arrangement, rotation_to_upright
from nerf.geometry.camera_paths import path_cameras
from nerf.geometry.cameras import Cameras, pinhole_rays
from nerf.geometry.poses import look_at, similarity, transform_poses
from nerf.geometry.upright import (
    estimate_up,
    lies_on_its_side,
    quarter_turns,
    turned_pose,
    upright_cameras,
)

UP = np.array([0.0, 0.0, 1.0])
HEIGHT, WIDTH = 6, 8


def arc(degrees=360.0, num=12, below=0.4):
    """Cameras around the origin that look down a little, z up."""
    angles = np.radians(degrees) * np.arange(num) / num
    wave = 0.05 * np.sin(3 * angles)
    back = np.stack([np.cos(angles), np.sin(angles), below + wave], axis=-1)
    return np.stack([look_at(b, UP, 3 * b) for b in back])


def rolled(poses, turns):
    return np.stack([turned_pose(pose, turns) for pose in poses])


def up_of(poses, ups=None):
    rig = find_arrangement(poses)
    focus = rig.focus if rig.kind == "inward" else None
    return estimate_up(poses, poses[:, :, 1] if ups is None else ups, focus)


def angle(a, b):
    return np.degrees(np.arccos(np.clip(a @ b, -1, 1)))


@pytest.mark.parametrize("turns", range(4))
def test_a_turned_image_is_turned_back(turns):
    pose = turned_pose(np.eye(3, 4), turns)
    back = quarter_turns(pose)
    assert back == -turns % 4
    np.testing.assert_array_equal(turned_pose(pose, back), np.eye(3, 4))
    assert lies_on_its_side(pose[None]) == bool(turns % 2)


@pytest.mark.parametrize("roll", [-40, 0, 40])
def test_a_tilt_of_less_than_half_a_quarter_turn_stays(roll):
    pose = np.eye(3, 4)
    pose[:, :3] = Rotation.from_euler("z", roll, degrees=True).as_matrix()
    assert quarter_turns(pose) == 0


def test_an_image_from_above_has_no_upright_way():
    above = look_at(np.array([0.0, 1, 0.05]), np.array([1.0, 0, 0]), np.zeros(3))
    assert quarter_turns(above) == 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("turns", [0, 1, 3])
@pytest.mark.parametrize("degrees", [360.0, 200.0])
def test_around_an_object_up_is_the_normal_of_the_cameras_plane(seed, turns, degrees):
    turn = Rotation.random(random_state=seed).as_matrix()
    poses = transform_poses(similarity(turn, 2.0, np.ones(3)), rolled(arc(degrees), turns))
    found = up_of(poses)
    assert angle(found.direction, turn @ UP) < 6
    assert bool(found.reason) == (turns > 0 or degrees < 360)


def test_cameras_upside_down_that_say_so_are_upright():
    poses = rolled(arc(), 2)
    assert angle(up_of(poses).direction, -UP) < 6
    assert angle(up_of(poses, -poses[:, :, 1]).direction, UP) < 6


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_inside_a_room_up_is_perpendicular_to_the_horizontal_axes(turns):
    poses = arc()
    poses[:, :, [0, 2]] *= -1  # they look outwards, and up: turn them to look down
    poses[:, :, 3] *= 0.1
    down = np.stack([look_at(p[:, 2] * [1, 1, -1], UP, p[:, 3]) for p in poses])
    found = up_of(rolled(down, turns))
    assert angle(found.direction, UP) < 6


def test_up_axes_that_agree_decide_where_there_is_no_plane():
    rng = np.random.default_rng(0)
    poses = np.stack([look_at(np.array([0, -1.0, 0.1]), UP, p) for p in rng.normal(0, 0.5, (8, 3))])
    np.testing.assert_allclose(up_of(poses).direction, poses[0, :, 1], atol=1e-6)
    side = rolled(poses, 1)
    assert angle(up_of(side, poses[:, :, 1]).direction, poses[0, :, 1]) < 1e-3


# The video.


def scene_cameras(poses):
    """Cameras in scene units, y up."""
    to_scene = similarity(rotation_to_upright(UP), 1.0, np.zeros(3))
    return Cameras.pinhole(
        transform_poses(to_scene, poses), focal=10.0, height=HEIGHT, width=WIDTH, near=1, far=9
    )


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("path", ["orbit", "interpolate"])
def test_a_video_is_upright_and_an_orbit_level(turns, path):
    along = path_cameras(path, scene_cameras(rolled(arc(), turns)), 20)
    size = (HEIGHT, WIDTH) if turns % 2 == 0 else (WIDTH, HEIGHT)
    assert (along.height, along.width) == size
    np.testing.assert_allclose(along.focal, 10.0)
    assert all(quarter_turns(pose) == 0 for pose in along.camtoworlds)
    assert (along.camtoworlds[:, 1, 1] > 0.8).all()
    np.testing.assert_allclose(along.camtoworlds[:, 1, 0], 0.0, atol=5e-3)
    if path == "orbit":
        np.testing.assert_allclose(along.camtoworlds[:, 1, 3], along.camtoworlds[0, 1, 3])


def test_upright_cameras_see_the_same_rays():
    lying = scene_cameras(rolled(arc(), 1))
    upright = upright_cameras(lying)
    assert upright_cameras(upright) is upright
    rows, columns = (x.ravel() for x in np.indices((HEIGHT, WIDTH)))
    _, before = pinhole_rays(
        columns, rows, lying[2].broadcast_to((HEIGHT * WIDTH,)), pixel_offset=0.5
    )
    shape = (HEIGHT, WIDTH, 3)
    turned = np.rot90(np.asarray(before).reshape(shape), quarter_turns(lying.camtoworlds[2]))
    rows, columns = (x.ravel() for x in np.indices((WIDTH, HEIGHT)))
    _, after = pinhole_rays(
        columns, rows, upright[2].broadcast_to((HEIGHT * WIDTH,)), pixel_offset=0.5
    )
    np.testing.assert_allclose(np.asarray(after).reshape(turned.shape), turned, atol=1e-5)
