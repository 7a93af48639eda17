"""Laws of large images: little memory, a smaller copy where there is one, and a plain refusal."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from nerf.captures.images import choice as image_choice
from nerf.captures.images import decoding as image_decoding
from nerf.captures.images import files as image_files
from nerf.captures.images.files import read_image, read_pixels, read_scaled, shrink
from nerf.scenes.loading import load_folder
from tests.support.captures import HEIGHT, WIDTH, refusal, write_images, write_nerfstudio

MEASURE = """
import resource, sys
from pathlib import Path
from nerf.captures.images.files import read_scaled
from nerf.captures.capture import Mask
from nerf.captures.images.masks import read_mask
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
if sys.argv[2] == "mask":
    read_mask(Mask(Path(sys.argv[1])), Path(sys.argv[1]), 756, 1008, turned=False)
else:
    read_scaled(Path(sys.argv[1]), 756, 1008)
print((peak() - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "mode", "most"),
    [("jpg", "RGB", 400), ("png", "RGB", 400), ("png", "mask", 150)],
)
def test_48_megapixels_take_little_memory(tmp_path, ending, mode, most):
    """Megabytes; a mask is grey."""
    file = tmp_path / f"a.{ending}"
    ramp = Image.linear_gradient("L").resize((8000, 6000)).convert("L" if mode == "mask" else mode)
    ramp.save(file, **({"compress_level": 1} if ending == "png" else {}))
    del ramp
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(file), mode],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(run.stdout) < most


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_an_image_read_in_strips_is_the_image(tmp_path, monkeypatch, mode, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(0).integers(0, 256, (13, 17, 3), np.uint8)
    file = tmp_path / "a.png"
    Image.fromarray(pixels).convert(mode).save(file, exif=exif)
    whole = read_image(file, orient=True)
    monkeypatch.setattr(image_decoding, "_STRIP_PIXELS", 40)
    np.testing.assert_array_equal(read_image(file, orient=True), whole)
    small = read_scaled(file, 5, 4, orient=True)
    np.testing.assert_array_equal(small, shrink(whole, 5, 4))


def as_if_large(monkeypatch, large, most):
    for module in (image_files, image_decoding):
        monkeypatch.setattr(module, "LARGE", large)
    monkeypatch.setattr(image_decoding, "MAX_PIXELS", most)


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    smooth = Image.fromarray(noise).resize((160, 120), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "a.jpg", quality=95)
    expected = shrink(read_image(tmp_path / "a.jpg"), 30, 40)
    as_if_large(monkeypatch, large=160 * 120 // 3, most=160 * 120 // 2)
    with image_decoding.decoded(tmp_path / "a.jpg", 1, (30, 40)) as strips:
        assert strips.num_rows == 60
    found = read_scaled(tmp_path / "a.jpg", 30, 40)
    np.testing.assert_allclose(found, expected, atol=0.06)
    with pytest.raises(image_choice.TooLargeImage, match="give a smaller `max_size`"):
        read_pixels(tmp_path / "a.jpg")


def test_a_smaller_copy_is_read_where_the_original_is_too_large(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path)
    names = [f"images_2/view_{i}.png" for i in range(6)]
    write_images(folder, names, size=(WIDTH // 2, HEIGHT // 2), seed=1)
    as_if_large(monkeypatch, large=WIDTH * HEIGHT - 1, most=WIDTH * HEIGHT - 1)
    loaded = load_folder(folder)
    assert any("copies in images_2 are used" in note for note in loaded.notes)
    for index, name in enumerate(names):
        np.testing.assert_array_equal(
            loaded.scene.images.bytes_of(index), read_pixels(folder / name)
        )
    lens = np.asarray(loaded.scene.cameras.focal)
    np.testing.assert_allclose(lens, 5.0, rtol=1e-6)


def test_without_a_copy_one_sentence_says_how_to_make_one(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path)
    as_if_large(monkeypatch, large=WIDTH * HEIGHT - 1, most=WIDTH * HEIGHT - 1)
    message = refusal(folder, max_size=4)
    assert "6 images" in message
    assert "larger than 95 pixels" in message
    assert "`max_size`" in message
    assert "images_N folder" in message


def test_memory_that_ends_while_images_are_scaled_is_one_sentence(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path)

    def end(*_):
        raise np._core._exceptions._ArrayMemoryError((1 << 40,), np.dtype(np.uint8))

    monkeypatch.setattr(image_files, "shrink_strips", end)
    message = refusal(folder, max_size=4)
    assert "too large for the memory" in message
    assert "`max_size`" in message
    assert "`factor`" in message
