"""Laws of images under other names: what a person would take for the image is read, and told."""

import json
import unicodedata

import numpy as np
import pytest

from nerf.captures.capture import InvalidCapture
from nerf.captures.images.index import index_of_names, list_images
from nerf.captures.images.names import match_images
from nerf.captures.reading import read_capture
from nerf.errors import UserError, printable
from tests.support.captures import (
    HEIGHT,
    WIDTH,
    orbit_poses,
    refusal,
    transforms,
    write_images,
)

REAL = [f"images/view_{i}.png" for i in range(4)]


def write_json(folder, names, real=REAL, file="transforms.json", encoding="utf-8", **shared):
    """A transforms.json with names of images, and images with the real names."""
    write_images(folder, real)
    content = transforms(orbit_poses(len(names)), names, **shared)
    (folder / file).write_bytes(json.dumps(content, ensure_ascii=False).encode(encoding))
    return folder


def write_colmap(folder, names, real=REAL, encoding="utf-8"):
    """COLMAP's text files with names of images, and images with the real names."""
    write_images(folder, real)
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    lines = [f"{i} 1 0 0 0 {i} 0 0 1 {name}\n\n" for i, name in enumerate(names)]
    texts = {"cameras": f"1 PINHOLE {WIDTH} {HEIGHT} 10 10 6 4\n", "images": "".join(lines)}
    for name, text in {**texts, "points3D": ""}.items():
        (model / f"{name}.txt").write_bytes(text.encode(encoding))
    return folder


def files_of(capture):
    return [file.relative_to(capture.folder).as_posix() for file in capture.files]


@pytest.mark.parametrize(
    ("named", "real"),
    [
        ("/home/me/spoon/images/view_{}.png", "images/view_{}.png"),
        ("C:\\Users\\me\\spoon\\images\\view_{}.png", "images/view_{}.png"),
        ("\\\\server\\share\\view_{}.png", "images/view_{}.png"),
        ("..\\other\\view_{}.png", "images/view_{}.png"),
        ("../other/view_{}", "images/view_{}.png"),
        ("images/view_{}.png", "images/VIEW_{}.PNG"),
        ("images/view_{}.png", "Images/view_{}.png"),
        ("images/view_{}.png", "images/view_{}.jpg"),
        ("images/view_{}.HEIC", "images/view_{}.jpg"),
        ("images/view_{}.jpg", "images/view_{}.jpg.png"),
        ("images/Säule_{}.png", unicodedata.normalize("NFD", "images/Säule_{}.png")),
        (unicodedata.normalize("NFD", "images/Säule_{}.png"), "images/Säule_{}.png"),
        ("images/view_{}.png", "images/view_000{}.png"),
        ("images/view_007_{}.png", "images/View_7_0{}.jpg"),
        ("images/my view {}.png", "images/my  view {}.png"),
        ("images/my%20view%20{}.png", "images/my view {}.png"),
        ("images/Säule_{}.png", "images/S\udce4ule_{}.png"),  # in Latin-1 on the disk
        ("images/Säule_{}.png", "images/SÃ¤ule_{}.png"),  # UTF-8 taken for Latin-1
        ("images/view_{}.png", "images\\view_{}.png"),  # as some programs unpack archives
    ],
)
@pytest.mark.parametrize("write", [write_json, write_colmap])
def test_images_are_found_under_other_names_and_one_note_says_so(tmp_path, write, named, real):
    if write is write_colmap:
        named = named.removeprefix("images/")
    names, files = ([text.format(i) for i in range(4)] for text in (named, real))
    capture = read_capture(write(tmp_path / "scene", names, files))
    assert files_of(capture) == files
    (note,) = [note for note in capture.notes if "under other names" in note]
    assert note.startswith("4 images are found")
    assert f"{names[0]} is {printable(files[0])}" in note


