"""Laws of captures in Bundler's format."""

import jax
import numpy as np
import pytest

from nerf.captures.formats import formats_in
from nerf.captures.reading import read_capture
from nerf.geometry.lenses import directions
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tests.support.captures import all_rays, refusal, write_nerfstudio
from tools.other_formats import write_bundler


@pytest.fixture
def folder(tmp_path):
    return write_bundler(read_capture(write_nerfstudio(tmp_path / "ns")), tmp_path / "out")


def rewrite(path, change):
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def test_a_point_on_the_ray_of_a_pixel_is_projected_to_it_by_the_formula_of_the_manual(folder):
    focal, k1, k2 = 9.0, 0.1, -0.05
    rewrite(folder / "bundle.out", lambda lines: [*lines[:2], f"{focal} {k1} {k2}", *lines[3:]])
    lines = (folder / "bundle.out").read_text().splitlines()
    rotation = np.array([line.split() for line in lines[3:6]], float)
    translation = np.array(lines[6].split(), float)

    capture = read_capture(folder)
    (width, height), (column, row) = capture.sizes[0], (3, 2)
    lens = jax.tree.map(lambda x: x[0], capture.lens)
    ray = np.asarray(directions(np.float32(column), np.float32(row), lens))  # x right, y up, z back
    camtoworld = capture.camtoworlds[0]
    point = camtoworld[:, 3] + 2.5 * camtoworld[:, :3] @ ray

    in_camera = rotation @ point + translation
    p = -in_camera[:2] / in_camera[2]
    square = p @ p
    pixel = focal * (1 + k1 * square + k2 * square**2) * p
    expected = [column + 0.5 - width / 2, height / 2 - (row + 0.5)]
    np.testing.assert_allclose(pixel, expected, atol=1e-4)


def test_a_capture_whose_axis_is_in_the_middle_has_the_same_rays(tmp_path):
    width, height = read_capture(write_nerfstudio(tmp_path / "any")).sizes[0].tolist()
    source = write_nerfstudio(tmp_path / "ns", cx=width / 2, cy=height / 2)
    folder = write_bundler(read_capture(source), tmp_path / "out")
    assert formats_in(folder) == ["bundler"]
    rays, expected = (
        all_rays(load_folder(path, CaptureOptions(max_size=0)).scene) for path in (folder, source)
    )
    for one, two in zip(*map(jax.tree.leaves, (rays, expected)), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)


def test_a_camera_without_a_pose_is_left_out_with_a_note(folder):
    before = read_capture(folder)
    rewrite(folder / "bundle.out", lambda lines: [*lines[:2], "0 0 0", *lines[3:]])
    after = read_capture(folder)
    assert after.num_views == before.num_views - 1
    assert "1 camera has no pose and is not used" in after.notes


def test_names_may_have_spaces_and_be_those_of_another_computer(folder):
    """Lists of Bundler have a number and a focal length behind the name; others have the name."""
    for path in (folder / "images").iterdir():
        path.rename(path.with_name(f"my {path.name}"))
    before = [file.name for file in read_capture_after(folder, "D:\\shots\\my {}").files]
    assert before == [f"my view_{i}.png" for i in range(6)]
    assert [file.name for file in read_capture_after(folder, "./my {} 0 9.5").files] == before


def read_capture_after(folder, form):
    names = [f"view_{i}.png" for i in range(6)]
    (folder / "list.txt").write_text("\n".join(form.format(name) for name in names))
    return read_capture(folder)


def test_what_is_wrong_is_said_in_one_sentence(folder):
    whole = (folder / "bundle.out").read_text()
    rewrite(folder / "list.txt", lambda lines: lines[:4])
    assert "lists that many images (list.txt has 4): write list.txt" in refusal(folder)
    for old, new, sentence in (
        ("6 1\n", "7000000 1\n", "there must be 1 to 100,000"),
        ("6 1\n", "600 1\n", "ends before the last of its 600 cameras"),
        ("6 1\n", "six 1\n", "does not begin with the number of its cameras"),
    ):
        assert old in whole
        (folder / "bundle.out").write_text(whole.replace(old, new, 1))
        assert sentence in refusal(folder)


def as_bundler_leaves_it(folder, names="./view_{}.jpg 0 9.5"):
    """`bundle/bundle.out` and `list.txt` beside the images, as the program itself writes them."""
    (folder / "bundle").mkdir()
    (folder / "bundle.out").rename(folder / "bundle" / "bundle.out")
    for path in (folder / "images").iterdir():
        path.rename(folder / path.name)
    (folder / "images").rmdir()
    (folder / "list.txt").write_text("\n".join(names.format(i) for i in range(6)))
    return folder


@pytest.mark.parametrize(
    "names",
    ["./view_{}.jpg 0 9.5", "view_{}.jpg", "view_{} 0 9.5", "view_{}", "./images/view_{}.png 0 9"],
)
def test_the_layout_of_bundler_itself_is_read(folder, names):
    expected = read_capture(folder)
    found = read_capture(as_bundler_leaves_it(folder, names))
    np.testing.assert_array_equal(found.camtoworlds, expected.camtoworlds)
    assert [file.name for file in found.files] == [file.name for file in expected.files]


@pytest.mark.parametrize("is_last_there", [True, False])
def test_of_several_files_bundle_out_is_read_or_else_the_one_with_the_most_cameras(
    folder, is_last_there
):
    expected = read_capture(folder)
    whole = (folder / "bundle.out").read_text().splitlines()
    fewer = [*whole[:2], *["0 0 0"] * 5, *whole[7:-3]]  # Bundler counts all images from the start
    (folder / "bundle_001.out").write_text("\n".join(fewer))
    (folder / "bundle_002.out").write_text("\n".join([whole[0], "1 0", *whole[2:7]]))
    if not is_last_there:
        (folder / "bundle.out").rename(folder / "bundle_006.out")
    found = read_capture(folder)
    np.testing.assert_array_equal(found.camtoworlds, expected.camtoworlds)
    name = "bundle.out" if is_last_there else "bundle_006.out"
    assert f"{name} is read, and not bundle_001.out, bundle_002.out" in found.notes


def test_a_file_without_its_first_comment_is_known_by_its_numbers(folder):
    expected = read_capture(folder)
    rewrite(folder / "bundle.out", lambda lines: lines[1:])
    np.testing.assert_array_equal(read_capture(folder).camtoworlds, expected.camtoworlds)
    (folder / "log.out").write_text("12 8\nall is well\n")
    assert read_capture(folder).notes == expected.notes
