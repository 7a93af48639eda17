"""What alpha means: an object where nearly all views look like one, else pixels to leave out."""

import json

import numpy as np
import pytest
from PIL import Image

from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tests.support.captures import orbit_poses, refusal, transforms

NUM_VIEWS, HEIGHT, WIDTH = 12, 32, 48


def disc(index):
    """A disc that is not in the middle: what an object looks like."""
    rows, columns = np.indices((HEIGHT, WIDTH))
    return np.hypot(rows - 15, columns - 20 - index) < 11


def all_opaque(index):
    return np.ones((HEIGHT, WIDTH), bool)


def corner(index):
    opaque = all_opaque(index)
    opaque[:8, :8] = index != 3
    return opaque


def border(index):
    """The same in all images."""
    opaque = all_opaque(index)
    opaque[:3], opaque[-3:], opaque[:, :3], opaque[:, -3:] = False, False, False, False
    return opaque


def moving_border(index):
    """What a stabiliser or undistortion leaves, another one in each image."""
    opaque = all_opaque(index)
    opaque[: 1 + index % 3], opaque[:, : 1 + index % 4] = False, False
    opaque[HEIGHT - 1 - index % 2 :] = False
    return opaque


def vignette(index):
    """The circle of a fisheye."""
    rows, columns = np.indices((HEIGHT, WIDTH))
    return np.hypot((rows - 15.5) / 16, (columns - 23.5) / 24) < 1


def round_frame(index):
    """The same, in images that are wider than the circle."""
    rows, columns = np.indices((HEIGHT, WIDTH))
    return np.hypot(rows - 15.5, columns - 23.5) < 16


def walker(index):
    opaque = all_opaque(index)
    opaque[6:26, 3 * index : 3 * index + 12] = False
    return opaque


def mostly_object(index):
    return disc(index) if index else all_opaque(index)


def write(folder, opaque, soft=0):
    names = [f"{index:03d}.png" for index in range(NUM_VIEWS)]
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        pixels = np.full((HEIGHT, WIDTH, 4), (10, 200, 30, 255), np.uint8)
        pixels[~opaque(index)] = (200, 0, 100, soft)
        Image.fromarray(pixels).save(folder / name)
    content = transforms(orbit_poses(NUM_VIEWS), names, fl_x=40.0, w=WIDTH, h=HEIGHT)
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def load(folder, **options):
    loaded = load_folder(folder, CaptureOptions(**options))
    return loaded.scene, [note for note in loaded.notes if "transparent" in note]


@pytest.mark.parametrize("opaque", [disc, mostly_object])
def test_an_object_in_nearly_all_views_is_one(tmp_path, opaque):
    scene, (note,) = load(write(tmp_path, opaque))
    assert scene.is_transparent
    assert scene.space.name == "world"
    assert scene.background == "white"
    assert scene.images.mask is None
    assert "they are taken for empty space" in note
    assert '`alpha="mask"`' in note


@pytest.mark.parametrize("opaque", [corner, border, moving_border, vignette, round_frame, walker])
def test_a_border_a_corner_and_a_cut_out_are_left_out(tmp_path, opaque):
    scene, (note,) = load(write(tmp_path, opaque))
    assert not scene.is_transparent
    assert scene.space.name == "contracted"
    for index in range(NUM_VIEWS):
        np.testing.assert_array_equal(scene.view(index).mask, opaque(index))
    assert "they are left out" in note
    assert '`alpha="object"`' in note
    np.testing.assert_array_equal(np.round(scene.images[3][~opaque(3)] * 255)[0], [200, 0, 100])


def test_images_that_are_opaque_need_no_decision(tmp_path):
    scene, notes = load(write(tmp_path, all_opaque))
    assert notes == []
    assert scene.images.mask is None
    assert not scene.is_transparent


def test_the_user_decides(tmp_path):
    folder = write(tmp_path, corner)
    scene, (note,) = load(folder, alpha="object")
    assert scene.is_transparent
    assert note == "0.35% of the pixels are transparent: they are taken for empty space"
    assert scene.space.name == "world"
    scene, (note,) = load(write(tmp_path, disc), alpha="mask")
    assert not scene.is_transparent
    np.testing.assert_array_equal(scene.view(2).mask, disc(2))
    assert note.endswith("they are left out")
    scene, notes = load(folder, alpha="ignore")
    assert notes == []
    assert scene.images.mask is None
    np.testing.assert_array_equal(np.round(scene.images[2][0, 0] * 255), [200, 0, 100])
    assert "unknown `alpha` 'sky': choose one of auto, object" in refusal(folder, alpha="sky")


def test_ignored_alpha_does_not_weigh_the_colours_of_smaller_images(tmp_path, monkeypatch):
    monkeypatch.setenv("NERF_CACHE_DIR", str(tmp_path / "cache"))
    folder = write(tmp_path / "scene", corner)
    for memory in (0.5, 0.0):
        scene, _ = load(folder, alpha="ignore", max_size=WIDTH // 2, image_memory=memory)
        np.testing.assert_array_equal(np.round(scene.images[3][0, 0] * 255), [200, 0, 100])


def test_alpha_is_decided_in_a_map_of_the_cache_as_well(tmp_path, monkeypatch):
    monkeypatch.setenv("NERF_CACHE_DIR", str(tmp_path / "cache"))
    folder = write(tmp_path / "scene", walker)
    scene, _ = load(folder, image_memory=0.0)
    assert isinstance(scene.images.pixels, np.memmap) or scene.images.pixels.base is not None
    np.testing.assert_array_equal(scene.view(5).mask, walker(5))
