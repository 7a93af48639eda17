"""Laws of folders and files that are no scene: what is there is said, and what to do."""

import json
import re
import shlex
import shutil
import zipfile

import pytest

from nerf.captures.advice.other_programs import UNSUPPORTED
from nerf.captures.export import EXPORT_FORMATS
from nerf.captures.formats import formats_in
from nerf.captures.reading import read_capture
from nerf.errors import UserError
from nerf.posing.find import find_poses
from tests.captures.test_blender_without_images import write_blender
from tests.support.captures import orbit_poses, refusal, write_images, write_nerfstudio
from tests.support.written_scenes import write_scenes
from tools.other_formats import WRITERS


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A scene in each format."""
    return write_scenes(tmp_path_factory.mktemp("scenes"))


# A folder inside of a capture.


@pytest.mark.parametrize("name", [*WRITERS, *EXPORT_FORMATS])
def test_from_every_folder_inside_a_capture_its_own_is_named(scenes, name):
    whole = scenes[name]
    inner = [path for path in whole.rglob("*") if path.is_dir()]
    assert inner or name == "scanner_app"  # which has none
    for folder in inner:
        if formats_in(folder) == ["realitycapture"]:  # its files lie beside the images
            continue
        if folder.name == "keyframes":  # which is a capture by itself
            assert read_capture(folder).num_views == 6
            continue
        message = refusal(folder)
        assert str(whole) in message.replace(str(folder), ""), message
        assert "give that folder" in message


def test_only_folders_called_as_parts_of_scenes_are_taken_for_such(tmp_path):
    folder = write_nerfstudio(tmp_path / "scene")
    write_images(folder / "holiday", ["a.png", "b.png"])
    message = refusal(folder / "holiday")
    assert f"if they are of the scene in {folder}, give that folder, else find the poses" in message


def test_a_scene_two_folders_below_is_found(tmp_path):
    write_nerfstudio(tmp_path / "download" / "export" / "room")
    message = refusal(tmp_path / "download")
    assert f"there is one in {tmp_path / 'download' / 'export' / 'room'}" in message


@pytest.mark.parametrize("name", ["transforms.json", "poses_bounds.npy"])
def test_a_file_of_poses_is_no_folder_and_has_poses(tmp_path, name):
    folder = write_nerfstudio(tmp_path / "scene")
    (folder / name).touch()
    message = refusal(folder / name)
    assert (
        f"is not a folder: give the folder of the scene, with its poses and images, {folder}"
        in (message)
    )
    with pytest.raises(UserError, match=r"has poses already .*, so use that folder as a scene"):
        find_poses(folder / name, tmp_path / "out")


# Files of other programs.

KINDS = sorted({name for kind in UNSUPPORTED for name in kind.names})


def named(name):
    return f"my scan{name}" if name.startswith(".") else name


@pytest.mark.parametrize("name", KINDS)
def test_what_is_not_read_is_named_with_what_to_do(tmp_path, name):
    """Alone in a folder, and given as a file."""
    (tmp_path / "scan").mkdir()
    path = tmp_path / "scan" / named(name)
    path.write_bytes(b"II*\0 whatever")
    for message in (refusal(path.parent), refusal(path)):
        assert message.startswith(f"{path} is "), message
        assert "which is not read: " in message
        assert "{" not in message


@pytest.mark.parametrize(
    "kind", [kind for kind in UNSUPPORTED if kind.has_poses], ids=lambda k: k.what
)
def test_beside_images_both_ways_are_said(tmp_path, kind):
    write_images(tmp_path, ["images/a.png", "images/b.png"])
    (tmp_path / named(kind.names[0]).upper()).touch()
    message = refusal(tmp_path)
    assert f"is {kind.what}, which is not read" in message
    assert "and 2 images there without poses can be posed with python -m nerf.pose" in message


def test_results_beside_images_say_nothing(tmp_path):
    write_images(tmp_path, ["a.png", "b.png"])
    for name in ("mesh.obj", "points.ply", "a.dng"):
        (tmp_path / name).touch()
    assert "which has 2 images and no poses: find the poses with" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("block.xml", "<BlocksExchange version='3.2'>", "a block of ContextCapture"),
        ("cameras.txt", "image X Y Z Omega Phi Kappa\n", "a table of angles omega, phi, kappa"),
        (
            "dataset_train.txt",
            "Visual Landmark Dataset V1\nImageFile, Camera Position [X Y Z W P Q R]\n\n"
            "seq1/frame00001.png 25.3 -16.8 1.7 0.7 0.5 -0.3 -0.3\n",
            "a list of Cambridge Landmarks",
        ),
    ],
)
def test_some_kinds_are_told_by_what_they_say(tmp_path, name, text, what):
    (tmp_path / name).write_text(text)
    assert f"is {what}" in refusal(tmp_path)


def test_the_command_for_an_archive_unpacks_it(tmp_path, scenes):
    """And the folder that it names is read."""
    folder = tmp_path / "app"
    shutil.copytree(scenes["record3d"], folder / "inside")
    with zipfile.ZipFile(folder / "my scan.r3d", "w") as archive:
        for path in (folder / "inside").rglob("*"):
            name = path.relative_to(folder / "inside").as_posix()
            name = name.replace("rgb/", "rgbd/").replace("metadata.json", "metadata")
            if path.is_file():
                archive.write(path, name)
    shutil.rmtree(folder / "inside")
    (command,) = re.findall("`([^`]*)`", refusal(folder))
    program, file, option, out = shlex.split(command)
    assert (program, option) == ("unzip", "-d")
    zipfile.ZipFile(file).extractall(out)
    assert f"and give the folder '{out}'" in refusal(folder / "my scan.r3d")
    assert read_capture(tmp_path / out).num_views == 6


# What is missing.


@pytest.mark.parametrize("place", ["sparse/0", "colmap/sparse/0", "sparse", "."])
@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        (
            ["cameras"],
            "has images.bin, points3D.bin of a COLMAP model, but no cameras.bin: copy it",
        ),
        (["images"], "has cameras.bin, points3D.bin of a COLMAP model, but no images.bin: copy it"),
    ],
)
def test_a_part_of_a_colmap_model_that_is_missing_is_named(tmp_path, scenes, place, gone, sentence):
    folder = tmp_path / "scene"
    shutil.copytree(scenes["colmap"], folder)
    shutil.move(folder / "sparse" / "0", tmp_path / "model")
    (folder / "sparse").rmdir()
    for part in gone:
        (tmp_path / "model" / f"{part}.bin").unlink()
    shutil.copytree(tmp_path / "model", folder / place, dirs_exist_ok=True)
    message = refusal(folder)
    assert sentence in message
    assert str(folder / place) in message
    assert "can be posed with python -m nerf.pose" in message


def test_a_model_whose_files_have_two_forms_is_told_which_is_missing(tmp_path, scenes):
    folder = tmp_path / "scene"
    shutil.copytree(scenes["colmap"], folder)
    (folder / "sparse" / "0" / "images.bin").rename(folder / "sparse" / "0" / "images.txt")
    assert "has cameras.bin, images.txt" in refusal(folder)


@pytest.mark.parametrize("part", ["test", "val"])
def test_held_out_views_of_blender_without_those_to_train_on(tmp_path, part):
    folder = write_blender(tmp_path / "scene", **{part: (orbit_poses(4), True)})
    sentence = f"has transforms_{part}.json of a Blender capture, but no transforms_train.json"
    assert sentence in refusal(folder)


@pytest.mark.parametrize(
    ("name", "gone", "sentence"),
    [
        ("polycam", "keyframes/corrected_cameras", "has no cameras or corrected_cameras"),
        ("trajectory csv", "poses.csv", "has intrinsics.json, but no poses ("),
        ("trajectory kitti", "poses.txt", "has calib.txt, but no poses ("),
    ],
)
def test_what_else_may_be_missing(tmp_path, scenes, name, gone, sentence):
    folder = tmp_path / "scene"
    shutil.copytree(scenes[name], folder)
    path = folder / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert sentence in refusal(folder)


def test_a_table_without_names_of_columns_is_told_what_to_put_above(tmp_path, scenes):
    folder = tmp_path / "scene"
    shutil.copytree(scenes["trajectory csv"], folder)
    path = folder / "poses.csv"
    rows = path.read_text().splitlines()[1:]
    path.write_text("\n".join(rows))
    (above,) = re.findall("put (name,[a-z,]*) above its values", refusal(folder))
    path.write_text("\n".join([above, *rows]))
    assert read_capture(folder).num_views == 6


@pytest.mark.parametrize("name", ["groundtruth.txt.txt", "transforms.json.txt"])
def test_windows_hides_the_second_ending_of_a_name(tmp_path, name):
    write_images(tmp_path, ["a.png", "b.png"])
    (tmp_path / name).touch()
    assert f"rename it to {name[:-4]}; and 2 images" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty: copy it again"),
        (bytes(100), "is empty: copy it again"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page or XML, not JSON"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is what Git LFS has in place of it"),
    ],
)
def test_what_is_called_json_and_is_none_is_named(tmp_path, scenes, content, what):
    (tmp_path / "transforms.json").write_bytes(content)
    assert what in refusal(tmp_path)


def test_a_file_of_a_model_leads_to_the_folder_of_the_capture(scenes):
    whole = scenes["colmap"]
    message = refusal(whole / "sparse" / "0" / "cameras.bin")
    assert message.endswith(f"with its poses and images, {whole}")


@pytest.mark.parametrize("form", ["{} (1)", "{} copy", "{} - Copy", "{} - Copy (2)", "{} copy 3"])
@pytest.mark.parametrize("name", ["llff poses_bounds.npy", "blender transforms_train.json"])
def test_a_copy_is_told_which_name_to_have(tmp_path, scenes, name, form):
    format, _, file = name.partition(" ")
    folder = tmp_path / "scene"
    shutil.copytree(scenes[format], folder)
    for path in folder.glob("transforms_*.json"):
        if path.name != file:
            path.unlink()
    path = folder / file
    path.rename(path.with_stem(form.format(path.stem)))
    assert f"has the name of a copy: rename it to {file}" in refusal(folder)


# gaussian-splatting's cameras.json.


def test_cameras_without_images_are_told_where_these_are(tmp_path, scenes):
    shutil.copy(scenes["gaussian_splatting"] / "cameras.json", tmp_path)
    assert "has cameras of gaussian-splatting, whose images are not there" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"k1": 0.1}, "has k1, which gaussian-splatting does not write"),
        ({"img_name": ""}, "has no img_name"),
        ({"rotation": [[1, 0], [0, 1]]}, "rotation must be 9 numbers"),
        ({"width": 0}, "must be a whole number of pixels"),
    ],
)
def test_cameras_of_gaussian_splatting_that_cannot_be_read(tmp_path, scenes, values, sentence):
    shutil.copytree(scenes["gaussian_splatting"], tmp_path / "scene")
    path = tmp_path / "scene" / "cameras.json"
    entries = json.loads(path.read_text())
    path.write_text(json.dumps([entry | values for entry in entries]))
    assert sentence in refusal(tmp_path / "scene")
    path.write_text(json.dumps([entry | {"rig": "left"} for entry in entries]))
    assert any("not known, and are ignored: rig" in n for n in read_capture(path.parent).notes)
