"""Camera paths as files: what was written is read, in the frame of the capture, or refused."""

import json

import numpy as np
import pytest

from nerf.captures.camera_paths.files import read_camera_path
from nerf.captures.camera_paths.nerfstudio import applied_transform, write_camera_path
from nerf.captures.camera_paths.values import CameraPathFile
from nerf.errors import UserError
from nerf.geometry.keyframe_paths import KeyframePath
from nerf.geometry.poses import similarity, transform_poses
from tests.support.captures import orbit_poses, transforms

POSES = orbit_poses(7)
SWAP = np.array([[0.0, 1, 0, 0.3], [1, 0, 0, -2], [0, 0, -1, 1], [0, 0, 0, 1]])


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
    assert content["frame"] == "capture"
    # A record of nerfstudio's frame has nothing to do with a file that says its own.
    write(tmp_path / "dataparser_transforms.json", {"transform": SWAP[:3].tolist(), "scale": 0.5})
    again = read_camera_path(tmp_path / "a.json")
    np.testing.assert_allclose(again.poses, POSES, atol=1e-12)
    with pytest.raises(UserError, match="leave out `nerfstudio_transform="):
        read_camera_path(tmp_path / "a.json", nerfstudio_transform=tmp_path / "a.json")


@pytest.mark.parametrize("is_loop", [False, True])
def test_keyframes_without_frames_are_interpolated_as_they_were_written(tmp_path, is_loop):
    seconds = np.array([1.0, 1.0, 2.5, *([0.5] if is_loop else [])])
    made = KeyframePath(POSES[:4], np.array([40.0, 60, 50, 70]), seconds, is_loop, 0.25)
    num = int(made.duration * 10)
    poses, fov = made.at(made.duration * np.arange(num) / num)
    frames = CameraPathFile(poses, fov, (640, 360), 10.0)
    write_camera_path(tmp_path / "a.json", frames, made)
    content = json.loads((tmp_path / "a.json").read_text())
    assert len(content["keyframes"]) == 4
    assert (content["is_cycle"], content["default_transition_sec"]) == (is_loop, 1.0)
    enabled = [frame["override_transition_enabled"] for frame in content["keyframes"]]
    assert enabled == [is_loop, False, False, True]  # of a loop, the first has its last transition
    assert content.pop("camera_path")
    content["keyframes"][1].pop("override_transition_sec")  # as other programs leave it
    found = read_camera_path(write(tmp_path / "b.json", content))
    np.testing.assert_allclose(found.poses, poses, atol=1e-9)
    np.testing.assert_allclose(found.fov, fov, atol=1e-9)
    assert (found.size, found.fps) == ((640, 360), 10.0)
    assert f"{num} are interpolated between its 4 keyframes" in found.notes[0]


def keyframes_only(**more):
    stops = [{"matrix": m.ravel().tolist(), "fov": 50.0} for m in four_rows(POSES[:3])]
    return {"keyframes": stops, "fps": 10, "default_transition_sec": 1.0, **more}


def test_keyframes_of_an_older_version_share_the_seconds_of_the_path(tmp_path):
    content = keyframes_only(seconds=4.0)
    content.pop("default_transition_sec")
    assert len(read_camera_path(write(tmp_path / "a.json", content)).poses) == 40


@pytest.mark.parametrize(("word", "is_loop"), [("false", False), ("True", True), (None, False)])
def test_truth_may_be_a_word_and_a_missing_angle_is_the_usual_one(tmp_path, word, is_loop):
    content = keyframes_only(is_cycle=word, default_fov=40.0)
    for frame in content["keyframes"]:
        frame |= {"fov": None, "override_transition_enabled": "false"}
        frame["override_transition_sec"] = 7.0
    found = read_camera_path(write(tmp_path / "a.json", content))
    assert len(found.poses) == 10 * (len(content["keyframes"]) - 1 + is_loop)
    np.testing.assert_allclose(found.fov, 40.0)


