import numpy as np
import pytest

from nerf.viewer.progressive import MIN_PIXELS, MOVING_SECONDS, Speed, sizes

WINDOWS = [(1280, 800), (504, 378), (300, 900), (3840, 2160), (40, 30), (10, 8)]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("speed", [1e2, 3e4, 4e5, 1e8])
def test_sizes_grow_from_what_is_drawn_at_once_to_the_whole_window(window, speed):
    width, height = window
    found = sizes(width, height, speed)
    pixels = np.array([rows * columns for rows, columns in found])
    assert (np.diff(pixels) > 0).all()
    assert (pixels[1:] / pixels[:-1] < 9).all()  # no long wait between two
    at_once = max(MOVING_SECONDS * speed, MIN_PIXELS)
    assert pixels[0] <= max(1.1 * at_once, 2.2 * at_once if len(found) == 1 else 0)
    assert found[-1] == (height, width)
    for rows, columns in found:
        assert abs(columns - rows * width / height) <= 0.5 + 0.5 * width / height


def test_the_largest_image_can_be_limited():
    rows, columns = sizes(1280, 800, 1e6, max_pixels=2**16)[-1]
    assert 0.95 * 2**16 < rows * columns < 1.05 * 2**16


def test_the_first_measurement_includes_compilation_and_does_not_count():
    speed = Speed(1000.0)
    speed.add_measurement(100, 50.0)
    assert speed.rays_per_second == 1000.0
    speed.add_measurement(300, 0.1)
    assert speed.rays_per_second == pytest.approx(3000.0)
    for _ in range(30):
        speed.add_measurement(600, 0.1)
    assert speed.rays_per_second == pytest.approx(6000.0, rel=1e-3)


def test_what_is_suddenly_slow_counts_at_once_and_recovers():
    """So that the next image is as coarse as it must be to be there at once."""
    speed = Speed()
    for _ in range(2):
        speed.add_measurement(40_000, 1.0)
    speed.add_measurement(4_000, 1.0)
    assert speed.rays_per_second == pytest.approx(4000.0)
    rows, columns = sizes(1280, 800, speed.rays_per_second)[0]
    assert rows * columns <= 1.1 * max(MOVING_SECONDS * 4000.0, MIN_PIXELS)
    speed.add_measurement(40_000, 1.0)
    assert 4_000 < speed.rays_per_second < 20_000
