"""Camera paths as files: what was written is read, in the frame of the capture, or refused."""

import json

import numpy as np
import pytest

from nerf.captures.camera_path_files import (
    CameraPathFile,
    applied_transform,
    read_camera_path,
    write_camera_path,
)
from nerf.errors import UserError
from nerf.geometry.poses import similarity, transform_poses
from tests.support.captures import orbit_poses, transforms

POSES = orbit_poses(7)


def four_rows(poses):
    return [np.vstack([pose, [0, 0, 0, 1.0]]) for pose in poses]


def nerfstudio(poses, fov=50.0, **more):
    frames = [
        {"camera_to_world": matrix.ravel().tolist(), "fov": fov, "aspect": 1.5}
        for matrix in four_rows(poses)
    ]
    return {"render_height": 40, "render_width": 60, "fps": 24, "camera_path": frames, **more}


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_what_was_written_is_read_again(tmp_path):
    fov = np.linspace(20.0, 110.0, 7)
    frames = CameraPathFile(POSES, fov, (640, 360), 12.5)
    write_camera_path(tmp_path / "a.json", frames)
    found = read_camera_path(tmp_path / "a.json")
    np.testing.assert_allclose(found.poses, POSES, atol=1e-12)
    np.testing.assert_allclose(found.fov, fov, rtol=1e-12)
    assert (found.size, found.fps, found.notes) == ((640, 360), 12.5, ())
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["seconds"] == pytest.approx(7 / 12.5)
    assert [frame["aspect"] for frame in content["keyframes"]] == [640 / 360] * 7


def test_a_path_of_nerfstudio_has_size_rate_and_field_of_view(tmp_path):
    found = read_camera_path(write(tmp_path / "a.json", nerfstudio(POSES)))
    np.testing.assert_allclose(found.poses, POSES, atol=1e-12)
    assert found.fov.tolist() == [50.0] * 7
    assert (found.size, found.fps) == ((60, 40), 24)


@pytest.mark.parametrize("rows", [3, 4])
def test_an_array_of_poses_is_read(tmp_path, rows):
    np.save(tmp_path / "a.npy", np.stack(four_rows(POSES))[:, :rows])
    found = read_camera_path(tmp_path / "a.npy")
    np.testing.assert_allclose(found.poses, POSES, atol=1e-12)
    assert (found.fov, found.size, found.fps) == (None, None, None)


@pytest.mark.parametrize(
    ("keys", "fov"),
    [
        ({"fl_x": 20.0, "fl_y": 10.0, "w": 40, "h": 20}, 90.0),
        ({"fl_x": 10.0, "w": 40, "h": 20}, 90.0),
        ({"camera_angle_x": np.pi / 2, "w": 20, "h": 20}, 90.0),
        ({"camera_angle_x": 2 * np.arctan(2.0), "w": 40, "h": 20}, 90.0),
        ({"camera_angle_y": np.pi / 3}, 60.0),
        ({}, None),
    ],
)
def test_poses_without_images_are_read_from_a_transforms_json(tmp_path, keys, fov):
    content = {**keys, "frames": transforms(POSES, ["absent.png"] * 7)["frames"]}
    found = read_camera_path(write(tmp_path / "transforms.json", content))
    np.testing.assert_allclose(found.poses, POSES, atol=1e-12)
    if fov is None:
        assert found.fov is None
    else:
        np.testing.assert_allclose(found.fov, fov)