def test_images_beside_the_file_are_found(tmp_path):
    real = [f"view_{i}.png" for i in range(4)]
    capture = read_capture(write_json(tmp_path, REAL, real))
    assert files_of(capture) == real
    assert "images/view_0.png is view_0.png" in capture.notes[0]


PATHS = (
    *("{}/images/view_{}.png", "../scene/images/view_{}.png"),
    *("images/../images/view_{}.png", "./images//view_{}"),
)


@pytest.mark.parametrize("written_as", PATHS)
def test_a_path_is_judged_by_where_it_leads(tmp_path, written_as, monkeypatch):
    folder = tmp_path / "scene"
    names = [written_as.replace("{}", str(folder), written_as.count("{}") - 1) for _ in range(4)]
    names = [name.format(i) for i, name in enumerate(names)]
    capture = read_capture(write_json(folder, names))
    assert files_of(capture) == REAL
    assert capture.notes == ()
    monkeypatch.chdir(tmp_path)
    assert read_capture(type(folder)("scene")).num_views == 4


def test_the_end_of_a_path_tells_images_of_the_same_name_apart(tmp_path):
    real = [f"{side}/{i}.png" for side in ("left", "right") for i in range(2)]
    folder = write_json(tmp_path, [f"/data/{name}" for name in reversed(real)], real)
    assert dict(zip(files_of(read_capture(folder)), range(4), strict=True)).keys() == set(real)
    matches = match_images(folder, ["D:/x/right/1.jpg", "/y/left/1"])
    assert matches.file("D:/x/right/1.jpg") == folder / "right" / "1.png"
    assert matches.file("/y/left/1") == folder / "left" / "1.png"


def test_ambiguous_names_are_an_error_that_lists_the_candidates(tmp_path):
    real = [f"{side}/{i}.png" for side in ("left", "right") for i in range(5)]
    folder = write_json(tmp_path, [f"/data/{i}.png" for i in range(5)], real)
    with pytest.raises(InvalidCapture) as caught:
        read_capture(folder)
    (problem,) = caught.value.problems
    assert "'/data/0.png' may be each of left/0.png, right/0.png" in problem
    assert "5 frames have this fault: frame 0, frame 1, frame 2, and 2 more" in problem


@pytest.mark.parametrize("name", ["images/view_0", "/x/view_0.tif"])
def test_two_suffixes_are_ambiguous(tmp_path, name):
    folder = write_json(tmp_path, [name], ["images/view_0.png", "images/view_0.jpg"])
    with pytest.raises(
        InvalidCapture, match=r"may be each of images/view_0\.jpg, images/view_0\.png"
    ):
        read_capture(folder)


@pytest.mark.parametrize(
    "name", ["images/\ud800.png", "\udcff", "a\nb\x1b[31m.png", "n" * 900, "²³.png"]
)
@pytest.mark.parametrize("write", [write_json, write_colmap])
def test_a_name_of_any_letters_is_refused_in_one_line_that_can_be_printed(tmp_path, write, name):
    folder = write(tmp_path, ["x.png"])
    if write is write_json:
        (folder / "transforms.json").write_text(json.dumps(transforms(orbit_poses(1), [name])))
    else:
        line = f"1 1 0 0 0 0 0 0 1 {name}\n\n".encode("utf-8", "surrogatepass")
        (folder / "sparse" / "0" / "images.txt").write_bytes(line)
    with pytest.raises(UserError) as caught:
        read_capture(folder)
    message = str(caught.value)
    assert message.isprintable()
    message.encode()


def test_an_image_serves_one_name(tmp_path):
    matches = match_images(write_json(tmp_path, REAL), ["/a/view_0.png", "/b/view_0.png"])
    assert set(matches.faults) == {"/a/view_0.png", "/b/view_0.png"}
    matches = match_images(tmp_path, ["images/view_0.png", "/b/view_0.png", "/b/view_1.png"])
    assert matches.file("/b/view_0.png") is None  # that image has its own name already
    assert matches.renamed == ["/b/view_1.png"]


