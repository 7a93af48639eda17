"""Previews: their size, and what they are scored against."""

import jax
import numpy as np
import pytest

from nerf.captures.images.files import shrink
from nerf.geometry.cameras import Cameras, pinhole_rays
from nerf.geometry.lenses import Lens
from nerf.jobs.training_run import preview
from nerf.runtime.events import Preview

VIEW = Cameras.pinhole(np.eye(3, 4), focal=700.0, height=600, width=800, near=1.0, far=5.0)


def directions(camera, columns, rows, pixel_offset):
    columns, rows = np.meshgrid(columns, rows)
    cameras = camera.broadcast_to(columns.shape)
    return np.asarray(pinhole_rays(columns, rows, cameras, pixel_offset=pixel_offset)[1])


@pytest.mark.parametrize("factor", [2, 5])
@pytest.mark.parametrize("pixel_offset", [0.0, 0.5])
@pytest.mark.parametrize("lens", [None, Lens(np.array([700.0, 650.0]), np.array([402.0, 296.5]))])
def test_a_pixel_of_a_shrunk_camera_looks_through_the_middle_of_its_area(
    factor, pixel_offset, lens
):
    """The mean of the rays of all pixels that shrinking the image averages."""
    camera = jax.tree.map(lambda x: x, VIEW)
    camera = camera if lens is None else Cameras(*_arrays(camera), 600, 800, lens)
    small = camera.shrunk(600 // factor, 800 // factor, pixel_offset=pixel_offset)
    found = directions(small, np.array([0, 7]), np.array([0, 3, 50]), pixel_offset)
    for row, y in enumerate((0, 3, 50)):
        for column, x in enumerate((0, 7)):
            area = directions(
                camera,
                np.arange(x * factor, (x + 1) * factor),
                np.arange(y * factor, (y + 1) * factor),
                pixel_offset,
            )
            np.testing.assert_allclose(found[row, column], area.mean((0, 1)), atol=1e-5)


def _arrays(camera):
    return camera.camtoworlds, camera.focal, camera.bounds


def test_many_cameras_are_shrunk_alike():
    together = jax.tree.map(lambda x: np.stack([x] * 3), VIEW)
    one, many = (c.shrunk(60, 80, pixel_offset=0.5) for c in (VIEW, together))
    jax.tree.map(np.testing.assert_array_equal, many[1], one)


@pytest.mark.parametrize("max_pixels", [0, 5_000, 40_000, 10**9])
def test_a_preview_has_about_as_many_pixels_as_it_may(max_pixels):
    height, width = preview.size_within(VIEW, max_pixels)
    limit = min(max(max_pixels, 4096), preview.MAX_PIXELS)
    assert height * width == pytest.approx(limit, rel=0.03)
    assert width / height == pytest.approx(800 / 600, rel=0.03)


def test_a_small_view_is_drawn_as_it_is():
    assert preview.size_within(VIEW.resized(48, 64), 0) == (48, 64)


def test_earlier_previews_say_their_size_where_it_is_not_the_views():
    lines = [{"step": 1, "loss": 0.5}]
    assert preview.size_before(lines, VIEW) is None
    lines.append({"step": 1, "test_psnr": 20.0})
    assert preview.size_before(lines, VIEW) == (600, 800)
    lines.append({"step": 2, "test_psnr": 20.0, "test_height": 60.0, "test_width": 80.0})
    assert preview.size_before(lines, VIEW) == (60, 80)


def test_the_line_of_a_preview_says_its_size_where_it_is_not_the_views():
    image = shrink(np.zeros((6, 8, 3), np.float32), 3, 4)
    assert "view 7 at 4x3: PSNR 20.00 dB" in Preview(1, 7, image, 20.0, 0.5, (6, 8)).text
    assert "view 7: PSNR 20.00 dB" in Preview(1, 7, image, 20.0, 0.5, (3, 4)).text
