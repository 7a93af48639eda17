"""Laws of formats: a scene written in any of them and read back is the same scene."""

import itertools
import json

import jax
import numpy as np
import pytest

from nerf.captures.export import EXPORT_FORMATS
from nerf.captures.formats import formats_in
from nerf.errors import UserError
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tests.support.captures import (
    HEIGHT,
    WIDTH,
    all_rays,
    assert_same,
    convert,
    forward_poses,
    orbit_poses,
    refusal,
    write_images,
    write_nerfstudio,
    write_procedural,
)

pytestmark = pytest.mark.slow

PAIRS = list(itertools.permutations(EXPORT_FORMATS, 2))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Scenes by name, each in every format, made of their LLFF form."""
    home = tmp_path_factory.mktemp("formats")
    folders = {}
    for name in ("flower", "table", "courtyard"):
        source = write_procedural(home / name / "source", name)
        folders[name] = {to: convert(source, to, home / name / to) for to in EXPORT_FORMATS}
        folders[name]["source"] = source
    return folders


@pytest.mark.parametrize("name", ["flower", "table", "courtyard"])
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_scene_is_the_same_by_way_of_any_two_formats(written, tmp_path, name, first, second):
    there = convert(written[name][first], second, tmp_path / "there")
    assert formats_in(there) == [second]
    assert_same(written[name]["source"], there)


@pytest.mark.parametrize("to", EXPORT_FORMATS)
def test_photographs_are_the_same_in_every_format(flower_dir, tmp_path, to):
    assert_same(flower_dir, convert(flower_dir, to, tmp_path / to))


def test_spaces_follow_from_the_cameras(written):
    spaces = {
        name: load_folder(forms["colmap"]).scene.space.name for name, forms in written.items()
    }
    assert spaces == {"flower": "ndc", "table": "world", "courtyard": "contracted"}


LENSES = {
    "distorted": {"cx": 5.5, "cy": 4.25, "fl_y": 11.0, "k1": 0.05, "k2": -0.01, "p1": 0.002},
    "fisheye": {"camera_model": "OPENCV_FISHEYE", "k1": 0.02, "k2": 0.01, "k3": -0.004},
    "off the middle": {"cx": 7.0, "cy": 3.0},
    "with k3": {"k1": 0.05, "k3": 0.01},
    "panorama": {"camera_model": "EQUIRECTANGULAR", "fl_x": None},
}


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("to", ["nerfstudio", "blender", "colmap"])
def test_lenses_survive_in_every_format_that_can_express_them(tmp_path, lens, to):
    source = write_nerfstudio(tmp_path / "source", **LENSES[lens])
    assert load_folder(source).scene.cameras.lens is not None
    assert_same(source, convert(source, to, tmp_path / to))


@pytest.mark.parametrize("lens", LENSES)
def test_llff_refuses_the_others(tmp_path, lens):
    source = write_nerfstudio(tmp_path / "source", **LENSES[lens])
    with pytest.raises(UserError, match="panoramas" if lens == "panorama" else "undistort"):
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
    for name in EXPORT_FORMATS:
        assert formats_in(written["flower"][name]) == [name]
    both = convert(written["flower"]["colmap"], "nerfstudio", tmp_path / "both")
    poses = np.load(written["flower"]["llff"] / "poses_bounds.npy")
    np.save(both / "poses_bounds.npy", poses)
    loaded = load_folder(both)
    assert loaded.capture.format == "llff"
    assert any('`format="nerfstudio"`' in note for note in loaded.notes)
    assert load_folder(both, CaptureOptions("nerfstudio")).capture.format == "nerfstudio"
    (tmp_path / "empty").mkdir()
    assert "it must contain poses_bounds.npy" in refusal(tmp_path / "empty")
    assert "unknown format" in refusal(both, format="ply")


# Images of another size.


def test_scaled_images_come_with_scaled_lenses(tmp_path):
    """Twice as small: the same rays through the middles of blocks of four pixels."""
    folder = write_nerfstudio(tmp_path, k1=0.03, cx=5.0)
    whole, half = (
        load_folder(folder, CaptureOptions(factor=factor), cache_dir=tmp_path / "cache").scene
        for factor in (1, 2)
    )
    assert half.images.stack().shape == (6, HEIGHT // 2, WIDTH // 2, 3)
    blocks = whole.images.stack().reshape(6, HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(half.images.stack(), blocks, atol=0.501 / 255)  # rounded
    fine, coarse = (all_rays(scene)["view_1"].directions for scene in (whole, half))
    fine = fine.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(coarse.reshape(fine.shape), fine, atol=2e-3)
    again = load_folder(folder, CaptureOptions(factor=2), cache_dir=tmp_path / "cache").scene
    np.testing.assert_array_equal(again.images.pixels, half.images.pixels)
    assert len(list((tmp_path / "cache" / "scaled").iterdir())) == 6


def test_max_size_bounds_the_longer_side(tmp_path):
    folder = write_nerfstudio(tmp_path)
    loaded = load_folder(folder, CaptureOptions(max_size=6), cache_dir=tmp_path / "cache")
    assert loaded.scene.images.stack().shape[1:3] == (4, 6)
    assert any("`max_size`" in note for note in loaded.notes)
    assert load_folder(folder, CaptureOptions(max_size=0)).scene.images.stack().shape[1:3] == (
        HEIGHT,
        WIDTH,
    )


def test_smaller_copies_are_read_where_they_have_the_right_size(tmp_path):
    folder = write_nerfstudio(tmp_path)
    names = [f"images_2/view_{i}.png" for i in range(6)]
    write_images(folder, names, size=(WIDTH // 2, HEIGHT // 2), seed=7)
    loaded = load_folder(folder, CaptureOptions(factor=2), cache_dir=tmp_path / "cache")
    assert loaded.capture.files[0].parent.name == "images_2"
    np.testing.assert_allclose(loaded.scene.cameras.focal, 5.0)
    write_images(folder, names, size=(WIDTH // 3, HEIGHT // 3))
    loaded = load_folder(folder, CaptureOptions(factor=2), cache_dir=tmp_path / "cache")
    assert loaded.capture.files[0].parent.name == "images"
    assert loaded.scene.images.stack().shape[1:3] == (HEIGHT // 2, WIDTH // 2)


def test_smaller_copies_are_read_where_there_are_no_originals(tmp_path):
    folder = write_nerfstudio(tmp_path)
    whole = load_folder(folder).scene
    (folder / "images").rename(folder / "images_1")
    again = load_folder(folder).scene
    np.testing.assert_array_equal(again.cameras.focal, whole.cameras.focal)


def test_images_of_different_sizes_are_read_as_they_are(tmp_path):
    def change(content):
        content["frames"][1] |= {"w": HEIGHT, "h": WIDTH}

    folder = write_nerfstudio(tmp_path, change=change)
    write_images(folder, ["images/view_1.png"], size=(HEIGHT, WIDTH))
    sizes = [image.shape[:2] for image in load_folder(folder).scene.images]
    assert sizes == [(HEIGHT, WIDTH), (WIDTH, HEIGHT), *[(HEIGHT, WIDTH)] * 4]


# Near, far and space.


def test_near_and_far_can_be_given(tmp_path):
    folder = write_nerfstudio(tmp_path, poses=forward_poses())
    given = CaptureOptions(near=2.0, far=20.0)
    scene = load_folder(folder, given).scene
    np.testing.assert_allclose(scene.cameras.bounds, [[4 / 3, 40 / 3]] * 5, rtol=1e-6)
    assert scene.space.name == "ndc"


def test_without_bounds_those_of_a_forward_rig_follow_from_its_focus(tmp_path):
    folder = write_nerfstudio(tmp_path, poses=forward_poses())
    scene = load_folder(folder).scene
    near, far = scene.cameras.bounds.T
    assert (near > 0).all()
    assert (near < far).all()


@pytest.mark.parametrize("space", ["world", "contracted"])
def test_a_space_can_be_asked_for(tmp_path, space):
    folder = write_nerfstudio(tmp_path)
    scene = load_folder(folder, CaptureOptions(space=space)).scene
    assert scene.space.name == space
    assert scene.space.is_bounded == (space == "world")


def test_in_world_space_every_camera_sees_the_box_from_outside(tmp_path):
    scene = load_folder(write_nerfstudio(tmp_path, channels=4)).scene
    positions = scene.cameras.camtoworlds[:, :, 3]
    assert scene.space.box == ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0))
    distance = np.linalg.norm(positions, axis=-1)
    np.testing.assert_allclose(distance, distance[0], rtol=0.05)
    assert (scene.cameras.bounds[:, 0] <= np.maximum(distance - np.sqrt(3), 0.06)).all()
    assert (scene.cameras.bounds[:, 1] >= distance + np.sqrt(3) - 1e-5).all()


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
    assert "are at one position" in refusal(write_nerfstudio(tmp_path, poses=poses))
