"""Laws of images in pages: what is encoded is the image, and all of them have a limited size."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from nerf.output.report.encoding import Source, encode_images

LARGE = 10**9
RNG = np.random.default_rng(0)


def source(image, **more):
    return Source(lambda: image, *image.shape[:2], **more)


def decoded(encoded):
    kind, _, text = encoded.uri.partition(";base64,")
    content = base64.b64decode(text)
    return kind, len(content), np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_a_small_image_is_exact():
    image = RNG.integers(0, 255, (20, 30, 3), np.uint8)
    (encoded,) = encode_images([source(image)], LARGE)
    kind, _, found = decoded(encoded)
    assert (kind, encoded.width, encoded.height) == ("data:image/png", 30, 20)
    assert np.array_equal(found, image)


def test_a_large_image_is_nearly_the_same():
    v, u = np.mgrid[0 : 1 : 300 * 1j, 0 : 1 : 400 * 1j]
    image = np.round(255 * np.stack([u, v, u * v], -1)).astype(np.uint8)
    kind, size, found = decoded(encode_images([source(image)], LARGE)[0])
    assert kind == "data:image/jpeg"
    assert found.shape == image.shape
    assert np.abs(found.astype(int) - image).mean() < 2
    assert size < image.size / 10


def test_images_that_are_too_large_together_are_scaled_down_alike():
    noise = [RNG.integers(0, 255, size, np.uint8) for size in ((300, 400, 3), (600, 300, 3))]
    limit = 60_000
    encoded = encode_images([source(image) for image in noise], limit)
    assert 0.4 * limit < sum(decoded(each)[1] for each in encoded) <= limit
    scales = [each.width / image.shape[1] for each, image in zip(encoded, noise, strict=True)]
    assert scales[0] == pytest.approx(scales[1], abs=0.01)
    assert scales[0] < 0.7
    assert encoded[0].width / encoded[0].height == pytest.approx(4 / 3, abs=0.01)


def test_the_size_of_many_images_is_estimated_by_some_and_kept_by_all():
    noise = RNG.integers(0, 255, (60, 80, 3), np.uint8)
    reads = []
    many = [Source(lambda: reads.append(0) or noise, 60, 80) for _ in range(100)]
    limit = 100_000
    encoded = encode_images(many, limit)
    assert 0.6 * limit < sum(decoded(each)[1] for each in encoded) <= limit
    assert (len(reads) - 100) % 32 == 0  # all of them are encoded once


def test_maps_are_scaled_down_as_the_images_beside_them():
    image = RNG.integers(0, 255, (300, 400, 3), np.uint8)
    encoded = encode_images([source(image), source(image, max_pixels=30_000)], 20_000)
    assert encoded[0].width / encoded[1].width == pytest.approx(2.0, abs=0.02)


def test_an_image_may_have_a_limit_of_its_own():
    image = np.zeros((400, 600, 3), np.uint8)
    (encoded,) = encode_images([source(image, max_pixels=60_000)], LARGE)
    assert (encoded.width, encoded.height) == (300, 200)


def test_without_images_there_is_nothing():
    assert encode_images([], LARGE) == []