def test_masks_and_depths_are_no_images(tmp_path):
    real = [f"{kind}/view_{i}.png" for kind in ("photos", "masks", "depth_maps") for i in range(4)]
    capture = read_capture(write_json(tmp_path, [f"view_{i}.png" for i in range(4)], real))
    assert files_of(capture) == real[:4]
    assert match_images(tmp_path, ["/x/masks/view_1.png"]).files  # which are meant here


def test_a_view_of_the_training_part_does_not_stand_for_one_of_the_test_part(tmp_path):
    real = [f"train/r_{i}.png" for i in range(4)]
    matches = match_images(write_json(tmp_path, real, real), ["./test/r_0", "/x/val/r_1.png"])
    assert matches.file("./test/r_0") is None
    assert "leads out of" in matches.faults["/x/val/r_1.png"]


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("write", [write_json, write_colmap])
def test_smaller_copies_are_chosen_for_images_under_other_names(tmp_path, write, suffix):
    names = [f"/x/images/view_{i}.jpg" for i in range(4)]
    copies = [f"images_2/view_{i}.{suffix}" for i in range(4)]
    folder = write(tmp_path, names, [*REAL, *copies])
    assert files_of(read_capture(folder, factor=2)) == copies
    assert files_of(read_capture(folder)) == REAL
    assert files_of(read_capture(folder, factor=8)) == REAL
    for name in REAL:
        (folder / name).unlink()
    assert files_of(read_capture(folder)) == copies


def test_a_split_may_name_images_otherwise_than_the_frames(tmp_path):
    names = [f"/home/me/images/view_{i}.png" for i in range(4)]
    lists = {"train_filenames": REAL[:3], "test_filenames": ["view_3.jpg"]}
    capture = read_capture(write_json(tmp_path, names, **lists))
    assert capture.split == ((0, 1, 2), (3,))
    assert not any("of no image" in note for note in capture.notes)
    files = list_images(tmp_path).images
    assert index_of_names(files, ["C:\\view_2.png", "view_9", ""]) == {"C:\\view_2.png": [2]}


def test_a_split_that_names_one_of_two_images_is_refused_with_both(tmp_path):
    names = [f"images/{side}/{i}.png" for side in ("left", "right") for i in range(2)]
    write_images(tmp_path, names)
    folder = write_json(tmp_path, names, test_filenames=["right/0.png", "1.png"])
    message = refusal(folder)
    expected_message = (
        "'1' in test_filenames may be each of images/left/1.png, images/right/1.png: give more"
    )
    assert expected_message in message


def test_names_that_lead_out_are_not_read_and_the_message_says_what_is_there(tmp_path):
    write_images(tmp_path, [f"secret_{i}.png" for i in range(4)])
    for name in ("../secret_{}.png", f"{tmp_path}/secret_{{}}.png", "C:\\secret_{}.png"):
        folder = write_json(tmp_path / "scene", [name.format(i) for i in range(4)])
        with pytest.raises(InvalidCapture) as caught:
            read_capture(folder)
        (problem,) = caught.value.problems
        assert "leads out of" in problem
        assert "4 images: images/view_0.png, images/view_1.png, images/view_2.png" in problem


def test_a_frame_without_an_image_is_left_out_of_a_capture_of_another_computer(tmp_path):
    names = [f"/home/me/images/view_{i}.png" for i in range(5)]
    capture = read_capture(write_json(tmp_path, names))
    assert capture.num_views == 4
    assert any("1 frame of" in note and names[4] in note for note in capture.notes)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_passed_over(tmp_path, encoding):
    assert read_capture(write_json(tmp_path / "json", REAL, encoding=encoding)).num_views == 4
    names = [name.removeprefix("images/") for name in REAL]
    folder = write_colmap(tmp_path / "colmap", names, encoding=encoding)
    bounds = "".join(f"{name} 1.0 9.0\n" for name in names)
    (folder / "sparse" / "0" / "bounds.txt").write_bytes(bounds.encode(encoding))
    np.testing.assert_array_equal(read_capture(folder).bounds, [[1.0, 9.0]] * 4)


