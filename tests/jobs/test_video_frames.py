"""The cameras of a video: a path of the training poses gives the rays of the training views."""

import json

import jax
import numpy as np
import pytest

from nerf.captures.camera_paths.nerfstudio import write_camera_path
from nerf.captures.reading import read_capture
from nerf.config.presets import NOTEBOOK
from nerf.errors import UserError
from nerf.jobs.videos.frames import check_path, path_to_file, video_frames
from nerf.render.images import image_rays
from nerf.scenes.loading import load_folder
from nerf.scenes.record import SceneRecord
from tests.support.captures import forward_poses, transforms, write_nerfstudio, write_procedural
from tests.support.command_line import write_scene

SCENES = {
    "around": lambda folder: write_nerfstudio(folder),
    "in front": lambda folder: write_nerfstudio(folder, poses=forward_poses(), near=2.0, far=9.0),
    "llff": write_scene,
    "bundled": lambda folder: write_procedural(folder, "courtyard"),
}


@pytest.fixture(params=SCENES)
def folder(request, tmp_path):
    return SCENES[request.param](tmp_path / "scene")


def record_of(folder):
    return SceneRecord.of(load_folder(folder).scene, holdout=3)


def rays(record, camera):
    return jax.tree.map(np.asarray, image_rays(camera, space=record.space, config=NOTEBOOK.render))


def assert_same_rays(record, cameras, expected):
    """Rays agree up to their bounds, which a path takes from all views."""
    assert len(cameras) == len(expected)
    for camera, other in zip(cameras, expected, strict=True):
        found, expected_camera = rays(record, camera), rays(record, other)
        for name in ("origins", "directions", "viewdirs"):
            a, b = getattr(found, name), getattr(expected_camera, name)
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def training_cameras(record):
    return [record.cameras[index] for index in record.split.train]


def capture_poses(folder, record):
    return read_capture(folder).camtoworlds[list(record.split.train)]


def test_the_training_views_are_drawn_in_their_order(folder):
    record = record_of(folder)
    frames = video_frames(record, "training")
    assert_same_rays(record, frames.cameras, training_cameras(record))


def test_the_capture_s_own_poses_in_an_array_give_the_training_rays(folder, tmp_path):
    record = record_of(folder)
    np.save(tmp_path / "path.npy", capture_poses(folder, record))
    frames = video_frames(record, tmp_path / "path.npy")
    assert_same_rays(record, frames.cameras, training_cameras(record))


def test_a_path_of_the_training_views_that_was_written_gives_their_rays(folder, tmp_path):
    record = record_of(folder)
    path = path_to_file(record, video_frames(record, "training"), 10.0)
    np.testing.assert_allclose(path.poses, capture_poses(folder, record), atol=1e-5)
    write_camera_path(tmp_path / "path.json", path)
    frames = video_frames(record, tmp_path / "path.json")
    assert frames.fps == 10.0
    assert_same_rays(record, frames.cameras, training_cameras(record))


def test_a_written_path_is_read_with_the_same_poses_and_fields_of_view(folder, tmp_path):
    record = record_of(folder)
    for name in ("spiral", "interpolate"):
        first = path_to_file(record, video_frames(record, name, num_frames=5, size=(20, 10)), 7.0)
        write_camera_path(tmp_path / "path.json", first)
        again = path_to_file(record, video_frames(record, tmp_path / "path.json"), 1.0)
        np.testing.assert_allclose(again.poses, first.poses, atol=1e-4)
        np.testing.assert_allclose(again.fov, first.fov, rtol=1e-5)
        assert (again.size, again.fps) == ((20, 10), 7.0)


def test_a_transforms_json_of_the_training_poses_gives_their_rays(tmp_path):
    folder = write_nerfstudio(tmp_path / "scene")
    record = record_of(folder)
    poses = capture_poses(folder, record)
    content = transforms(poses, ["nothing"] * len(poses))
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    frames = video_frames(record, tmp_path / "transforms.json")
    assert_same_rays(record, frames.cameras, training_cameras(record))


