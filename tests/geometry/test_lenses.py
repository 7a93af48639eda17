"""Laws of lenses: undistortion is the inverse of distortion, as COLMAP understands both."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerf.geometry.cameras import pinhole_rays
from nerf.geometry.lenses import Lens, pixels, slopes
from tests.support.cameras import cameras_at_origin

FOCAL, CENTRE = (90.0, 92.0), (49.5, 38.0)


def lens_of(distortion, fisheye, num):
    rows = [np.tile(np.float32(x), (num, 1)) for x in (FOCAL, CENTRE, distortion)]
    return Lens(*rows, np.full(num, fisheye))


def grid():
    rows, columns = np.mgrid[0:80:10j, 0:100:12j]
    return jnp.float32(columns.ravel()), jnp.float32(rows.ravel())


small = st.floats(-0.05, 0.05)


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[small] * 4, *[st.floats(-0.01, 0.01)] * 2), st.booleans())
def test_a_slope_is_seen_where_its_pixel_is(distortion, fisheye):
    columns, rows = grid()
    lens = lens_of(distortion, fisheye, len(columns))
    projected = pixels(slopes(columns, rows, lens), lens)
    np.testing.assert_allclose(projected, np.stack([columns, rows], -1), atol=2e-3)


def test_without_distortion_it_is_the_pinhole_camera():
    columns, rows = grid()
    num = len(columns)
    expected = (np.stack([columns, rows], -1) - CENTRE) / FOCAL
    plain = Lens(*(np.tile(np.float32(x), (num, 1)) for x in (FOCAL, CENTRE)))
    np.testing.assert_allclose(slopes(columns, rows, plain), expected, atol=1e-6)
    none = lens_of([0.0] * 6, False, num)
    np.testing.assert_allclose(slopes(columns, rows, none), expected, atol=1e-6)


def test_a_fisheye_without_coefficients_is_equidistant():
    """The distance from the centre is the angle off the axis, times the focal length."""
    angle = np.linspace(0.0, 1.2, 7).astype(np.float32)
    lens = lens_of([0.0] * 6, True, 7)
    columns = jnp.asarray(CENTRE[0] + FOCAL[0] * angle, jnp.float32)
    found = slopes(columns, jnp.full(7, CENTRE[1], jnp.float32), lens)
    np.testing.assert_allclose(found[:, 0], np.tan(angle), rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(found[:, 1], 0.0, atol=1e-5)


def test_images_with_both_kinds_of_lens_are_seen_each_in_its_own_way():
    columns, rows = grid()
    num = len(columns)
    coefficients = [0.05, -0.02, 0.0, 0.0, 0.0, 0.0]
    both = lens_of(coefficients, False, num)._replace(fisheye=np.arange(num) % 2 == 0)
    found = slopes(columns, rows, both)
    for parity, fisheye in ((0, True), (1, False)):
        alone = slopes(columns, rows, lens_of(coefficients, fisheye, num))
        np.testing.assert_array_equal(found[parity::2], alone[parity::2])


def test_the_centre_of_a_lens_is_a_pixels_own_place():
    """A lens whose centre is the image's middle is the camera without one."""
    columns, rows = jnp.arange(4), jnp.array([0, 1, 2, 2])
    plain = cameras_at_origin(4, 3, 4, focal=5.0)
    lens = Lens(np.full((4, 2), 5.0, np.float32), np.tile(np.float32([2.0, 1.5]), (4, 1)))
    for found, expected in zip(
        pinhole_rays(columns, rows, dataclasses.replace(plain, lens=lens)),
        pinhole_rays(columns, rows, plain),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_one_of_several_cameras_has_its_own_lens():
    lens = Lens(np.float32([[1, 2], [3, 4]]), np.float32([[5, 6], [7, 8]]))
    cameras = dataclasses.replace(cameras_at_origin(2, 3, 4, focal=[2.0, 3.0]), lens=lens)
    assert cameras[1].lens.focal.tolist() == [3, 4]
    assert cameras[1].camtoworlds.shape == (3, 4)
    resized = cameras.resized(30, 40)
    assert resized.lens is None
    assert (resized.height, resized.width, resized.focal.tolist()) == (30, 40, [20.0, 30.0])
    np.testing.assert_array_equal(resized.camtoworlds, cameras.camtoworlds)


MODELS = {
    "SIMPLE_PINHOLE": [90.0, 50.0, 38.5],
    "PINHOLE": [90.0, 92.0, 50.0, 38.5],
    "SIMPLE_RADIAL": [90.0, 50.0, 38.5, 0.06],
    "RADIAL": [90.0, 50.0, 38.5, -0.08, 0.02],
    "OPENCV": [90.0, 92.0, 50.0, 38.5, -0.1, 0.03, 0.002, -0.003],
    "OPENCV_FISHEYE": [60.0, 61.0, 50.0, 38.5, 0.05, -0.02, 0.01, -0.003],
    "SIMPLE_RADIAL_FISHEYE": [60.0, 50.0, 38.5, 0.04],
    "RADIAL_FISHEYE": [60.0, 50.0, 38.5, 0.04, -0.01],
    "SIMPLE_FISHEYE": [60.0, 50.0, 38.5],
    "FISHEYE": [60.0, 61.0, 50.0, 38.5],
    "FULL_OPENCV": [90.0, 92.0, 50.0, 38.5, -0.1, 0.03, 0.002, -0.003, 0.01, 0.0, 0.0, 0.0],
    "THIN_PRISM_FISHEYE": [60, 61, 50, 38.5, 0.05, -0.02, 0.0, 0.0, 0.01, -0.003, 0.0, 0.0],
}


@pytest.mark.parametrize("model", MODELS)
def test_colmap_sees_the_same(model):
    pycolmap = pytest.importorskip("pycolmap")
    from nerf.captures.capture import make_lens
    from nerf.captures.colmap_model.files import Camera
    from nerf.captures.readers.colmap import _intrinsics

    params = MODELS[model]
    camera = pycolmap.Camera(model=model, width=100, height=77, params=params, camera_id=1)
    columns, rows = grid()
    expected = camera.cam_from_img(np.stack([columns, rows], -1).astype(np.float64) + 0.5)
    numbers = _intrinsics(Camera(model, 100, 77, tuple(params)))
    lens = make_lens([numbers] * len(columns), [model.endswith("FISHEYE")] * len(columns))
    lens = Lens(*(np.asarray(x, np.float32) for x in lens[:3]), lens.fisheye)
    np.testing.assert_allclose(slopes(columns, rows, lens), expected, atol=2e-5)
