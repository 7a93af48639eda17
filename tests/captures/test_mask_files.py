"""Laws of the files of masks: names that are none, what is no mask, and reading in strips."""

import numpy as np
import pytest
from PIL import Image

from nerf.captures import image_decoding
from nerf.captures.capture import Mask
from nerf.captures.masks import read_mask
from nerf.scenes.loading import load_folder
from tests.captures.test_masks import NUM_VIEWS, black_block, write_masks
from tests.support.captures import HEIGHT, WIDTH, refusal, write_nerfstudio

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
    said = IMPOSSIBLE[mask_path]
    if said is None:
        assert load_folder(folder).capture.masks in ((), (None,) * NUM_VIEWS)
        return
    message = refusal(folder)
    assert f"{file}: mask_path of images/view_0.png: " in message
    assert said in message
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
    assert all(0 < kept.mean() < 1 for kept in whole[:2])
    monkeypatch.setattr(image_decoding, "_STRIP_PIXELS", 40)
    for size, kept in zip(sizes, whole, strict=True):
        np.testing.assert_array_equal(found(*size), kept)


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
