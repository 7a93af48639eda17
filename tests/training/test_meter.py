"""Laws of held-out scores in the training loop, and of the time that they and saving take."""

import pytest

from nerf.training import loop
from nerf.training.loop import LoopConfig
from tests.training.conftest import SECONDS_A_STEP, lines, start

pytestmark = pytest.mark.slow


def psnr_of_step(clock):
    def evaluate(state):
        clock.now += 7.0
        return {"test_psnr": 20.0 + int(state.step), "test_ssim": 0.5}

    return {"evaluate": evaluate}


class Costly:
    """Hooks that take the clock's time: compiling once, then every image and every state."""

    def __init__(self, clock, *, compiling, rays_per_second, saving, num_pixels=10**6):
        self._clock, self._compiling, self._rate = clock, compiling, rays_per_second
        self._saving, self._most = saving, num_pixels
        self.seconds, self.scored_at, self.sizes = 0.0, [], []

    def _take(self, seconds):
        self._clock.now += seconds
        self.seconds += seconds

    def plan(self, rays_per_second, seconds):
        self._num_pixels = max(1, min(self._most, int(rays_per_second * seconds)))
        if self.sizes:
            self._num_pixels = self.sizes[0]
        return self._num_pixels / rays_per_second

    def evaluate(self, state):
        self._take(self._num_pixels / self._rate + (0.0 if self.sizes else self._compiling))
        self.sizes.append(self._num_pixels)
        self.scored_at.append(int(state.step))
        return {"test_psnr": 20.0}

    def on_save(self, step):
        self._take(self._saving)


@pytest.mark.parametrize("max_seconds", [10.0, 100.0, 1000.0])
@pytest.mark.parametrize("compiling", [0.5, 20.0])
@pytest.mark.parametrize("saving", [0.1, 3.0])
@pytest.mark.parametrize("faster", [1.0, 3.0])
def test_scores_and_saving_take_at_most_a_tenth_of_limited_time(
    run, clock, max_seconds, compiling, saving, faster
):
    """Whatever they cost, as long as rendering is as fast as training and its program is compiled
    in half of the first step's time; but for the first state
    that is saved, whose cost nothing tells, and the last, without which nothing is left."""
    costly = Costly(
        clock,
        compiling=0.5 * compiling,
        rays_per_second=faster * 100 / SECONDS_A_STEP,
        saving=saving,
    )

    def compile_first(step):
        clock.now += compiling if step == 1 else 0.0

    run(
        before_step=compile_first,
        config=LoopConfig(
            loop.UNLIMITED_STEPS,
            max_seconds=max_seconds,
            save_every=10,
            eval_every=1,
            steps_per_call=5,
        ),
        writes=False,
        on_save=costly.on_save,
        hooks={"evaluate": costly.evaluate, "plan": costly.plan},
    )
    assert costly.seconds <= 0.1 * max_seconds + 2 * saving
    assert len(set(costly.sizes)) <= 1  # else their scores could not be compared
    if max_seconds == 1000.0 and saving < 1.0:
        assert len(costly.scored_at) >= 5


@pytest.mark.parametrize("most", [100, 10**9])
def test_images_are_as_large_as_their_time_allows(run, clock, most):
    costly = Costly(clock, compiling=1.0, rays_per_second=50.0, saving=0.0, num_pixels=most)
    run(
        config=LoopConfig(loop.UNLIMITED_STEPS, max_seconds=600.0, eval_every=1),
        writes=False,
        hooks={"evaluate": costly.evaluate, "plan": costly.plan},
    )
    assert min(costly.sizes) > min(most, 300) / 2
    assert max(costly.sizes) <= most


def test_the_first_image_of_limited_time_comes_after_ten_steps_of_the_process(run, clock):
    for first in (0, 40):
        costly = Costly(clock, compiling=0.0, rays_per_second=1e9, saving=0.0)
        run(
            start(first),
            config=LoopConfig(loop.UNLIMITED_STEPS, max_seconds=60.0, eval_every=1),
            writes=False,
            hooks={"evaluate": costly.evaluate, "plan": costly.plan},
        )
        assert costly.scored_at[0] == first + 10


def test_the_last_step_of_limited_time_has_its_score(run, clock):
    costly = Costly(clock, compiling=1.0, rays_per_second=50.0, saving=0.0)
    state, saved = run(
        config=LoopConfig(loop.UNLIMITED_STEPS, max_seconds=400.0, eval_every=1),
        writes=False,
        hooks={"evaluate": costly.evaluate, "plan": costly.plan},
    )
    assert costly.scored_at[-1] == state.step
    assert saved[-1] == (int(state.step), 20.0)


def test_a_score_that_is_measured_to_cost_too_much_is_the_last(run, clock):
    """It was planned to take almost nothing."""
    config = LoopConfig(loop.UNLIMITED_STEPS, max_seconds=100.0, eval_every=1)
    _, saved = run(config=config, writes=False, hooks=psnr_of_step(clock))
    assert len([save for save in saved if isinstance(save, tuple)]) == 1


def test_scores_are_logged_and_saved_with_their_state(run, tmp_path, clock):
    config = LoopConfig(6, log_every=100, save_every=4, eval_every=3)
    _, saved = run(config=config, hooks=psnr_of_step(clock))
    assert saved == [2, (3, 23.0), 4, (6, 26.0)]
    scored = [line for line in lines(tmp_path) if "test_psnr" in line]
    assert [(line["step"], line["test_psnr"], line["test_ssim"]) for line in scored] == [
        (3, 23.0, 0.5),
        (6, 26.0, 0.5),
    ]


def test_the_time_of_scoring_does_not_slow_the_rate(run, tmp_path, clock):
    run(config=LoopConfig(6, log_every=1, eval_every=2), hooks=psnr_of_step(clock))
    rates = {line.get("steps_per_second") for line in lines(tmp_path) if "loss" in line}
    assert rates == {None, 0.5}
    assert lines(tmp_path)[-1]["seconds"] == 6 * SECONDS_A_STEP + 3 * 7.0


@pytest.mark.parametrize(
    ("step", "evaluate_first", "first"), [(0, True, 0), (0, False, 3), (3, True, 3), (4, True, 6)]
)
def test_the_start_is_scored_where_asked_for_and_due(
    run, tmp_path, clock, step, evaluate_first, first
):
    config = LoopConfig(6, eval_every=3)
    run(start(step), config=config, hooks=psnr_of_step(clock), evaluate_first=evaluate_first)
    assert next(line["step"] for line in lines(tmp_path) if "test_psnr" in line) == first


def test_a_score_that_was_given_up_is_no_score(run, tmp_path):
    stop = []

    def give_up(state):
        stop.append(True)

    hooks = {"evaluate": give_up, "should_stop": lambda: bool(stop)}
    state, saved = run(config=LoopConfig(9, eval_every=3), hooks=hooks)
    assert saved == [3, 4]  # it is asked whether to stop after the step that follows
    assert state.step == 4
    assert all("test_psnr" not in line for line in lines(tmp_path))
