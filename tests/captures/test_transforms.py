"""Laws of transforms.json, of nerfstudio, instant-ngp and Blender, and what is wrong with one."""

import json

import numpy as np
import pytest

from nerf.captures.reading import read_capture
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tests.support.captures import (
    HEIGHT,
    WIDTH,
    assert_same,
    orbit_poses,
    refusal,
    transforms,
    write_images,
    write_nerfstudio,
)

pytestmark = pytest.mark.slow


def test_intrinsics_are_given_once_or_in_each_frame(tmp_path):
    def move(content):
        for frame in content["frames"]:
            frame |= {key: content[key] for key in ("fl_x", "w", "h")}
        for key in ("fl_x", "w", "h"):
            del content[key]

    assert_same(
        write_nerfstudio(tmp_path / "once"), write_nerfstudio(tmp_path / "each", change=move)
    )


def test_an_angle_of_view_is_a_focal_length(tmp_path):
    """tan(angle / 2) = (width / 2) / focal."""

    def change(content):
        del content["fl_x"]
        content["camera_angle_x"] = 2 * np.arctan(0.5 * WIDTH / 10.0)

    changed = write_nerfstudio(tmp_path / "angle", change=change)
    assert_same(write_nerfstudio(tmp_path / "focal"), changed)


@pytest.mark.parametrize("written_as", ["view_{}", "./images/view_{}", "images/view_{}.png"])
def test_suffixes_may_be_missing(tmp_path, written_as):
    def change(content):
        for i, frame in enumerate(content["frames"]):
            name = written_as.format(i)
            frame["file_path"] = name if "images" in name else f"images/{name}"

    folder = write_nerfstudio(tmp_path, change=change)
    assert load_folder(folder).scene.num_views == 6