@pytest.mark.parametrize("with_applied", [False, True])
def test_the_normalised_frame_of_nerfstudio_is_undone(tmp_path, with_applied):
    """Poses of the capture are turned and moved, then scaled; the record begins at COLMAP's."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    move = similarity(turn, 1.0, np.array([1.0, -2.0, 0.5]))
    normalised = transform_poses(move, POSES)
    normalised[:, :, 3] *= 0.25
    swap, scale = np.eye(4), 1.0
    if with_applied:
        swap = np.array([[0.0, 1, 0, 0.3], [1, 0, 0, -2], [0, 0, -1, 1], [0, 0, 0, 1]])
        scale = 0.7
    applied = applied_transform({"applied_transform": swap[:3].tolist(), "applied_scale": scale})
    record = {"transform": (move @ swap)[:3].tolist(), "scale": 0.25 * scale}
    write(tmp_path / "dataparser_transforms.json", record)
    path = write(tmp_path / "a.json", nerfstudio(normalised))
    found = read_camera_path(path, applied if with_applied else None)
    np.testing.assert_allclose(found.poses, POSES, atol=1e-9)
    assert "nerfstudio's frame" in found.notes[0]


def test_what_is_not_heeded_is_a_note(tmp_path):
    content = nerfstudio(POSES, crop={"crop_center": [0, 0, 0]})
    content["camera_path"][0]["render_time"] = 0.5
    found = read_camera_path(write(tmp_path / "a.json", content))
    assert len(found.notes) == 2


def broken(change):
    content = nerfstudio(POSES)
    change(content)
    return content


def set_frame(key, value):
    return lambda content: content["camera_path"][3].__setitem__(key, value)


SCALED = (2 * np.eye(4)).ravel().tolist()
MIRRORED = np.diag([1.0, 1, -1, 1]).ravel().tolist()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_frame("camera_to_world", [1.0] * 15), "frame 3: camera_to_world does not have 16"),
        (set_frame("camera_to_world", None), "frame 3: camera_to_world does not have 16"),
        (set_frame("camera_to_world", ["a"] * 16), "frame 3: camera_to_world must be a number"),
        (set_frame("camera_to_world", SCALED), "frame 3 has no rotation"),
        (set_frame("camera_to_world", MIRRORED), "frame 3 has no rotation"),
        (set_frame("fov", 180.0), "frame 3: the field of view must be 0 to 179"),
        (set_frame("fov", None), "frame 3 has no fov"),
        (lambda c: c.update(camera_path=[]), "no frames in camera_path"),
        (lambda c: c.update(camera_path=[4]), "frame 0 is not an object"),
        (lambda c: c.update(camera_type="equirectangular"), "'equirectangular' is not drawn"),
        (lambda c: c.update(fps=0), "fps must be"),
        (lambda c: c.update(render_width="wide"), "render_width must be a number"),
        (lambda c: c.update(render_width=10**9), "1 to 32767 pixels"),
        (lambda c: c.pop("camera_path"), "has no list of frames"),
    ],
)
def test_each_damage_is_one_sentence(tmp_path, change, said):
    path = write(tmp_path / "a.json", broken(change))
    with pytest.raises(UserError) as caught:
        read_camera_path(path)
    message = str(caught.value)
    assert said in message
    assert str(path) in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", b"{", "not valid JSON"),
        ("a.json", b"[1]", "must contain an object"),
        ("a.npy", b"", "as an array of numbers"),
        ("a.npy", b"\x93NUMPY\x01\x00", "as an array of numbers"),
        ("a.txt", b"1 0 0", "is no camera path"),
    ],
)
def test_a_file_that_holds_no_path_is_refused(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said):
        read_camera_path(tmp_path / name)


@pytest.mark.parametrize("array", [np.zeros((3, 4)), np.zeros((0, 3, 4)), np.zeros((2, 3, 5)), "x"])
def test_an_array_of_another_shape_is_refused(tmp_path, array):
    np.save(tmp_path / "a.npy", np.asarray(array))
    with pytest.raises(UserError, match=r"must be an array \[n, 3, 4\]|of real numbers"):
        read_camera_path(tmp_path / "a.npy")


def test_an_array_that_would_run_code_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"pose": 1}]), allow_pickle=True)
    with pytest.raises(UserError, match=r"as an array of numbers|of real numbers"):
        read_camera_path(tmp_path / "a.npy")