@pytest.mark.parametrize("space", ["  ", " \t ", "\u3000", "\x85", "\u2028"])
def test_names_in_text_keep_their_spaces(tmp_path, space):
    names = [f"my{space}view {i}.png" for i in range(4)]
    folder = write_colmap(tmp_path, names, [f"images/{name}" for name in names])
    bounds = "".join(f"{name} 1.0 9.0\n" for name in names)
    (folder / "sparse" / "0" / "bounds.txt").write_text(bounds, encoding="utf-8")
    capture = read_capture(folder)
    assert [file.name for file in capture.files] == names
    assert capture.notes == ()
    assert capture.bounds is not None


def test_names_that_are_not_utf_8_are_found(tmp_path):
    names = [f"caf\udce9 {i}.png" for i in range(4)]
    real = [f"images/{name}" for name in names]
    folder = write_images(tmp_path, real) or tmp_path
    write_colmap(folder, ["x.png"], [])
    lines = [f"{i} 1 0 0 0 {i} 0 0 1 {name}\n\n" for i, name in enumerate(names)]
    path = folder / "sparse" / "0" / "images.txt"
    path.write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
    assert [file.name for file in read_capture(folder).files] == names


@pytest.mark.parametrize("write", [write_json, write_colmap])
def test_a_message_says_what_is_there(tmp_path, write):
    folder = write(tmp_path, ["a.png", "b.png"], ["images/other.png"])
    with pytest.raises(UserError, match=r"has 1 image: images/other\.png"):
        read_capture(folder)
    (folder / "images" / "other.png").rename(folder / "images.exr")
    with pytest.raises(UserError, match=r"no image is there: .* has images\.exr, images/"):
        read_capture(folder)


def test_a_scene_in_a_folder_below_is_named(tmp_path):
    write_json(tmp_path / "spoon" / "spoon", REAL)
    with pytest.raises(UserError, match=r"but there is one in .*spoon/spoon: give that folder"):
        read_capture(tmp_path / "spoon")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty is empty"):
        read_capture(tmp_path / "empty")


def test_a_superscript_is_no_number(tmp_path):
    names = [f"train/{i}².png" for i in range(4)]
    folder = write_json(tmp_path, [name[:-4] for name in names], names, "transforms_train.json")
    assert files_of(read_capture(folder)) == names


@pytest.mark.parametrize("where", ["name", "file"])
def test_a_space_behind_a_name_is_a_slip_of_the_hand(tmp_path, where):
    """In the file of poses, or in the folder."""
    spaced = [f"{name} " for name in REAL]
    names, real = (spaced, REAL) if where == "name" else (REAL, spaced)
    folder = write_json(tmp_path, names, real=REAL)
    for one, other in zip(REAL, real, strict=True):
        (folder / one).rename(folder / other)
    found = read_capture(folder)
    assert files_of(found) == real
    assert any("found under other names" in note for note in found.notes)


def test_numbers_that_differ_in_more_than_zeros_before_them_are_others(tmp_path):
    names, real = ["1.png", "10.png", "100.png", "2.png"], ["01.png", "010.png", "0100.png"]
    capture = read_capture(write_json(tmp_path / "one", names, real))
    assert files_of(capture) == real
    assert any("1 frame of transforms.json has no image" in note for note in capture.notes)
    both = write_json(tmp_path / "both", ["1.png", "001.png", "02.png"], ["1.png", "001.png"])
    assert sorted(files_of(read_capture(both))) == ["001.png", "1.png"]
    unclear = write_json(tmp_path / "unclear", ["1.png", "2.png"], ["01.png", "001.png", "2.png"])
    with pytest.raises(InvalidCapture, match=r"may be each of 001\.png, 01\.png"):
        read_capture(unclear)
