"""Laws of formats: a scene written in any of them and read back is the same scene."""

import itertools
import json

import jax
import numpy as np
import pytest
from captures import (
    HEIGHT,
    WIDTH,
    all_rays,
    assert_same,
    convert,
    forward_poses,
    orbit_poses,
    refusal,
    transforms,
    write_nerfstudio,
    write_pictures,
    write_procedural,
)

from nerf.errors import UserError
from nerf.scenes.formats import FORMATS, Reading, formats_in, load_folder
from nerf.scenes.normalize import Normalization

PAIRS = list(itertools.permutations(FORMATS, 2))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Scenes by name, each in every format, made of their LLFF form."""
    home = tmp_path_factory.mktemp("formats")
    folders = {}
    for name in ("flower", "table", "courtyard"):
        source = write_procedural(home / name / "source", name)
        folders[name] = {to: convert(source, to, home / name / to) for to in FORMATS}
        folders[name]["source"] = source
    return folders


@pytest.mark.parametrize("name", ["flower", "table", "courtyard"])
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_scene_is_the_same_by_way_of_any_two_formats(written, tmp_path, name, first, second):
    there = convert(written[name][first], second, tmp_path / "there")
    assert formats_in(there) == [second]
    assert_same(written[name]["source"], there)


@pytest.mark.parametrize("to", FORMATS)
def test_photographs_are_the_same_in_every_format(flower_dir, tmp_path, to):
    assert_same(flower_dir, convert(flower_dir, to, tmp_path / to))


def test_spaces_follow_from_the_cameras(written):
    spaces = {name: load_folder(forms["colmap"]).scene.space for name, forms in written.items()}
    assert spaces == {"flower": "ndc", "table": "world", "courtyard": "contracted"}


LENSES = {
    "distorted": {"cx": 5.5, "cy": 4.25, "fl_y": 11.0, "k1": 0.05, "k2": -0.01, "p1": 0.002},
    "fisheye": {"camera_model": "OPENCV_FISHEYE", "k1": 0.02, "k2": 0.01, "k3": -0.004},
    "off the middle": {"cx": 7.0, "cy": 3.0},
}


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("to", ["nerfstudio", "blender", "colmap"])
def test_lenses_survive_wherever_there_is_a_place_for_them(tmp_path, lens, to):
    source = write_nerfstudio(tmp_path / "source", **LENSES[lens])
    assert load_folder(source).scene.cameras.lens is not None
    assert_same(source, convert(source, to, tmp_path / to))


@pytest.mark.parametrize("lens", LENSES)
def test_llff_has_no_place_for_them(tmp_path, lens):
    source = write_nerfstudio(tmp_path / "source", **LENSES[lens])
    with pytest.raises(UserError, match="undistort"):
        convert(add_bounds(source), "llff", tmp_path / "out")


def add_bounds(folder):
    path = folder / "transforms.json"
    content = json.loads(path.read_text())
    for frame in content["frames"]:
        frame |= {"near": 1.0, "far": 5.0}
    path.write_text(json.dumps(content))
    return folder


def test_every_view_can_have_a_lens_of_its_own(tmp_path):
    def change(content):
        for i, frame in enumerate(content["frames"]):
            frame |= {"fl_x": 9.0 + i, "k1": 0.01 * i}

    source = write_nerfstudio(tmp_path / "source", change=change)
    lens = load_folder(source).scene.cameras.lens
    np.testing.assert_allclose(lens.focal[:, 0], 9.0 + np.arange(6))
    for to in ("nerfstudio", "blender", "colmap"):
        assert_same(source, convert(source, to, tmp_path / to))


def test_a_split_that_the_files_name_is_kept(tmp_path):
    names = [f"images/view_{i}.png" for i in range(6)]
    lists = {"train_filenames": names[:4], "val_filenames": [], "test_filenames": names[4:]}
    source = write_nerfstudio(tmp_path / "source", **lists)
    for folder in (source, convert(source, "blender", tmp_path / "b")):
        scene = load_folder(folder).scene
        split = scene.split(16)
        assert {scene.image_names[i] for i in split.test} == {"view_4", "view_5"}
        assert len(split.train) == 4


def test_a_folder_is_read_as_what_its_files_say(tmp_path, written):
    for name in FORMATS:
        assert formats_in(written["flower"][name]) == [name]
    both = convert(written["flower"]["colmap"], "nerfstudio", tmp_path / "both")
    poses = np.load(written["flower"]["llff"] / "poses_bounds.npy")
    np.save(both / "poses_bounds.npy", poses)
    loaded = load_folder(both)
    assert loaded.capture.format == "llff"
    assert any("--format=nerfstudio" in note for note in loaded.notes)
    assert load_folder(both, Reading("nerfstudio")).capture.format == "nerfstudio"
    assert "looked for" in refusal(tmp_path)
    assert "unknown format" in refusal(both, format="ply")


# transforms.json.


def test_intrinsics_stand_once_or_in_each_frame(tmp_path):
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
def test_endings_may_be_missing(tmp_path, written_as):
    def change(content):
        for i, frame in enumerate(content["frames"]):
            name = written_as.format(i)
            frame["file_path"] = name if "images" in name else f"images/{name}"

    folder = write_nerfstudio(tmp_path, change=change)
    assert load_folder(folder).scene.num_views == 6


def test_points_are_brought_to_where_the_poses_are(tmp_path):
    """nerfstudio leaves COLMAP's points where they were before `applied_transform`."""
    folder = write_nerfstudio(tmp_path)
    turn = [[0.0, -1.0, 0.0, 0.2], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    content = json.loads((folder / "transforms.json").read_text())
    (folder / "transforms.json").write_text(json.dumps({**content, "applied_transform": turn}))
    model = folder / "colmap" / "sparse" / "0"
    model.mkdir(parents=True)
    (model / "cameras.txt").write_text("1 PINHOLE 12 8 10 10 6 4\n")
    (model / "images.txt").write_text("1 1 0 0 0 0 0 0 1 view_0.png\n\n")
    (model / "points3D.txt").write_text("7 0.1 0.2 0.3 0 0 0 0.5 1 0\n")
    points = load_folder(folder, Reading("nerfstudio")).capture.points
    np.testing.assert_allclose(points, [[0.0, 0.1, 0.3]])


def test_blender_holds_out_its_test_views(tmp_path):
    poses = orbit_poses(8)
    for part, numbers in (("train", range(5)), ("test", range(5, 7)), ("val", range(7, 8))):
        names = [f"{part}/r_{i}" for i in numbers]
        write_pictures(tmp_path, [f"{name}.png" for name in names], channels=4)
        content = {"camera_angle_x": 0.7, **transforms(poses[list(numbers)], names)}
        for key in ("fl_x", "w", "h"):
            del content[key]
        (tmp_path / f"transforms_{part}.json").write_text(json.dumps(content))
    scene = load_folder(tmp_path).scene
    assert scene.split(16) == ((0, 1, 2, 3, 4), (5, 6))
    assert (scene.space, scene.background) == ("world", "white")
    middle = scene.cameras.lens.centre[0]
    np.testing.assert_allclose(middle, [(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    (tmp_path / "transforms_test.json").unlink()
    assert load_folder(tmp_path).scene.split(16) == ((0, 1, 2, 3, 4), (5,))


def test_black_or_white_behind_transparent_pictures(tmp_path):
    folder = write_nerfstudio(tmp_path, channels=4)
    white, black = (
        load_folder(folder, Reading(normalization=Normalization(background=name))).scene
        for name in ("white", "black")
    )
    assert (white.background, black.background) == ("white", "black")
    alpha = white.images - black.images  # the share of the background, on every channel
    np.testing.assert_allclose(alpha, alpha[..., :1].repeat(3, -1), atol=1e-6)
    assert alpha.min() >= 0
    assert alpha.max() > 0.5


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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("frames"), "no list of frames"),
        (without("fl_x"), "no focal length"),
        (with_frame(file_path=None), "frame 2 has no file_path"),
        (with_frame(file_path="../secret.png"), "leads out of"),
        (with_frame(file_path="/etc/passwd"), "leads out of"),
        (with_frame(file_path="C:\\secret.png"), "leads out of"),
        (with_frame(file_path="images/view_1.png"), "the same picture as frame 1"),
        (with_frame(transform_matrix=None), "transform_matrix is missing"),
        (with_frame(transform_matrix=[[1, 2], [3, 4], [5, 6]]), "not of 4 numbers"),
        (with_frame(transform_matrix=[["a"] * 4] * 4), "something else than numbers"),
        (with_frame(transform_matrix=NAN_POSE), "NaN or infinity"),
        (with_frame(transform_matrix=SKEWED), "not perpendicular unit vectors"),
        (with_frame(transform_matrix=MIRRORED), "mirrors"),
        (with_frame(fl_x="wide"), "fl_x must be a number"),
        (with_frame(fl_x=-1.0), "focal length that is not between"),
        (with_frame(fl_x=10**400), "must be finite"),
        (with_frame(w=1.5), "whole numbers of pixels"),
        (with_frame(w=30), "does not have the proportions of its camera"),
        (with_frame(camera_model="EQUIRECTANGULAR"), "camera_model 'EQUIRECTANGULAR' is not read"),
        (with_frame(near=3.0, far=2.0), None),
    ],
)
def test_each_mistake_in_a_transforms_file_has_its_sentence(tmp_path, change, said):
    folder = write_nerfstudio(tmp_path, change=change)
    if said is None:  # bounds of one frame alone are not taken
        assert load_folder(folder).capture.bounds is None
    else:
        assert said in refusal(folder)


def test_all_that_is_wrong_is_told(tmp_path):
    def change(content):
        content["frames"][0]["file_path"] = "../a.png"
        content["frames"][3]["transform_matrix"] = None

    message = refusal(write_nerfstudio(tmp_path, change=change))
    assert "and 1 more" in message


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"frames": 1e999}', "\xff"])
def test_what_is_no_json_object_is_refused(tmp_path, text):
    (tmp_path / "transforms.json").write_text(text, encoding="latin-1")
    assert "transforms.json" in refusal(tmp_path)


