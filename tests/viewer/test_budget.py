"""The share of the time that drawing takes, by a clock that only drawing and waiting moves."""

import numpy as np
import pytest

from nerf.viewer.budget import DrawingBudget
from nerf.viewer.source import MOVING_SHARE, STILL_SHARE, FieldSource


class Clock:
    def __init__(self):
        self.now, self.drawn = 100.0, 0.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds

    def draw(self, seconds):
        self.now += seconds
        self.drawn += seconds


def budget_of(clock, moving=MOVING_SHARE, still=STILL_SHARE):
    return DrawingBudget(moving, still, clock=clock, sleep=clock.wait)


def never():
    return False


@pytest.mark.parametrize(
    ("movements", "share"), [((True,), 0.5), ((False,), 0.1), ((True, False), 0.5)]
)
def test_drawing_takes_at_most_its_share(movements, share):
    clock, rng = Clock(), np.random.default_rng(0)
    budget = budget_of(clock)
    with budget.turn(is_moving=True, should_stop=never):
        clock.draw(30.0)  # compilation
    clock.drawn = 0.0
    if movements == (False,):
        with budget.turn(is_moving=False, should_stop=never):
            pass  # after the rest of the compilation
    start = clock.now
    for _ in range(300):
        with budget.turn(is_moving=bool(rng.choice(movements)), should_stop=never) as may_draw:
            assert may_draw
            clock.draw(rng.uniform(0.01, 0.5))
    with budget.turn(is_moving=movements[0], should_stop=never):
        pass  # the rest of the last one
    assert clock.drawn <= share * (clock.now - start) * (1 + 1e-9)
    if len(movements) == 1:
        assert clock.drawn > 0.9 * share * (clock.now - start)


def test_a_movement_is_answered_during_the_rest_of_a_refinement_and_right_after_compilation():
    clock = Clock()
    budget = budget_of(clock)
    for seconds, rest in ((30.0, 0.0), (1.0, 1.0)):
        with budget.turn(is_moving=False, should_stop=never):
            clock.draw(seconds)
        before = clock.now
        with budget.turn(is_moving=True, should_stop=never):
            pass
        assert clock.now - before == pytest.approx(rest)


def test_an_image_is_refined_soon_after_compilation():
    clock = Clock()
    budget = budget_of(clock)
    for _ in range(2):
        before = clock.now
        with budget.turn(is_moving=False, should_stop=never):
            assert clock.now - before <= 2.0
            clock.draw(30.0)


def test_a_wait_that_has_no_purpose_any_more_ends():
    clock = Clock()
    budget = budget_of(clock)
    for _ in range(2):
        with budget.turn(is_moving=False, should_stop=never):
            clock.draw(1.0)
    before = clock.now
    with budget.turn(is_moving=False, should_stop=lambda: clock.now > before) as may_draw:
        assert not may_draw
    assert clock.now - before < 0.1


def test_without_shares_nothing_waits():
    clock = Clock()
    budget = budget_of(clock, 1.0, 1.0)
    assert not budget.is_limited
    for _ in range(5):
        with budget.turn(is_moving=False, should_stop=never):
            clock.draw(1.0)
    assert clock.now == 105.0


def test_windows_and_videos_share_one_budget_and_draw_nothing_ahead(ball):
    """Two windows that fly all the time and a video take half of the time together."""
    clock = Clock()
    source = FieldSource(ball, in_training=True, budget=budget_of(clock))

    class Renderer:
        def tiles(self, camera, *, is_ahead):
            assert not is_ahead  # the devices would draw while others train
            for index in range(400):
                clock.draw(0.1)
                yield np.array([index]), None

    first, second = (source.tiles(Renderer(), None, is_moving=True) for _ in range(2))
    video = source.tiles(Renderer(), None)
    next(first)
    clock.drawn, start = 0.0, clock.now
    for turn in range(300):
        next(video if turn % 10 == 0 else (first, second)[turn % 2])
    assert clock.drawn == pytest.approx(30.0)
    assert 0.3 * (clock.now - start) < clock.drawn <= 0.51 * (clock.now - start)