def test_nerfstudio_s_normalised_frame_is_undone_with_the_capture_s_own_transform(tmp_path):
    swap = [[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0.5]]
    folder = write_nerfstudio(
        tmp_path / "scene", change=lambda content: content.update(applied_transform=swap)
    )
    record = record_of(folder)
    path = path_to_file(record, video_frames(record, "training"), 10.0)
    write_camera_path(tmp_path / "path.json", path)  # nerfstudio did nothing but what was applied
    content = json.loads((tmp_path / "path.json").read_text())
    content.pop("frame")  # which nerfstudio does not say
    (tmp_path / "path.json").write_text(json.dumps(content))
    own = {"transform": swap, "scale": 1.0}
    (tmp_path / "dataparser_transforms.json").write_text(json.dumps(own))
    frames = video_frames(record, tmp_path / "path.json", folder=folder)
    assert_same_rays(record, frames.cameras, training_cameras(record))
    elsewhere = tmp_path / "elsewhere" / "dataparser_transforms.json"
    elsewhere.parent.mkdir()
    (tmp_path / elsewhere.name).rename(elsewhere)
    frames = video_frames(
        record, tmp_path / "path.json", folder=folder, nerfstudio_transform=elsewhere
    )
    assert_same_rays(record, frames.cameras, training_cameras(record))
    with pytest.raises(UserError, match="is for the file of a `camera_path`"):
        video_frames(record, "orbit", nerfstudio_transform=elsewhere)
    with pytest.raises(UserError, match="is not a file: give the dataparser"):
        video_frames(record, tmp_path / "path.json", nerfstudio_transform=tmp_path / "absent.json")


def test_an_angle_across_or_an_aspect_without_a_size_is_used(tmp_path):
    record = record_of(write_nerfstudio(tmp_path / "scene"))
    poses = capture_poses(tmp_path / "scene", record)
    content = {**transforms(poses, ["nothing"] * len(poses)), "camera_angle_x": np.pi / 2}
    for key in ("fl_x", "fl_y", "w", "h", "camera_angle_y"):
        content.pop(key, None)
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    for size in ((30, 20), (30, 60)):
        frames = video_frames(record, tmp_path / "transforms.json", size=size)
        np.testing.assert_allclose([camera.focal for camera in frames.cameras], 15.0, rtol=1e-6)
    path = path_to_file(record, video_frames(record, "training"), 10.0)
    write_camera_path(tmp_path / "a.json", path)
    content = json.loads((tmp_path / "a.json").read_text())
    for key in ("render_width", "render_height"):
        content.pop(key)
    for frame in content["camera_path"]:
        frame["aspect"] = 2.0
    (tmp_path / "a.json").write_text(json.dumps(content))
    camera = video_frames(record, tmp_path / "a.json").cameras[0]
    assert camera.width == pytest.approx(2 * camera.height, abs=1)
    own = record.cameras.width * record.cameras.height
    assert camera.width * camera.height == pytest.approx(own, rel=0.1)


def test_each_frame_has_its_own_field_of_view(tmp_path):
    record = record_of(write_nerfstudio(tmp_path / "scene"))
    path = path_to_file(record, video_frames(record, "training", size=(30, 20)), 10.0)
    fov = np.linspace(30, 100, len(path.poses))
    write_camera_path(tmp_path / "a.json", type(path)(path.poses, fov, path.size, path.fps))
    frames = video_frames(record, tmp_path / "a.json")
    expected = 10.0 / np.tan(np.radians(fov / 2))
    np.testing.assert_allclose([camera.focal for camera in frames.cameras], expected, rtol=1e-5)
    assert {(c.width, c.height) for c in frames.cameras} == {(30, 20)}
    other = video_frames(record, tmp_path / "a.json", size=(90, 60))
    np.testing.assert_allclose([c.focal for c in other.cameras], 3 * expected, rtol=1e-5)


def test_fewer_frames_are_chosen_evenly_and_last_as_long(tmp_path):
    record = record_of(write_nerfstudio(tmp_path / "scene"))
    path = path_to_file(record, video_frames(record, "orbit", num_frames=9), 18.0)
    write_camera_path(tmp_path / "a.json", path)
    frames = video_frames(record, tmp_path / "a.json", num_frames=3)
    assert frames.fps == 6.0
    everything = video_frames(record, tmp_path / "a.json").cameras
    for camera, index in zip(frames.cameras, (0, 4, 8), strict=True):
        np.testing.assert_array_equal(camera.camtoworlds, everything[index].camtoworlds)


def test_what_ndc_cannot_show_is_refused_with_the_frame(tmp_path):
    record = record_of(write_scene(tmp_path / "scene"))
    assert record.space.name == "ndc"
    poses = read_capture(tmp_path / "scene").camtoworlds.copy()
    poses[2, :, [0, 2]] *= -1  # turned around
    np.save(tmp_path / "path.npy", poses)
    with pytest.raises(UserError, match=r"frame 2 of .*path.npy.*`space=\"contracted\"`"):
        video_frames(record, tmp_path / "path.npy")


@pytest.mark.parametrize("name", ["loop", "", "absent.json"])
def test_an_unknown_path_is_refused_with_the_known_ones(name):
    with pytest.raises(UserError, match="choose one of interpolate, orbit, spiral, training"):
        check_path(name)


def test_the_known_paths_are_accepted_and_files_are_read(tmp_path):
    for name in ("spiral", "orbit", "interpolate", "training"):
        check_path(name)
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(UserError, match="no list of frames"):
        check_path(tmp_path / "a.json")