@pytest.mark.parametrize(
    ("more", "expected_message"),
    [
        ({"keyframes": []}, "no frames in camera_path"),
        ({"is_cycle": "perhaps"}, "is_cycle must be true or false, not 'perhaps'"),
        ({"keyframes": keyframes_only()["keyframes"][:1]}, "one keyframe, and a path needs two"),
        ({"default_transition_sec": 0}, "keyframe 1: the transition must take 0.001 to 1,000,000"),
        ({"default_transition_sec": 1e-200}, "must take 0.001 to 1,000,000 seconds, not 1e-200"),
        ({"keyframes": [{"matrix": [*[0] * 12, 5, 6, 7, 1]}] * 2}, "transpose the matrix"),
        ({"default_transition_sec": 1e6}, "frames at 10 frames a second: 1 to 100,000 are drawn"),
        ({"smoothness_value": 2}, "smoothness_value must be 0 to 1"),
        ({"keyframes": [{}, {}]}, "keyframe 0: matrix does not have 16"),
        ({"frame": "moon"}, "in the frame 'moon'"),
    ],
)
def test_damage_of_keyframes_is_one_sentence(tmp_path, more, expected_message):
    path = write(tmp_path / "a.json", {**keyframes_only(), **more})
    with pytest.raises(UserError, match=expected_message):
        read_camera_path(path)


def test_an_array_of_transposed_matrices_is_refused(tmp_path):
    np.save(tmp_path / "path.npy", np.stack([matrix.T for matrix in four_rows(POSES)]))
    with pytest.raises(UserError, match="transpose the matrix"):
        read_camera_path(tmp_path / "path.npy")


def test_a_path_of_nerfstudio_has_size_rate_and_field_of_view(tmp_path):
    found = read_camera_path(write(tmp_path / "a.json", nerfstudio(POSES)))
    np.testing.assert_allclose(found.poses, POSES, atol=1e-12)
    assert found.fov.tolist() == [50.0] * 7
    assert (found.size, found.fps) == ((60, 40), 24)
    assert "does not say its frame" in found.notes[0]


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
        ({"camera_angle_x": np.pi / 3}, None),  # it depends on the size of the frames
        ({}, None),
    ],
)
def test_poses_without_images_are_read_from_a_transforms_json(tmp_path, keys, fov):
    content = {**keys, "frames": transforms(POSES, ["absent.png"] * 7)["frames"]}
    found = read_camera_path(write(tmp_path / "transforms.json", content))
    np.testing.assert_allclose(found.poses, POSES, atol=1e-12)
    if fov is None:
        assert found.fov is None
        assert (found.horizontal_fov is not None) == bool(keys)
    else:
        np.testing.assert_allclose(found.fov, fov)


def test_a_focal_length_without_a_size_is_refused(tmp_path):
    content = {"fl_x": 20.0, "frames": transforms(POSES, ["absent.png"] * 7)["frames"]}
    with pytest.raises(UserError, match="frame 0 has a focal length without w and h"):
        read_camera_path(write(tmp_path / "transforms.json", content))


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
        swap, scale = SWAP, 0.7
    applied = applied_transform({"applied_transform": swap[:3].tolist(), "applied_scale": scale})
    record = {"transform": (move @ swap)[:3].tolist(), "scale": 0.25 * scale}
    write(tmp_path / "dataparser_transforms.json", record)
    path = write(tmp_path / "a.json", nerfstudio(normalised))
    found = read_camera_path(path, applied if with_applied else None)
    np.testing.assert_allclose(found.poses, POSES, atol=1e-9)
    assert "nerfstudio's frame" in found.notes[0]


def test_what_is_ignored_is_a_note(tmp_path):
    content = nerfstudio(POSES, crop={"crop_center": [0, 0, 0]})
    content["camera_path"][0]["render_time"] = 0.5
    found = read_camera_path(write(tmp_path / "a.json", content))
    assert len(found.notes) == 3  # the third is about its frame


def broken(change):
    content = nerfstudio(POSES)
    change(content)
    return content


def set_frame(key, value):
    return lambda content: content["camera_path"][3].__setitem__(key, value)


SCALED = np.diag([2.0, 2, 2, 1]).ravel().tolist()
MIRRORED = np.diag([1.0, 1, -1, 1]).ravel().tolist()


@pytest.mark.parametrize(
    ("change", "expected_message"),
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
def test_each_damage_is_one_sentence(tmp_path, change, expected_message):
    path = write(tmp_path / "a.json", broken(change))
    with pytest.raises(UserError) as caught:
        read_camera_path(path)
    message = str(caught.value)
    assert expected_message in message
    assert str(path) in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "content", "expected_message"),
    [
        ("a.json", b"{", "not valid JSON"),
        ("a.json", b"[1]", "must contain an object"),
        ("a.npy", b"", "as an array of numbers"),
        ("a.npy", b"\x93NUMPY\x01\x00", "as an array of numbers"),
        ("a.txt", b"1 0 0", "is not a camera path"),
    ],
)
def test_a_file_that_holds_no_path_is_refused(tmp_path, name, content, expected_message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=expected_message):
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
