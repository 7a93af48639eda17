"""Blender exports whose test views are only poses: they train, and the poses are a camera path."""

import json

import numpy as np
import pytest

from nerf.captures.export import ExportImages, export
from nerf.captures.images.files import read_image
from nerf.captures.lenses.scaled import scaled_lens
from nerf.captures.reading import read_capture
from nerf.errors import UserError
from nerf.geometry.camera_paths import path_cameras
from nerf.geometry.poses import transform_poses
from nerf.jobs.videos.frames import default_path
from nerf.scenes.loading import load_folder
from nerf.scenes.record import SceneRecord
from tests.support.captures import (
    HEIGHT,
    WIDTH,
    forward_poses,
    orbit_poses,
    refusal,
    transforms,
    write_images,
)


def write_blender(folder, **parts):
    """Each part is poses, and whether the images are there."""
    for part, (poses, has_images) in parts.items():
        names = [f"{part}/r_{i}.png" for i in range(len(poses))]
        if has_images:
            write_images(folder, names)
        folder.mkdir(exist_ok=True)
        content = transforms(poses, [name[:-4] for name in names])
        (folder / f"transforms_{part}.json").write_text(json.dumps(content))
    return folder


def test_poses_without_images_are_a_camera_path(tmp_path):
    path = orbit_poses(4)
    folder = write_blender(tmp_path, train=(orbit_poses(9), True), test=(path, False))
    loaded = load_folder(folder)
    scene = loaded.scene
    assert any("none of the 4 images that transforms_test.json" in n for n in loaded.notes)
    assert scene.num_views == 9
    assert scene.split(4).test == (0, 4, 8)
    np.testing.assert_allclose(loaded.capture.path_poses, path)
    expected = transform_poses(scene.capture_to_scene, path)
    np.testing.assert_allclose(scene.path_poses, expected, atol=1e-6)
    record = SceneRecord.of(scene, 4)
    stored = SceneRecord.from_json(json.loads(json.dumps(record.to_json())))
    np.testing.assert_array_equal(stored.path_poses, scene.path_poses)
    assert default_path(stored) == "test"
    along = path_cameras("test", stored.cameras, 4, stored.path_poses)
    np.testing.assert_allclose(along.camtoworlds, expected, atol=1e-5)


def test_an_export_says_that_the_path_is_lost(tmp_path):
    folder = write_blender(
        tmp_path / "b", train=(orbit_poses(), True), test=(orbit_poses(4), False)
    )
    capture = read_capture(folder)
    sizes = np.tile([[WIDTH, HEIGHT]], (capture.num_views, 1))
    pixels = ExportImages(sizes, capture.files, lambda i: read_image(capture.files[i]))
    lens = scaled_lens(capture, HEIGHT, WIDTH)
    notes = export(capture, lens, None, pixels, "nerfstudio", tmp_path / "out")
    assert any("camera path of 4 poses" in note for note in notes)


def test_without_such_poses_there_is_no_such_path(tmp_path):
    folder = write_blender(tmp_path, train=(orbit_poses(), True))
    record = SceneRecord.of(load_folder(folder).scene, 4)
    assert record.path_poses is None
    assert "path_poses" not in record.to_json()
    assert default_path(record) == "orbit"
    with pytest.raises(UserError, match="this scene has none: choose one of interpolate"):
        path_cameras("test", record.cameras, 3, record.path_poses)


def test_a_test_file_without_frames_is_noted(tmp_path):
    folder = write_blender(tmp_path, train=(orbit_poses(), True))
    (folder / "transforms_test.json").write_text('{"camera_angle_x": 0.8, "frames": []}')
    capture = read_capture(folder)
    assert capture.split is None
    assert capture.path_poses is None
    assert any("transforms_test.json has no frames" in note for note in capture.notes)


def test_views_of_the_validation_file_take_the_place_of_test_views(tmp_path):
    folder = write_blender(
        tmp_path,
        train=(orbit_poses(5), True),
        test=(orbit_poses(4), False),
        val=(forward_poses(2), True),
    )
    capture = read_capture(folder)
    assert capture.split.train == (0, 1, 2, 3, 4)
    assert capture.split.test == (5, 6)
    assert len(capture.path_poses) == 4


def test_a_test_file_with_some_images_holds_these_out(tmp_path):
    folder = write_blender(tmp_path, train=(orbit_poses(), True), test=(orbit_poses(3), True))
    (folder / "test" / "r_1.png").unlink()
    capture = read_capture(folder)
    assert len(capture.split.test) == 2
    assert capture.path_poses is None


def test_poses_that_are_none_are_refused(tmp_path):
    poses = orbit_poses(3)
    poses[1, :, 0] *= -1
    folder = write_blender(tmp_path, train=(orbit_poses(), True), test=(poses, False))
    assert "transforms_test.json has poses that are not rotations" in refusal(folder)


def test_images_to_train_on_must_be_there(tmp_path):
    folder = write_blender(tmp_path, train=(orbit_poses(), False), test=(orbit_poses(3), True))
    assert "none of the 6 images that" in refusal(folder)
