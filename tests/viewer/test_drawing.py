"""The drawing of a window, with a source that draws as fast as it is told to."""

import threading

import numpy as np
import pytest

from nerf.render.tiles import RenderedPixels
from nerf.viewer.cameras import PageFrame
from nerf.viewer.drawing import DrawLoop, DrawRequest
from nerf.viewer.progressive import COARSEST_PIXELS, Speed
from tests.viewer.test_cameras import page_camera
from tests.viewer.test_windows import wait_for

TILE = 500
SECONDS = 20.0  # at most, for a machine that does much else
WINDOW = page_camera(width=160, height=120)


class Source:
    """Colours that say which camera was drawn; each tile waits until it may be drawn."""

    max_pixels, is_ready, trained = None, True, None

    def __init__(self):
        self.speed = Speed(TILE / 0.085)
        self.abandoned = []  # rays of images that were given up
        self.speed.add_measurement = lambda num_rays, seconds: self.abandoned.append(num_rays)
        self.movements = []  # whether each image answered a movement
        self.may_draw = threading.Semaphore(0)
        self.num_tiles = 0

    def on_update(self, listener):
        self.listener = listener
        return lambda: None

    def renderer(self, box):
        return None

    def tiles(self, renderer, camera, *, is_moving, should_stop):
        self.movements.append(is_moving)
        for start in range(0, camera.height * camera.width, TILE):
            assert self.may_draw.acquire(timeout=SECONDS)
            self.num_tiles += 1
            index = np.arange(start, min(start + TILE, camera.height * camera.width))
            value = np.full(len(index), camera.camtoworlds[0, 3])
            yield index, RenderedPixels(np.repeat(value[:, None], 3, 1), value + 1.0, value * 0 + 1)


class Screen:
    def __init__(self):
        self.images, self.statuses, self.errors = [], [], []
        self.changed = threading.Condition()

    def _add(self, where, what):
        with self.changed:
            where.append(what)
            self.changed.notify_all()

    def show(self, image, quality):
        self._add(self.images, image)

    def report(self, status):
        self._add(self.statuses, status)

    def fail(self, error):
        self._add(self.errors, error)

    def wait(self, is_so):
        with self.changed:
            assert self.changed.wait_for(is_so, SECONDS), (self.statuses, self.errors)


@pytest.fixture
def drawn(record, monkeypatch):
    monkeypatch.setattr("nerf.viewer.drawing.unseen_pixels", lambda space, camera: None)
    source, screen = Source(), Screen()
    source.trained = type("Trained", (), {"needed_space": lambda self: record.space})()
    loop = DrawLoop(source, PageFrame(1.0, 1.0, 9.0), screen)
    yield source, screen, loop
    source.may_draw.release(1000)
    loop.close()
    assert loop.join(SECONDS)


def request_at(x):
    return DrawRequest(WINDOW._replace(position=np.array([x, 0.0, 0.0])))


def colour(image):
    return float(np.unique(image).item()) / 255


def test_an_image_is_coarse_at_once_and_then_as_sharp_as_the_window(drawn):
    source, screen, loop = drawn
    source.may_draw.release(1000)
    loop.request(request_at(0.4))
    screen.wait(lambda: screen.statuses and screen.statuses[-1].is_sharp)
    pixels = [status.height * status.width for status in screen.statuses]
    assert pixels[0] < 1000 < pixels[-1] == 160 * 120
    assert pixels == sorted(pixels)
    assert all(status.is_sharp == (status is screen.statuses[-1]) for status in screen.statuses)
    assert colour(screen.images[-1]) == pytest.approx(0.4, abs=1e-2)


def test_a_drawing_is_given_up_when_the_camera_moves(drawn):
    source, screen, loop = drawn
    loop.request(request_at(0.2))
    source.may_draw.release(5)  # the coarse image, and a part of the next
    screen.wait(lambda: len(screen.statuses) >= 1)
    loop.request(request_at(0.8))
    source.may_draw.release(3)
    screen.wait(lambda: colour(screen.images[-1]) == pytest.approx(0.8, abs=1e-2))
    assert not any(status.is_sharp for status in screen.statuses)
    assert source.num_tiles <= 8


def test_a_camera_that_moves_all_the_time_is_still_shown(drawn):
    """The coarse image is finished, although there is a newer camera."""
    source, screen, loop = drawn
    for number in range(5):
        loop.request(request_at(0.1 * number))
        loop.request(request_at(0.1 * number + 0.05))
        source.may_draw.release(3)
        screen.wait(lambda number=number: len(screen.images) > number)


def test_a_window_that_is_closed_stops_its_drawing(drawn):
    source, screen, loop = drawn
    loop.request(request_at(0.2))
    source.may_draw.release(4)
    screen.wait(lambda: screen.statuses)
    loop.close()
    source.may_draw.release(1000)
    assert loop.join(SECONDS)
    assert source.num_tiles < 12  # of some 50


def test_an_error_is_reported_and_the_next_view_is_drawn(drawn):
    source, screen, loop = drawn
    source.may_draw.release(1000)
    tiles, source.tiles = source.tiles, None
    loop.request(request_at(0.2))
    screen.wait(lambda: screen.errors)
    source.tiles = tiles
    loop.request(request_at(0.3))
    screen.wait(lambda: screen.statuses and screen.statuses[-1].is_sharp)


def test_new_parameters_are_drawn_without_a_new_camera(drawn):
    source, screen, loop = drawn
    source.may_draw.release(1000)
    loop.request(request_at(0.2))
    screen.wait(lambda: screen.statuses and screen.statuses[-1].is_sharp)
    count, moved = len(screen.images), len(source.movements)
    assert source.movements == [True] + [False] * (moved - 1)
    source.listener()
    screen.wait(lambda: len(screen.images) > count)
    assert not any(source.movements[1:])  # which leaves most of the time to the training


def test_a_coarse_image_that_takes_long_is_given_up_and_measured(drawn, monkeypatch):
    """So that the next one is coarser; the coarsest is completed, or nothing would be shown."""
    source, screen, loop = drawn
    source.speed.rays_per_second *= 4
    monkeypatch.setattr("nerf.viewer.drawing._LONGEST_COARSE", 0.0)
    loop.request(request_at(0.2))
    wait_for(lambda: source.movements)
    source.speed.rays_per_second = 1.0  # of the next
    loop.request(request_at(0.8))
    source.may_draw.release(1)
    wait_for(lambda: len(source.movements) == 2)
    assert source.abandoned == [TILE]
    assert screen.images == []
    loop.request(request_at(0.9))
    source.may_draw.release(2)
    screen.wait(lambda: screen.images)
    assert colour(screen.images[0]) == pytest.approx(0.8, abs=1e-2)
    assert screen.statuses[0].height * screen.statuses[0].width < COARSEST_PIXELS
