"""Which way is up in a capture: EXIF, the cameras, or the user; images on their side are shown
upright.
"""

import json

import numpy as np
import pytest
from PIL import Image

from nerf.captures.reading import read_capture
from nerf.geometry.arrangement import rotation_to_upright
from nerf.geometry.upright import AXES, lies_on_its_side, turned_pose
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tests.support.captures import (
    HEIGHT,
    WIDTH,
    convert,
    forward_poses,
    orbit_poses,
    refusal,
    transforms,
)

TURNS = {3: 2, 6: 3, 8: 1}  # to the left, so that the stored image is upright


def write(folder, poses, orientation=1, **shared):
    """JPEG files that are posed as they are stored, with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    names = [f"images/IMG_{index}.jpg" for index in range(len(poses))]
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in names:
        pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name, exif=exif)
    content = transforms(poses, names, **shared)
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def stored(poses, orientation):
    """Poses of the stored images, whose displayed images have the given poses."""
    return np.stack([turned_pose(pose, -TURNS[orientation]) for pose in poses])


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("to", ["nerfstudio", "colmap"])
def test_exif_says_which_way_is_up_in_every_format(tmp_path, orientation, to):
    folder = write(tmp_path / "a", stored(orbit_poses(12), orientation), orientation)
    if to != "nerfstudio":
        folder = convert(folder, to, tmp_path / "b")
    loaded = load_folder(folder)
    np.testing.assert_allclose(loaded.capture.up, [0, 0, 1], atol=0.1)
    assert any("12 images are stored sideways or upside down" in n for n in loaded.notes)
    scene = loaded.scene
    assert [scene.view(i).turns for i in range(12)] == [TURNS[orientation]] * 12
    assert lies_on_its_side(scene.cameras.camtoworlds) == (orientation != 3)


def test_images_that_are_turned_when_they_are_read_are_upright_already(tmp_path):
    poses = orbit_poses(12)
    folder = write(tmp_path, poses, 6, w=HEIGHT, h=WIDTH)
    scene = load_folder(folder).scene
    assert (scene.cameras.width, scene.cameras.height) == (HEIGHT, WIDTH)
    assert all(scene.view(i).turns == 0 for i in range(12))
    assert not any("on their side" in note for note in load_folder(folder).notes)


def test_cameras_on_their_side_without_exif_stand_in_a_plane(tmp_path):
    loaded = load_folder(write(tmp_path, stored(orbit_poses(12), 6)))
    np.testing.assert_allclose(np.abs(loaded.capture.up), [0, 0, 1], atol=0.1)
    assert loaded.capture.up[2] > 0
    assert any("the plane that the cameras stand in (`up` sets it)" in n for n in loaded.notes)


def test_upright_images_say_nothing(tmp_path):
    assert not any(" up" in note for note in load_folder(write(tmp_path, orbit_poses(12))).notes)


@pytest.mark.parametrize("axis", AXES)
def test_the_user_decides(tmp_path, axis):
    folder = write(tmp_path, orbit_poses(12))
    loaded = load_folder(folder, CaptureOptions(up=axis))
    np.testing.assert_array_equal(read_capture(folder, up=axis).up, AXES[axis])
    linear = loaded.scene.capture_to_scene[:3, :3] / loaded.scene.unit_scale
    np.testing.assert_allclose(linear @ AXES[axis], [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(linear, rotation_to_upright(AXES[axis]), atol=1e-6)


def test_an_unknown_axis_is_refused(tmp_path):
    message = refusal(write(tmp_path, orbit_poses()), up="w")
    assert "unknown `up` 'w': choose one of auto, x, y, z, -x, -y, -z" in message


def test_forward_facing_cameras_on_their_side_get_an_upright_ndc(tmp_path):
    bounds = {"near": 2.0, "far": 9.0}
    lying = load_folder(write(tmp_path / "a", stored(forward_poses(), 6), 6, **bounds)).scene
    straight = load_folder(write(tmp_path / "b", forward_poses(), **bounds)).scene
    assert lying.space.name == straight.space.name == "ndc"
    assert all(lying.view(i).turns == 3 for i in range(lying.num_views))
    assert lying.space.scale == straight.space.scale[::-1]
    for axis in (2, 3):
        np.testing.assert_allclose(
            lying.cameras.camtoworlds[:, :, axis],
            straight.cameras.camtoworlds[:, :, axis],
            atol=1e-5,
        )