def test_frames_without_a_picture_are_left_out_with_a_note(tmp_path):
    folder = write_nerfstudio(tmp_path)
    (folder / "images" / "view_3.png").unlink()
    loaded = load_folder(folder)
    assert loaded.scene.num_views == 5
    assert any("images/view_3.png" in note for note in loaded.notes)
    write_pictures(folder, ["images/extra.jpg"])
    assert any("no pose and are not used: extra.jpg" in x for x in load_folder(folder).notes)
    for path in (folder / "images").iterdir():
        path.unlink()
    assert "none of the 6 pictures" in refusal(folder)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    folder = write_nerfstudio(tmp_path / "scene")
    outside = tmp_path / "outside.png"
    (folder / "images" / "view_2.png").rename(outside)
    (folder / "images" / "view_2.png").symlink_to(outside)
    assert "symbolic link that leads out" in refusal(folder)


# Pictures of another size.


def test_scaled_pictures_come_with_scaled_lenses(tmp_path):
    """Twice as small: the same rays through the middles of blocks of four pixels."""
    folder = write_nerfstudio(tmp_path, k1=0.03, cx=5.0)
    whole, half = (
        load_folder(folder, Reading(factor=factor), cache_dir=tmp_path / "cache").scene
        for factor in (1, 2)
    )
    assert half.images.shape == (6, HEIGHT // 2, WIDTH // 2, 3)
    blocks = whole.images.reshape(6, HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(half.images, blocks, atol=2e-5)
    fine, coarse = (all_rays(scene)["view_1"].directions for scene in (whole, half))
    fine = fine.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(coarse.reshape(fine.shape), fine, atol=2e-3)
    again = load_folder(folder, Reading(factor=2), cache_dir=tmp_path / "cache").scene
    np.testing.assert_array_equal(again.images, half.images)
    assert len(list((tmp_path / "cache" / "scaled").iterdir())) == 6


def test_max_size_bounds_the_longer_side(tmp_path):
    folder = write_nerfstudio(tmp_path)
    loaded = load_folder(folder, Reading(max_size=6), cache_dir=tmp_path / "cache")
    assert loaded.scene.images.shape[1:3] == (4, 6)
    assert any("--max_size" in note for note in loaded.notes)
    assert load_folder(folder, Reading(max_size=0)).scene.images.shape[1:3] == (HEIGHT, WIDTH)


def test_smaller_copies_are_taken_where_they_have_the_right_size(tmp_path):
    folder = write_nerfstudio(tmp_path)
    names = [f"images_2/view_{i}.png" for i in range(6)]
    write_pictures(folder, names, size=(WIDTH // 2, HEIGHT // 2), seed=7)
    loaded = load_folder(folder, Reading(factor=2), cache_dir=tmp_path / "cache")
    assert loaded.capture.files[0].parent.name == "images_2"
    np.testing.assert_allclose(loaded.scene.cameras.focal, 5.0)
    write_pictures(folder, names, size=(WIDTH // 3, HEIGHT // 3))
    loaded = load_folder(folder, Reading(factor=2), cache_dir=tmp_path / "cache")
    assert loaded.capture.files[0].parent.name == "images"
    assert loaded.scene.images.shape[1:3] == (HEIGHT // 2, WIDTH // 2)


def test_smaller_copies_serve_where_there_are_no_originals(tmp_path):
    folder = write_nerfstudio(tmp_path)
    whole = load_folder(folder).scene
    (folder / "images").rename(folder / "images_1")
    assert load_folder(folder).scene.cameras.focal == whole.cameras.focal


def test_pictures_of_different_sizes_are_counted(tmp_path):
    def change(content):
        content["frames"][1] |= {"w": HEIGHT, "h": WIDTH}

    folder = write_nerfstudio(tmp_path, change=change)
    write_pictures(folder, ["images/view_1.png"], size=(HEIGHT, WIDTH))
    message = refusal(folder)
    assert "5 of 12 x 8, 1 of 8 x 12" in message
    assert "view_1.png" in message


# Near, far and space.


def test_near_and_far_can_be_given(tmp_path):
    folder = write_nerfstudio(tmp_path, poses=forward_poses())
    given = Normalization(near=2.0, far=20.0)
    scene = load_folder(folder, Reading(normalization=given)).scene
    np.testing.assert_allclose(scene.bounds, [[4 / 3, 40 / 3]] * 5, rtol=1e-6)
    assert scene.space == "ndc"


def test_without_bounds_those_of_a_forward_rig_follow_from_its_focus(tmp_path):
    folder = write_nerfstudio(tmp_path, poses=forward_poses())
    scene = load_folder(folder).scene
    near, far = scene.bounds.T
    assert (near > 0).all()
    assert (near < far).all()


@pytest.mark.parametrize("space", ["world", "contracted"])
def test_a_space_can_be_asked_for(tmp_path, space):
    folder = write_nerfstudio(tmp_path)
    scene = load_folder(folder, Reading(normalization=Normalization(space=space))).scene
    assert scene.space == space
    assert (scene.cameras.box is not None) == (space == "world")


def test_in_world_space_every_camera_sees_the_box_from_outside(tmp_path):
    scene = load_folder(write_nerfstudio(tmp_path, channels=4)).scene
    positions = scene.cameras.camtoworlds[:, :, 3]
    assert scene.cameras.box == ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0))
    distance = np.linalg.norm(positions, axis=-1)
    np.testing.assert_allclose(distance, distance[0], rtol=0.05)
    assert (scene.bounds[:, 0] <= np.maximum(distance - np.sqrt(3), 0.06)).all()
    assert (scene.bounds[:, 1] >= distance + np.sqrt(3) - 1e-5).all()


def test_in_contracted_space_all_cameras_are_within_one_of_the_middle(tmp_path):
    scene = load_folder(write_nerfstudio(tmp_path)).scene
    positions = scene.cameras.camtoworlds[:, :, 3]
    assert np.abs(positions).max() == pytest.approx(1.0, abs=1e-5)
    up = scene.cameras.camtoworlds[:, :, 1].mean(axis=0)
    np.testing.assert_allclose(up / np.linalg.norm(up), [0.0, 1.0, 0.0], atol=1e-5)
    rays = jax.tree.leaves(all_rays(scene)["view_0"])
    assert all(np.isfinite(leaf).all() for leaf in rays)


def test_cameras_at_one_point_are_refused(tmp_path):
    poses = orbit_poses()
    poses[:, :, 3] = 1.0
    assert "stand at one point" in refusal(write_nerfstudio(tmp_path, poses=poses))
