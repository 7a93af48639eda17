"""Laws of symbolic links: what leads out of the folder is opened with `follow_links` alone."""

import shutil

import jax
import numpy as np
import pytest

from nerf.captures.capture import InvalidCapture
from nerf.captures.export import EXPORT_FORMATS
from nerf.captures.reading import read_capture
from nerf.errors import UserError
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tests.support.captures import convert, write_images, write_nerfstudio
from tools.other_formats import WRITERS


def with_bounds(content):
    for frame in content["frames"]:
        frame |= {"near": 1.0, "far": 5.0}


@pytest.fixture(params=EXPORT_FORMATS)
def folder(request, tmp_path):
    """A capture in each format."""
    seed = write_nerfstudio(tmp_path / "seed", change=with_bounds)
    return convert(seed, request.param, tmp_path / "scene")


def move_out(folder, name):
    """Moves a file or folder out of a capture, and leaves a link."""
    outside = folder.parent / f"outside_{name.replace('/', '_')}"
    shutil.move(folder / name, outside)
    (folder / name).symlink_to(outside)
    return outside


def refusal(folder, **options):
    with pytest.raises(UserError) as caught:
        read_capture(folder, **options)
    problems = getattr(caught.value, "problems", [str(caught.value)])
    assert len(problems) == 1
    return problems[0]


def test_a_folder_of_images_may_be_a_link(folder):
    outside = move_out(folder, "images")
    message = refusal(folder)
    assert f"{folder / 'images'} is a symbolic link to {outside}, which leads out" in message
    assert "follow it with `follow_links=True`" in message
    capture = read_capture(folder, follow_links=True)
    assert capture.num_views == 6
    assert all(file.is_relative_to(folder) for file in capture.files)


def test_single_files_may_be_links(folder):
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    for name in names:
        if "bounds.txt" in name:  # without it, bounds come from the points
            continue
        outside = move_out(folder, name)
        assert f"{folder / name} is a symbolic link to {outside}" in str(
            refusal(folder) if "points3D" not in name else read_capture(folder).notes
        )
        shutil.move(outside, folder / "kept")
        (folder / name).unlink()
        shutil.move(folder / "kept", folder / name)
    for name in names:
        move_out(folder, name)
    assert read_capture(folder, follow_links=True).num_views == 6


def test_the_folder_of_a_model_may_be_a_link(tmp_path):
    folder = convert(write_nerfstudio(tmp_path / "seed"), "colmap", tmp_path / "scene")
    move_out(folder, "sparse")
    assert f"{folder / 'sparse'} is a symbolic link" in refusal(folder)
    assert read_capture(folder, follow_links=True).num_views == 6


def test_links_inside_the_folder_need_no_flag(folder):
    shutil.move(folder / "images", folder / "photos")
    (folder / "images").symlink_to("photos")
    capture = read_capture(folder)
    assert capture.num_views == 6
    assert not any("other names" in note for note in capture.notes)


@pytest.mark.parametrize("name", ["../secret.png", "{}/secret.png", "images/../../secret.png"])
def test_a_name_leads_out_in_no_case(tmp_path, name):
    """Links are the user's own; a name may come with a capture from anywhere."""
    write_images(tmp_path, ["secret.png"])

    def change(content):
        content["frames"][2]["file_path"] = name.format(tmp_path)

    folder = write_nerfstudio(tmp_path / "scene", change=change)
    for follow_links in (False, True):
        with pytest.raises(InvalidCapture, match="leads out of"):
            read_capture(folder, follow_links=follow_links)


def test_images_under_other_names_are_found_behind_links(tmp_path):
    def change(content):
        for frame in content["frames"]:
            frame["file_path"] = f"C:\\scene\\{frame['file_path']}"

    folder = write_nerfstudio(tmp_path / "scene", change=change)
    outside = move_out(folder, "images")
    (outside / "loop").symlink_to(outside)
    assert f"{folder / 'images'} is a symbolic link to {outside}" in refusal(folder)
    assert read_capture(folder, follow_links=True).num_views == 6


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    folder = convert(write_nerfstudio(tmp_path / "seed"), "colmap", tmp_path / "scene")
    outside = move_out(folder, "images")
    shutil.rmtree(outside)
    message = refusal(folder, follow_links=True)
    assert f"images (a link to {outside}, which is not there)" in message


@pytest.mark.parametrize("follow_links", [False, True])
def test_a_loop_of_links_is_no_image(tmp_path, follow_links):
    folder = write_nerfstudio(tmp_path)
    path = folder / "images" / "view_0.png"
    path.unlink()
    path.symlink_to(path)
    capture = read_capture(folder, follow_links=follow_links)
    assert capture.num_views == 5
    assert "1 frame of transforms.json has no image" in capture.notes[0]


@pytest.mark.slow
def test_smaller_copies_beside_a_linked_folder(tmp_path):
    """A copy of a wrong size is replaced by its original, which is behind the link."""
    folder = write_nerfstudio(tmp_path / "scene")
    write_images(folder, [f"images_2/view_{i}.png" for i in range(6)], size=(3, 2))
    move_out(folder, "images")
    loaded = load_folder(folder, CaptureOptions(factor=2, follow_links=True))
    assert any("so the originals are used" in note for note in loaded.notes)


@pytest.mark.parametrize("name", WRITERS)
def test_files_of_poses_may_be_links_in_every_format(tmp_path, name):
    seed = write_nerfstudio(tmp_path / "seed")
    folder = WRITERS[name][0](read_capture(seed), tmp_path / "scene")
    before = read_capture(folder)
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix != ".png"]
    links = [p for p in files if p.name != "rgb.txt"]
    move_out(folder, links[0].relative_to(folder).as_posix())
    assert f"{links[0]} is a symbolic link to" in refusal(folder)
    for path in links[1:]:
        move_out(folder, path.relative_to(folder).as_posix())
    after = read_capture(folder, follow_links=True)
    np.testing.assert_array_equal(after.camtoworlds, before.camtoworlds)
    for one, two in zip(*map(jax.tree.leaves, (after.lens, before.lens)), strict=True):
        np.testing.assert_array_equal(one, two)
