"""Laws of poses under another name than usual, or in a folder beside that of the images."""

import json
import shutil

import numpy as np
import pytest

from nerf.captures.export import EXPORT_FORMATS
from nerf.captures.formats import formats_in
from nerf.captures.reading import read_capture
from tests.support.captures import convert, refusal, write_nerfstudio
from tests.support.written_scenes import write_scenes
from tools.other_formats import WRITERS


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A scene in each format."""
    return write_scenes(tmp_path_factory.mktemp("scenes"))


# Formats whose poses and images lie in one folder, as their programs write them.
POSES_WITH_IMAGES = {"polycam", "realitycapture xmp", "record3d"}


@pytest.mark.parametrize("name", ["transforms (1).json", "transforms_all.json", "export.JSON"])
def test_a_transforms_file_alone_is_read_under_any_name(tmp_path, scenes, name):
    folder = tmp_path / "scene"
    shutil.copytree(scenes["nerfstudio"], folder)
    (folder / "transforms.json").rename(folder / name)
    (folder / "camera_path.json").write_text(json.dumps({"camera_path": []}))
    (folder / "notes.json").write_text("[]")
    capture = read_capture(folder)
    expected = read_capture(scenes["nerfstudio"])
    np.testing.assert_array_equal(capture.camtoworlds, expected.camtoworlds)
    assert f"{name} is read as transforms.json, which is not there" in capture.notes
    (folder / "transforms.json").write_text((folder / name).read_text())
    assert not any("is read as" in note for note in read_capture(folder).notes)


def test_several_transforms_files_are_listed(tmp_path, scenes):
    folder = tmp_path / "scene"
    shutil.copytree(scenes["nerfstudio"], folder)
    path = folder / "transforms.json"
    shutil.copy(path, folder / "transforms (1).json")
    path.rename(folder / "transforms (2).json")
    message = refusal(folder)
    assert "transforms (1).json, transforms (2).json in" in message
    assert f"move or copy the right one to {folder / 'transforms.json'}" in message


@pytest.mark.parametrize("name", ["images/{}", "../images/{}", "{}", "./../images/{}"])
@pytest.mark.parametrize(("masks", "depth"), [("masks", "depth"), ("../masks", "../depth")])
def test_all_that_a_transforms_file_beside_the_images_names_is_found(
    tmp_path, scenes, name, masks, depth
):
    folder, expected = tmp_path / "scene", read_capture(scenes["nerfstudio"])
    shutil.copytree(scenes["nerfstudio"], folder)
    content = json.loads((folder / "transforms.json").read_text())
    for frame in content["frames"]:
        bare = frame["file_path"].rpartition("/")[2]
        frame |= {"file_path": name.format(bare), "mask_path": f"{masks}/{bare}"}
        frame["depth_file_path"] = f"{depth}/{bare}"
    content["test_filenames"] = [content["frames"][2]["file_path"], "view_4.png"]
    (folder / "poses").mkdir()
    for place in (masks, depth):
        shutil.copytree(folder / "images", folder / "poses" / place)
        shutil.copytree(folder / "images", folder / "older" / place.removeprefix("../"))
    (folder / "transforms.json").unlink()
    (folder / "poses" / "transforms.json").write_text(json.dumps(content))
    capture = read_capture(folder)
    np.testing.assert_array_equal(capture.camtoworlds, expected.camtoworlds)
    assert [x.name for x in capture.files] == [x.name for x in expected.files]
    assert "the poses are read from poses" in capture.notes
    assert ("are found under other names" in str(capture.notes)) == (name == "{}")
    assert capture.split.test == (2, 4)
    place = (folder / "poses" / masks).resolve()
    assert [mask.file for mask in capture.masks] == [place / x.name for x in capture.files]
    assert {x.file.parent for x in capture.depth_files} == {(folder / "poses" / depth).resolve()}
    advice = f"is a part of the scene in {folder}: give that folder"
    assert advice in refusal(folder / "poses")


@pytest.mark.parametrize("name", sorted({*WRITERS, *EXPORT_FORMATS} - POSES_WITH_IMAGES))
def test_poses_in_a_folder_of_their_own_are_read_with_the_images_beside_it(tmp_path, scenes, name):
    folder, expected = tmp_path / "scene", read_capture(scenes[name])
    shutil.copytree(scenes[name], folder)
    poses = folder / "export" / "of poses"
    others = [path for path in folder.iterdir() if not has_images(path)]
    poses.mkdir(parents=True)
    for path in others:
        path.rename(poses / path.name)
    capture = read_capture(folder)
    assert (capture.format, capture.names) == (expected.format, expected.names)
    np.testing.assert_array_equal(capture.camtoworlds, expected.camtoworlds)
    for found, expected_pose in zip(capture.lens[:4], expected.lens[:4], strict=True):
        np.testing.assert_array_equal(found, expected_pose)
    assert capture.notes == ("the poses are read from export/of poses", *expected.notes)
    assert read_capture(folder, format=expected.format).num_views == expected.num_views
    assert f"is a part of the scene in {folder}: give that folder" in refusal(poses)
    shutil.copytree(poses, folder / "export" / "older")
    message = refusal(folder)
    assert f"export/of poses, export/older in {folder} may each have the poses" in message
    assert "`format`" not in message
    shutil.rmtree(folder / "export" / "older")
    convert(scenes["nerfstudio"], "llff", folder / "export" / "older")
    shutil.rmtree(folder / "export" / "older" / "images")
    if name != "llff":
        assert "or choose `format`" in refusal(folder)
        assert read_capture(folder, format=expected.format).num_views == expected.num_views
    shutil.rmtree(folder / "export" / "older")
    write_nerfstudio(folder / "export" / "another")
    assert f"but there is one in {folder / 'export' / 'another'}: give that" in refusal(folder)


def has_images(path):
    return path.suffix == ".png" or any(path.rglob("*.png"))


def test_another_scene_beside_images_is_not_taken_for_a_part(tmp_path, scenes):
    shutil.copytree(scenes["nerfstudio"], tmp_path / "one")
    shutil.copytree(scenes["nerfstudio"], tmp_path / "two")
    for path in (tmp_path / "one" / "images").iterdir():
        path.unlink()
    for number, path in enumerate(sorted((tmp_path / "two" / "images").iterdir())):
        path.rename(path.with_name(f"other_{number}.png"))
    assert "none of the" in refusal(tmp_path / "one")


def test_a_transforms_file_of_another_name_does_not_replace_another_format(tmp_path, scenes):
    folder = tmp_path / "scene"
    shutil.copytree(scenes["colmap"], folder)
    shutil.copy(scenes["nerfstudio"] / "transforms.json", folder / "transforms_all.json")
    assert formats_in(folder) == ["colmap"]
