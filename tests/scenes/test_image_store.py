"""Laws of the store of images: 8-bit pixels in memory once, and colours that lose nothing."""

import errno

import numpy as np
import pytest

from nerf.captures.images import files as image_files
from nerf.runtime import devices
from nerf.scenes import image_store
from nerf.scenes.image_store import ImageStore
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tests.support.captures import HEIGHT, WIDTH, write_images, write_nerfstudio


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def views_of_two_sizes(rng, channels):
    images = [rng.integers(0, 256, (h, w, channels), np.uint8) for h, w in ((2, 3), (4, 2))]
    pixels = np.concatenate([image.reshape(-1, channels) for image in images])
    heights, widths = (np.array([image.shape[i] for image in images]) for i in (0, 1))
    return images, ImageStore(pixels, heights, widths, "white", channels == 4)


@pytest.mark.parametrize("channels", [3, 4])
def test_views_may_differ_in_size_and_each_gets_its_own_pixels(rng, channels):
    images, store = views_of_two_sizes(rng, channels)
    assert store.offsets.tolist() == [0, 6]
    for index, image in enumerate(images):
        np.testing.assert_array_equal(store.bytes_of(index), image)
        shown = image_files.over(image_files.to_float(image), "white")
        np.testing.assert_array_equal(store[index], shown)
        assert store[index].dtype == np.float32
        flat = store.colours(store.offsets[index] + np.arange(shown[..., 0].size))
        np.testing.assert_array_equal(flat.reshape(shown.shape), shown)
    np.testing.assert_array_equal(store[-1], store[1])
    assert len(list(store)) == len(store) == 2


def test_every_level_of_8_bits_comes_back_to_the_bit():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
    store = ImageStore.of(levels)
    exact = np.arange(256, dtype=np.float32) / np.float32(255)
    np.testing.assert_array_equal(store[0][..., 0].ravel(), exact)
    np.testing.assert_array_equal(ImageStore.of(store.stack()).pixels, store.pixels)


def test_alpha_is_opacity_only_where_the_scene_is_transparent(rng):
    images, store = views_of_two_sizes(rng, 4)
    np.testing.assert_array_equal(store.alpha_of(0), image_files.to_float(images[0][..., 3]))
    opaque = ImageStore.of(np.full((1, 2, 2, 4), 255, np.uint8))
    assert opaque.alpha_of(0) is None
    assert opaque[0].min() == 1.0


def test_pixels_cannot_be_written_to_since_devices_may_use_them():
    store = ImageStore.of(np.zeros((1, 2, 2, 3), np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        store.pixels[0] = 1
    assert store.pixels.ctypes.data % 64 == 0


def test_one_file_with_alpha_gives_all_four_channels(tmp_path):
    folder = write_nerfstudio(tmp_path)
    before = load_folder(folder).scene
    assert before.images.pixels.shape == (6 * HEIGHT * WIDTH, 3)
    file = folder / "images" / "view_2.png"
    image = image_files.read_pixels(file)
    clear = np.zeros((*image.shape[:2], 1), np.uint8)
    from PIL import Image

    Image.fromarray(np.concatenate([image, clear], axis=-1)).save(file)
    after = load_folder(folder, CaptureOptions(alpha="object")).scene
    assert after.is_transparent
    assert after.images.pixels.shape == (6 * HEIGHT * WIDTH, 4)
    np.testing.assert_array_equal(after.images[1], before.images[1])
    assert after.images[2].min() == 1.0  # nothing there: the white background
    assert after.images.alpha_of(1).min() == 1.0


# Images that are larger than the memory for them.


def test_large_images_are_mapped_from_the_cache_and_are_the_same(tmp_path):
    folder, cache = write_nerfstudio(tmp_path / "capture"), tmp_path / "cache"
    options = CaptureOptions(image_memory=0.0)
    mapped = load_folder(folder, options, cache_dir=cache).scene.images
    assert isinstance(mapped.pixels, np.memmap)
    (file,) = (cache / "images").iterdir()
    inside = load_folder(folder, cache_dir=cache).scene.images
    assert not isinstance(inside.pixels, np.memmap)
    np.testing.assert_array_equal(mapped.pixels, inside.pixels)
    changed = file.stat().st_mtime_ns
    again = load_folder(folder, options, cache_dir=cache).scene.images
    np.testing.assert_array_equal(again.pixels, inside.pixels)
    assert file.stat().st_mtime_ns == changed  # read, not written again


def test_images_that_changed_are_read_again(tmp_path):
    folder, cache = write_nerfstudio(tmp_path / "capture"), tmp_path / "cache"
    options = CaptureOptions(image_memory=0.0)
    before = load_folder(folder, options, cache_dir=cache).scene.images
    write_images(folder, ["images/view_1.png"], seed=9)
    after = load_folder(folder, options, cache_dir=cache).scene.images
    np.testing.assert_array_equal(after[0], before[0])
    assert not np.array_equal(after[1], before[1])


def test_a_damaged_file_of_the_cache_is_made_again(tmp_path):
    folder, cache = write_nerfstudio(tmp_path / "capture"), tmp_path / "cache"
    options = CaptureOptions(image_memory=0.0)
    before = load_folder(folder, options, cache_dir=cache).scene.images.pixels.copy()
    (file,) = (cache / "images").iterdir()
    file.write_bytes(file.read_bytes()[:200])
    after = load_folder(folder, options, cache_dir=cache).scene.images
    np.testing.assert_array_equal(after.pixels, before)


def test_where_the_cache_cannot_be_written_images_are_in_memory(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path / "capture")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(image_store, "_write", full)
    options = CaptureOptions(image_memory=0.0)
    images = load_folder(folder, options, cache_dir=tmp_path / "cache").scene.images
    assert not isinstance(images.pixels, np.memmap)
    np.testing.assert_array_equal(images.pixels, load_folder(folder).scene.images.pixels)


def test_the_memory_of_a_machine_is_known():
    assert 2**28 < devices.host_memory() < 2**50
