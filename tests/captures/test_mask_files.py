"""Laws of the files of masks: names that are none, what is no mask, and reading in strips."""

import numpy as np
import pytest
from PIL import Image

from nerf.captures.capture import Mask
from nerf.captures.images import decoding as image_decoding
from nerf.captures.images.masks import read_mask
from nerf.captures.reading import read_capture
from nerf.scenes.loading import load_folder
from tests.captures.test_masks import NUM_VIEWS, black_block, write_masks
from tests.support.captures import HEIGHT, WIDTH, refusal, write_nerfstudio
from tools.other_formats import WRITERS


def notes_on_masks(folder):
    return [note for note in load_folder(folder).notes if "mask" in note]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return read_capture(
        write_nerfstudio(tmp_path_factory.mktemp("masks") / "ns", cx=WIDTH / 2, cy=HEIGHT / 2)
    )


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    ("place", "form"),
    [
        ("Masks", "{stem}.png"),
        ("MASK", "{name}.png"),
        ("masks", "{stem}_mask.png"),
        ("mask", "mask_{stem}.PNG"),
        ("{above}/masks", "{stem}.png"),
        ("{images}/Mask", "{name}.mask.png"),
    ],
)
def test_masks_are_found_in_every_format_that_other_programs_write(
    tmp_path, source, name, place, form
):
    """In the folder, beside that of the images, or in it; in capitals, with what programs add."""
    folder = WRITERS[name][0](source, tmp_path / "out")
    paths = []
    for index, file in enumerate(read_capture(folder).files):
        images = file.parent
        above = folder if images == folder else images.parent
        root = folder / place.format(above=above, images=images)
        root.mkdir(exist_ok=True)
        path = root / form.format(stem=file.stem, name=file.name)
        Image.fromarray(black_block(index)).save(path, format="png")
        paths.append(path)
    capture = read_capture(folder)
    assert [mask.file for mask in capture.masks] == paths
    assert not any("mask" in note for note in capture.notes)


def test_files_that_may_be_masks_and_are_not_used_are_noted(tmp_path):
    folder = write_masks(write_nerfstudio(tmp_path))
    (folder / "masks" / "view_0.png").rename(folder / "masks" / "0.png")
    unused = [note for note in notes_on_masks(folder) if "named like no image" in note]
    assert unused == ["1 file in masks named like no image that is used: 0.png"]
    (folder / "masks").rename(folder / "object_masks")
    (note,) = notes_on_masks(folder)
    assert note.startswith("object_masks may hold masks, and is not used: masks are read from")
    (folder / "mask").mkdir()
    (folder / "mask" / "view_0.npy").write_bytes(b"no image")
    assert any("mask has 1 file and no images" in note for note in notes_on_masks(folder))


def test_the_images_themselves_are_never_taken_for_masks(tmp_path):
    """The folder of the images may be called after masks."""
    folder = write_nerfstudio(tmp_path)
    (folder / "images").rename(folder / "masked")
    path = folder / "transforms.json"
    path.write_text(path.read_text().replace("images/", "masked/"))
    assert notes_on_masks(folder) == []


IMPOSSIBLE = {
    "../outside.png": "no mask below it has this name",
    "a\0b.png": "names no mask: name one",
    "": None,
    "/": "names no mask",
    "masks": None,  # a folder
}


@pytest.mark.parametrize("mask_path", IMPOSSIBLE)
@pytest.mark.parametrize("file", ["transforms.json", "transforms_train.json"])
def test_a_mask_path_that_is_none_is_told_as_one_of_a_mask_once(tmp_path, mask_path, file):
    Image.fromarray(black_block(0)).save(tmp_path / "outside.png")

    def change(content):
        for frame in content["frames"]:
            frame["mask_path"] = mask_path

    folder = write_nerfstudio(tmp_path / "scene", change=change)
    (folder / "masks").mkdir()
    (folder / "transforms.json").rename(folder / file)
    expected_message = IMPOSSIBLE[mask_path]
    if expected_message is None:
        assert load_folder(folder).capture.masks in ((), (None,) * NUM_VIEWS)
        return
    message = refusal(folder)
    assert f"{file}: mask_path of images/view_0.png: " in message
    assert expected_message in message
    assert "6 images have this fault" in message


@pytest.mark.parametrize("mask_path", [3, ["a.png"], {"a": 1}])
def test_a_mask_path_that_is_no_text_is_told(tmp_path, mask_path):
    def change(content):
        content["frames"][2]["mask_path"] = mask_path

    assert "mask_path of images/view_2.png: it must be a name" in refusal(
        write_nerfstudio(tmp_path, change=change)
    )


def test_a_photograph_is_not_taken_for_the_mask_that_is_missing(tmp_path):
    """The image of a frame has the name of its mask, and is not it."""

    def change(content):
        for index, frame in enumerate(content["frames"]):
            frame["mask_path"] = f"masks/view_{index}.png"

    loaded = load_folder(write_nerfstudio(tmp_path, change=change))
    assert loaded.capture.masks in ((), (None,) * NUM_VIEWS)
    assert any("6 masks that transforms.json names are missing" in note for note in loaded.notes)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_read_in_strips_is_the_mask(tmp_path, monkeypatch, orientation):
    """Of each size, turned or not."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (17, 13)).save(tmp_path / "x.jpg", exif=exif)
    levels = np.random.default_rng(0).integers(0, 4, (13, 17), np.uint8)
    Image.fromarray(levels).save(tmp_path / "m.png")

    def found(height, width):
        mask = Mask(tmp_path / "m.png")
        return read_mask(mask, tmp_path / "x.jpg", height, width, turned=orientation > 4)

    sizes = [(13, 17), (26, 34), (6, 8), (5, 7)]
    sizes = [size[::-1] for size in sizes] if orientation > 4 else sizes
    whole = [found(*size) for size in sizes]
    assert all(0 < whole_mask.mean() < 1 for whole_mask in whole[:2])
    monkeypatch.setattr(image_decoding, "_STRIP_PIXELS", 40)
    for size, whole_mask in zip(sizes, whole, strict=True):
        np.testing.assert_array_equal(found(*size), whole_mask)


def test_a_mask_that_is_too_large_is_told_as_a_mask(tmp_path, monkeypatch):
    folder = write_masks(write_nerfstudio(tmp_path))
    levels = np.full((4 * HEIGHT, 4 * WIDTH), 255, np.uint8)
    Image.fromarray(levels).save(folder / "masks" / "view_3.png")
    monkeypatch.setattr(image_decoding, "MAX_PIXELS", 4 * HEIGHT * WIDTH)
    message = refusal(folder)
    assert (
        f"cannot read the mask {folder / 'masks' / 'view_3.png'}, which is larger than" in message
    )
    assert "make it smaller" in message
