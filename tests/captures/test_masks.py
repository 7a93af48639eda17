"""Masks in every format: where they are found, what they leave out, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image

from nerf.captures.capture import Mask
from nerf.captures.images.masks import read_mask
from nerf.captures.reading import read_capture
from nerf.jobs.renderers import compared_pixels
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from nerf.scenes.record import SceneRecord
from tests.support.captures import (
    HEIGHT,
    WIDTH,
    convert,
    orbit_poses,
    refusal,
    write_images,
    write_nerfstudio,
    write_procedural,
)

NUM_VIEWS = 6


def black_block(index):
    """A mask whose block is at another place in each view."""
    levels = np.full((HEIGHT, WIDTH), 255, np.uint8)
    levels[2:5, index : index + 4] = 0
    return levels


def write_masks(folder, name=lambda index: f"masks/view_{index}.png", levels=black_block):
    for index in range(NUM_VIEWS):
        path = folder / name(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels(index)).save(path)
    return folder


def assert_masked(folder, expected=lambda index: black_block(index) > 0, **options):
    loaded = load_folder(folder, CaptureOptions(max_size=0, **options))
    for index in range(loaded.scene.num_views):
        np.testing.assert_array_equal(loaded.scene.view(index).mask, expected(index))
    (note,) = [note for note in loaded.notes if "mask" in note]
    return note


@pytest.mark.parametrize(
    "name",
    [
        "masks/view_{}.png",
        "masks/view_{}.png.png",
        "mask/view_{}.PNG",
        "masks/images/view_{}.png",
        "masks/VIEW_{}.png",
        "images/dynamic_mask_view_{}.png",
    ],
)
@pytest.mark.parametrize("to", ["nerfstudio", "colmap", "blender", "llff"])
def test_masks_are_found_by_the_names_of_the_images(tmp_path, name, to):
    folder = write_nerfstudio(tmp_path / "one", near=1.0, far=9.0)
    if to != "nerfstudio":
        folder = convert(folder, to, tmp_path / "two")
    inverted = "dynamic" in name
    for index, file in enumerate(load_folder(folder).capture.files):
        path = file.with_name(f"dynamic_mask_{file.stem}.png")
        if not inverted:
            path = folder / name.format("{}").replace("view_{}.png", file.name, 1).replace(
                "VIEW_{}.png", file.name.upper()
            ).replace("view_{}", file.stem)
        path.parent.mkdir(parents=True, exist_ok=True)
        levels = black_block(index)
        Image.fromarray(255 - levels if inverted else levels).save(path, format="png")
    note = assert_masked(folder)
    assert "all images have a mask: 12% of all pixels" in note
    assert ("all but black" in note) == inverted
    assert not any("no pose" in note for note in load_folder(folder).notes)


def test_a_frame_names_its_mask(tmp_path):
    def change(content):
        for index, frame in enumerate(content["frames"]):
            frame["mask_path"] = f"other/m{index}.png"

    folder = write_nerfstudio(tmp_path, change=change)
    write_masks(folder, lambda index: f"other/m{index}.png")
    assert_masked(folder)
    (folder / "other" / "m2.png").unlink()
    notes = load_folder(folder).notes
    assert any("1 mask that transforms.json names are missing: other/m2.png" in n for n in notes)


def test_what_the_user_ignores_is_not_read(tmp_path):
    folder = write_masks(write_nerfstudio(tmp_path))
    (folder / "masks" / "view_0.png").write_bytes(b"none")
    assert "cannot read the mask" in refusal(folder)
    assert load_folder(folder, CaptureOptions(masks="ignore")).scene.images.mask is None


def test_images_without_a_mask_are_used_whole(tmp_path):
    folder = write_nerfstudio(tmp_path)
    write_masks(folder)
    for index in (1, 2):
        (folder / "masks" / f"view_{index}.png").unlink()
    loaded = load_folder(folder)
    assert loaded.scene.view(1).mask.all()
    assert not loaded.scene.view(3).mask.all()
    assert any(note.startswith("4 images have a mask") for note in loaded.notes)


def test_a_name_that_could_mean_two_images_masks_neither(tmp_path):
    names = ["images/left/0.png", "images/right/0.png", "images/left/1.png"]
    write_images(tmp_path, names)
    from tests.support.captures import transforms

    content = transforms(orbit_poses(3), names)
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    (tmp_path / "masks").mkdir()
    for name in ("0", "1"):
        Image.fromarray(black_block(0)).save(tmp_path / "masks" / f"{name}.png")
    masks = load_folder(tmp_path).capture.masks
    assert [mask is not None for mask in masks] == [False, True, False]


def test_masks_of_another_size_fit_if_the_aspect_ratio_does(tmp_path):
    def twice(index):
        return np.kron(black_block(index), np.ones((2, 2), np.uint8))

    assert_masked(write_masks(write_nerfstudio(tmp_path / "a"), levels=twice))
    half = write_masks(
        write_nerfstudio(tmp_path / "b"), levels=lambda index: black_block(0)[::2, ::2]
    )
    expected = np.kron(black_block(0)[::2, ::2], np.ones((2, 2))) > 0
    assert_masked(half, lambda index: expected)
    wrong = write_masks(write_nerfstudio(tmp_path / "c"), levels=lambda index: black_block(0)[:5])
    message = refusal(wrong)
    assert "is 12 x 5, which does not have the aspect ratio of its image" in message
    assert '`masks="ignore"`' in message


def test_a_pixel_of_a_smaller_image_is_kept_only_if_all_of_it_is(tmp_path):
    levels = np.full((9, 9), 255, np.uint8)
    levels[4, 4] = 0
    Image.fromarray(levels).save(tmp_path / "m.png")
    mask = Mask(tmp_path / "m.png")
    small = read_mask(mask, tmp_path / "x.png", 3, 3, turned=False)
    assert np.argwhere(~small).tolist() == [[1, 1]]
    straddling = read_mask(mask, tmp_path / "x.png", 2, 2, turned=False)
    assert not straddling.any()


@pytest.mark.parametrize("orientation", [6, 8])
def test_a_mask_is_turned_as_its_image_is(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    levels = black_block(1)
    Image.fromarray(np.repeat(levels[..., None], 3, -1)).save(tmp_path / "x.jpg", exif=exif)
    Image.fromarray(levels).save(tmp_path / "m.png")
    found = read_mask(Mask(tmp_path / "m.png"), tmp_path / "x.jpg", WIDTH, HEIGHT, turned=True)
    turn = {6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90}[orientation]
    expected = np.asarray(Image.fromarray(levels).transpose(turn)) > 0
    np.testing.assert_array_equal(found, expected)
    Image.fromarray(np.asarray(expected, np.uint8) * 255).save(tmp_path / "upright.png")
    again = read_mask(
        Mask(tmp_path / "upright.png"), tmp_path / "x.jpg", WIDTH, HEIGHT, turned=True
    )
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_masks_of_every_mode_mean_the_same(tmp_path, mode):
    Image.fromarray(black_block(2)).convert(mode).save(tmp_path / "m.png")
    found = read_mask(Mask(tmp_path / "m.png"), tmp_path / "x.png", HEIGHT, WIDTH, turned=False)
    np.testing.assert_array_equal(found, black_block(2) > 0)


def test_masks_that_leave_nothing_are_refused(tmp_path):
    folder = write_masks(
        write_nerfstudio(tmp_path), levels=lambda index: np.zeros((HEIGHT, WIDTH), np.uint8)
    )
    assert "the masks leave no pixel to train on" in refusal(folder)


def test_a_mask_outside_the_folder_is_not_opened(tmp_path):
    outside = tmp_path / "secret.png"
    Image.fromarray(black_block(0)).save(outside)
    folder = write_nerfstudio(tmp_path / "scene")
    (folder / "masks").mkdir()
    (folder / "masks" / "view_0.png").symlink_to(outside)
    assert "leads out of" in refusal(folder)


def test_a_folder_of_llff_takes_dynamic_masks_for_masks(tmp_path):
    folder = write_procedural(tmp_path / "scene", "flower")
    Image.fromarray(np.zeros((12, 16), np.uint8)).save(
        folder / "images" / "dynamic_mask_view_000.png"
    )
    loaded = load_folder(folder)
    assert loaded.scene.view(0).mask.all()
    assert loaded.capture.masks[0].keeps_black


@pytest.mark.parametrize("to", ["nerfstudio", "colmap", "blender", "llff"])
def test_masks_are_exported(tmp_path, to):
    from tests.cli.test_inspect import inspect

    folder = write_masks(write_nerfstudio(tmp_path / "a", near=1.0, far=9.0))
    status, _, err = inspect(folder, f"--export_format={to}", f"--out={tmp_path / 'b'}")
    assert status == 0, err
    assert_masked(tmp_path / "b")


def test_all_masks_that_do_not_fit_are_told_at_once(tmp_path):
    folder = write_nerfstudio(tmp_path)
    (folder / "masks").mkdir()
    for image in sorted((folder / "images").iterdir()):
        Image.new("L", (5, 40), 255).save(folder / "masks" / image.name)
    message = refusal(folder)
    assert "does not have the aspect ratio of its image" in message
    assert "6 masks have this fault: view_0.png, view_1.png, view_2.png, and 3 more" in message


def test_a_folder_of_masks_that_fit_no_image_is_noted(tmp_path):
    folder = write_nerfstudio(tmp_path)
    (folder / "masks").mkdir()
    Image.new("L", (16, 12), 255).save(folder / "masks" / "other.png")
    (note,) = [note for note in read_capture(folder).notes if "masks has" in note]
    assert "masks has 1 file but none named like an image" in note
    Image.new("L", (16, 12), 255).save(folder / "masks" / "another.png")
    (note,) = [note for note in read_capture(folder).notes if "masks has" in note]
    assert "masks has 2 files but none named like an image" in note


def test_the_fast_renderer_is_judged_by_pixels_that_no_mask_leaves_out(tmp_path):
    scene = load_folder(write_masks(write_nerfstudio(tmp_path)), CaptureOptions(max_size=0)).scene
    record = SceneRecord.of(scene, 3)
    pixels, truth = compared_pixels(record, scene)
    used = [
        scene.view(view).mask.reshape(-1)[index]
        for (_, index), view in zip(pixels, record.split.test, strict=True)
    ]
    assert np.concatenate(used).all()
    assert len(np.concatenate(used)) == len(truth)