def test_points_are_transformed_to_the_frame_of_the_poses(tmp_path):
    """nerfstudio leaves COLMAP's points in world coordinates before `applied_transform`."""
    folder = write_nerfstudio(tmp_path)
    turn = [[0.0, -1.0, 0.0, 0.2], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    content = json.loads((folder / "transforms.json").read_text())
    (folder / "transforms.json").write_text(json.dumps({**content, "applied_transform": turn}))
    model = folder / "colmap" / "sparse" / "0"
    model.mkdir(parents=True)
    (model / "cameras.txt").write_text("1 PINHOLE 12 8 10 10 6 4\n")
    (model / "images.txt").write_text("1 1 0 0 0 0 0 0 1 view_0.png\n\n")
    (model / "points3D.txt").write_text("7 0.1 0.2 0.3 0 0 0 0.5 1 0\n")
    points = load_folder(folder, CaptureOptions("nerfstudio")).capture.points
    np.testing.assert_allclose(points, [[0.0, 0.1, 0.3]])


def test_blender_holds_out_its_test_views(tmp_path):
    poses = orbit_poses(8)
    for part, numbers in (("train", range(5)), ("test", range(5, 7)), ("val", range(7, 8))):
        names = [f"{part}/r_{i}" for i in numbers]
        write_images(tmp_path, [f"{name}.png" for name in names], channels=4)
        content = {"camera_angle_x": 0.7, **transforms(poses[list(numbers)], names)}
        for key in ("fl_x", "w", "h"):
            del content[key]
        (tmp_path / f"transforms_{part}.json").write_text(json.dumps(content))
    scene = load_folder(tmp_path).scene
    assert scene.split(16) == ((0, 1, 2, 3, 4), (5, 6))
    assert (scene.space.name, scene.background) == ("world", "white")
    middle = scene.cameras.lens.centre[0]
    np.testing.assert_allclose(middle, [(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    (tmp_path / "transforms_test.json").unlink()
    assert load_folder(tmp_path).scene.split(16) == ((0, 1, 2, 3, 4), (5,))


def test_black_or_white_behind_transparent_images(tmp_path):
    folder = write_nerfstudio(tmp_path, channels=4)
    white, black = (
        load_folder(folder, CaptureOptions(background=name)).scene for name in ("white", "black")
    )
    assert (white.background, black.background) == ("white", "black")
    alpha = (
        white.images.stack() - black.images.stack()
    )  # the share of the background, on every channel
    np.testing.assert_allclose(alpha, alpha[..., :1].repeat(3, -1), atol=1e-6)
    assert alpha.min() >= 0
    assert alpha.max() > 0.5


@pytest.mark.parametrize("count", [12, 16])
def test_a_matrix_may_be_one_list_of_numbers(tmp_path, count):
    def change(content):
        for frame in content["frames"]:
            frame["transform_matrix"] = np.ravel(frame["transform_matrix"]).tolist()[:count]

    expected = read_capture(write_nerfstudio(tmp_path / "rows"))
    found = read_capture(write_nerfstudio(tmp_path / "list", change=change))
    np.testing.assert_array_equal(found.camtoworlds, expected.camtoworlds)


# What is wrong.


def with_frame(**values):
    def change(content):
        content["frames"][2] |= values

    return change


def without(*keys):
    def change(content):
        for key in keys:
            del content[key]

    return change


NAN_POSE = [[float("nan"), 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
SKEWED = [[2.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
MIRRORED = [[-1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
HALF = [[1.0, 0, 0, 4], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0.5]]


@pytest.mark.parametrize(
    ("change", "expected_message"),
    [
        (without("frames"), "no list of frames (it has fl_x, w, h)"),
        (without("fl_x"), "no focal length"),
        (with_frame(file_path=None), "frame 2 has no file_path"),
        (with_frame(file_path="../secret.png"), "leads out of"),
        (with_frame(file_path="/etc/passwd"), "leads out of"),
        (with_frame(file_path="C:\\secret.png"), "leads out of"),
        (with_frame(file_path="images/view_1.png"), "the same image as frame 1"),
        (with_frame(transform_matrix=None), "frame 2 has no transform_matrix (it has file_path"),
        (with_frame(transform_matrix=[]), "transform_matrix is missing"),
        (with_frame(transform_matrix=[[1, 2], [3, 4], [5, 6]]), "do not have 4 numbers"),
        (with_frame(transform_matrix=[["a"] * 4] * 4), "something other than numbers"),
        (with_frame(transform_matrix=NAN_POSE), "NaN or infinity"),
        (with_frame(transform_matrix=SKEWED), "not perpendicular unit vectors"),
        (with_frame(transform_matrix=MIRRORED), "mirrors"),
        (with_frame(transform_matrix=HALF), "last row that is not 0, 0, 0, 1"),
        (with_frame(fl_x="wide"), "fl_x must be a number"),
        (with_frame(fl_x=-1.0), "focal length that is not between"),
        (with_frame(fl_x=10**400), "must be finite"),
        (with_frame(w=1.5), "whole numbers of pixels"),
        (with_frame(w=30), "does not have the aspect ratio of its camera"),
        (with_frame(camera_model="VR180_L"), "1 of 6 frames: camera_model 'VR180_L' is not read"),
        (with_frame(near=3.0, far=2.0), None),
    ],
)
def test_each_mistake_in_a_transforms_file_has_its_sentence(tmp_path, change, expected_message):
    folder = write_nerfstudio(tmp_path, change=change)
    if expected_message is None:  # bounds of one frame alone are not taken
        assert load_folder(folder).capture.bounds is None
    else:
        assert expected_message in refusal(folder)


def test_every_problem_is_reported(tmp_path):
    def change(content):
        content["frames"][0]["file_path"] = "../a.png"
        content["frames"][3]["transform_matrix"] = None

    message = refusal(write_nerfstudio(tmp_path, change=change))
    assert "and 1 more" in message


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"frames": 1e999}', "\xff"])
def test_anything_but_a_json_object_is_refused(tmp_path, text):
    (tmp_path / "transforms.json").write_text(text, encoding="latin-1")
    assert "transforms.json" in refusal(tmp_path)


def test_frames_without_an_image_are_left_out_with_a_note(tmp_path):
    folder = write_nerfstudio(tmp_path)
    (folder / "images" / "view_3.png").unlink()
    loaded = load_folder(folder)
    assert loaded.scene.num_views == 5
    assert any("images/view_3.png" in note for note in loaded.notes)
    write_images(folder, ["images/extra.jpg"])
    assert any("no pose and is not used: extra.jpg" in x for x in load_folder(folder).notes)
    for path in (folder / "images").iterdir():
        path.unlink()
    assert "none of the 6 images" in refusal(folder)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    folder = write_nerfstudio(tmp_path / "scene")
    outside = tmp_path / "outside.png"
    (folder / "images" / "view_2.png").rename(outside)
    (folder / "images" / "view_2.png").symlink_to(outside)
    message = refusal(folder)
    assert f"view_2.png is a symbolic link to {outside}, which leads out of" in message
    assert "`follow_links=True`" in message


def test_images_that_count_from_one_and_frames_from_zero_are_noted(tmp_path):
    """Most frames then have an image, and all of these the wrong one."""
    folder = write_nerfstudio(tmp_path)
    expected_message = "may count from 1 and their poses from 0"
    assert not any(expected_message in note for note in read_capture(folder).notes)
    for number in reversed(range(6)):
        path = folder / "images" / f"view_{number}.png"
        path.rename(path.with_name(f"view_{number + 1}.png"))
    assert any(expected_message in note for note in read_capture(folder).notes)
    (folder / "images" / "view_6.png").rename(folder / "images" / "view_8.png")
    assert not any(expected_message in note for note in read_capture(folder).notes)


def test_frames_may_say_themselves_which_are_held_out(tmp_path):
    def change(content):
        for number, frame in enumerate(content["frames"]):
            frame["split"] = "test" if number in (1, 4) else "train"

    folder = write_nerfstudio(tmp_path / "each", change=change)
    capture = read_capture(folder)
    assert (capture.split.train, capture.split.test) == ((0, 2, 3, 5), (1, 4))
    assert capture.notes == ()
    path = folder / "transforms.json"
    lists = {"test_filenames": ["images/view_0.png"]}
    path.write_text(json.dumps(json.loads(path.read_text()) | lists))
    assert read_capture(folder).split.test == (0,)
