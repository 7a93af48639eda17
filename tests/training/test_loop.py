"""Laws of the training loop: when it stops, what it logs and saves, and what signals do."""

import json
import shutil
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.errors import UserError
from nerf.runs.checkpoints import Checkpoints
from nerf.runs.metrics import MetricsLog
from nerf.runtime.interrupts import Interrupted, interrupt_between_steps
from nerf.training import health, loop, meter
from nerf.training.health import TrainingCollapsed
from nerf.training.loop import Hooks, LoopConfig
from nerf.training.step import Metrics, TrainState
from tests.support.signals import handlers, send

pytestmark = pytest.mark.slow

SECONDS_A_STEP = 2.0
TEN_STEPS = LoopConfig(10, log_every=4, save_every=6)


class Clock:
    """A clock that stands still but for the steps."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (loop, meter):
        monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def run(tmp_path, clock):
    """Trains by a step whose loss is 1 / step; returns the last state and the saves."""

    def train(
        state=None,
        *,
        before_step=lambda step: None,
        loss=reciprocal,
        not_finite=lambda step: 0,
        config=TEN_STEPS,
        on_save=lambda step: None,
        writes=True,
        hooks=None,
        **more,
    ):
        saved, paces = [], train.paces
        paces.clear()

        def step_fn(state, num_steps, pace=None):
            assert (pace is None) == (config.max_seconds is None)
            paces.append(pace)
            assert 1 <= num_steps <= config.steps_per_call
            step = int(state.step) + num_steps
            before_step(step)
            clock.now += SECONDS_A_STEP * num_steps
            values = loss(step), -10 * np.log10(loss(step)), loss(step), 0.5
            metrics = Metrics(*map(jnp.float32, values))
            seen = health.init()._replace(not_finite=jnp.int32(not_finite(step)))
            return state._replace(
                params={"count": jnp.float32(step)}, step=jnp.int32(step), health=seen
            ), metrics

        with Checkpoints(tmp_path) as checkpoints, MetricsLog(tmp_path) as log:

            def save(state, score):
                on_save(int(state.step))
                if writes:
                    checkpoints.save(state, score)
                saved.append(int(state.step) if score is None else (int(state.step), score))

            end = loop.train(
                step_fn,
                start() if state is None else state,
                num_rays=100,
                log=log,
                config=config,
                hooks=Hooks(save)._replace(**(hooks or {})),
                **more,
            )
        return end, saved

    train.paces = []
    return train


def reciprocal(step):
    return 1 / step


def start(step=0):
    return TrainState(
        {"count": jnp.float32(step)}, (), jnp.int32(step), jax.random.key(0), health.init()
    )


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def steps_on_disk(folder):
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir())


# Steps, readings, saves.


def test_it_runs_to_the_end_and_saves_twice_an_interval_and_at_the_end(run, tmp_path):
    state, saved = run()
    assert state.step == 10
    assert state.params["count"] == 10
    assert saved == [3, 6, 9, 10]
    assert steps_on_disk(tmp_path) == [6, 9, 10]


@pytest.mark.parametrize("steps_per_call", range(2, 12))
@pytest.mark.parametrize("stop_at", [None, 17])
def test_several_steps_a_call_change_no_reading_save_or_score(
    run, tmp_path, steps_per_call, stop_at
):
    scored, calls, outcomes = [], [], []
    hooks = {"evaluate": lambda state: scored.append(int(state.step)) or {"test_psnr": 1.0}}
    config = LoopConfig(23, stop_at=stop_at, log_every=4, save_every=10, eval_every=7)
    for number in (1, steps_per_call):
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        scored.clear()
        calls.clear()
        state, saved = run(
            config=config._replace(steps_per_call=number), hooks=hooks, before_step=calls.append
        )
        outcomes.append((int(state.step), saved, list(scored), lines(tmp_path)))
    assert outcomes[0] == outcomes[1]
    assert outcomes[1][0] == (stop_at or 23)
    assert len(calls) < outcomes[1][0]


@pytest.mark.parametrize("save_every", range(1, 9))
def test_no_more_steps_are_lost_than_an_interval(run, save_every):
    """Even where the newest state is still being written, and the one before it serves."""
    _, saved = run(config=LoopConfig(20, save_every=save_every))
    for killed_at in range(1, 21):
        begun = [0, 0, *(step for step in saved if step <= killed_at)]
        being_written = killed_at == begun[-1] if save_every == 1 else True
        on_disk = begun[-2] if being_written else begun[-1]
        assert killed_at - on_disk <= save_every


def test_states_saved_at_every_step_are_waited_for(run):
    waits = []
    run(config=LoopConfig(3, save_every=1), hooks={"wait": lambda: waits.append(True)})
    assert len(waits) == 2  # the last is waited for by whoever closes


def test_the_end_is_saved_once_where_it_falls_on_an_interval(run):
    _, saved = run(config=LoopConfig(6, save_every=6))
    assert saved == [3, 6]


def test_a_reading_has_the_values_of_its_own_step(run, tmp_path):
    run()
    readings = lines(tmp_path)
    assert [line["step"] for line in readings] == [1, 3, 4, 6, 8, 9, 10]
    for line in readings:
        names = ["step", "loss", "psnr", "grad_norm", "acc"]
        assert list(line) == [*names, "rays_per_second", "steps_per_second", "seconds"]
        assert np.isfinite(list(line.values())).all()
        assert line["loss"] == pytest.approx(1 / line["step"])
        assert line["psnr"] == pytest.approx(10 * np.log10(line["step"]), abs=1e-5)
        assert line["grad_norm"] == pytest.approx(1 / line["step"])
        assert line["acc"] == 0.5


def test_the_rate_is_that_since_the_reading_before(run, tmp_path, clock):
    def slower_after_four(step):
        clock.now += 3.0 if step > 4 else 0.0

    run(before_step=slower_after_four, config=LoopConfig(10, log_every=4, save_every=100))
    readings = lines(tmp_path)
    assert [line["rays_per_second"] for line in readings] == [50, 50, 20, 20]
    assert [line["steps_per_second"] for line in readings] == [0.5, 0.5, 0.2, 0.2]
    assert [line["seconds"] for line in readings] == [2, 8, 28, 38]


def test_going_on_appends_readings_and_counts_on(run, tmp_path):
    run(config=LoopConfig(5, log_every=4))
    state, saved = run(start(5), config=LoopConfig(10, log_every=4), seconds_before=10.0)
    assert state.step == 10
    assert saved == [10]
    readings = lines(tmp_path)
    assert [line["step"] for line in readings] == [1, 4, 5, 6, 8, 10]
    assert [line["seconds"] for line in readings] == [2, 8, 10, 12, 16, 20]


@pytest.mark.parametrize("done", [10, 11])
def test_a_complete_run_does_nothing(run, tmp_path, done):
    state, saved = run(start(done))
    assert state.step == done
    assert saved == []
    assert lines(tmp_path) == []
    assert steps_on_disk(tmp_path) == []


@pytest.mark.parametrize(("max_seconds", "reached"), [(0.5, 1), (5.0, 3), (1000.0, 10), (None, 10)])
def test_the_time_limit_stops_after_the_step_that_passes_it(run, tmp_path, max_seconds, reached):
    state, saved = run(config=LoopConfig(10, max_seconds=max_seconds, save_every=100))
    assert state.step == reached
    assert saved == [reached]
    assert steps_on_disk(tmp_path) == [reached]


def test_what_came_before_counts_for_the_time_limit(run):
    state, _ = run(config=LoopConfig(10, max_seconds=9.0), seconds_before=4.0)
    assert state.step == 3
    state, saved = run(start(5), config=LoopConfig(10, max_seconds=9.0), seconds_before=9.5)
    assert (state.step, saved) == (5, [])


def test_a_limited_time_sets_the_pace(run):
    """Each call is told how much of the time is gone, and takes its steps to last as before."""
    run(
        config=LoopConfig(loop.UNLIMITED_STEPS, max_seconds=20.0, steps_per_call=3),
        seconds_before=2.0,
    )
    assert [round(pace.done, 6) for pace in run.paces] == [0.1, 0.2, 0.5, 0.8]
    assert [round(pace.per_step, 6) for pace in run.paces] == [0.0, 0.033333, 0.1, 0.1]


def test_of_time_and_steps_the_nearer_end_sets_the_pace(run):
    run(config=LoopConfig(4, max_seconds=1000.0))
    assert [round(pace.done, 6) for pace in run.paces] == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize(("stop_at", "reached"), [(4, 4), (10, 10), (12, 10)])
def test_it_stops_at_a_step_before_the_end_when_told_to(run, stop_at, reached):
    state, saved = run(config=LoopConfig(10, stop_at=stop_at, save_every=100))
    assert state.step == reached
    assert saved == [reached]


# Held-out scores.


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
    rates = {line["steps_per_second"] for line in lines(tmp_path) if "loss" in line}
    assert rates == {0.5}
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


# What goes wrong.


def test_a_collapse_stops_before_it_is_logged_or_saved_and_what_was_saved_stays(run, tmp_path):
    with pytest.raises(
        TrainingCollapsed, match=r"noticed at step 8: .*`train.learning_rate`"
    ) as caught:
        run(not_finite=lambda step: max(0, step - 6))
    assert caught.value.step == 8
    assert "\n" not in str(caught.value)
    assert steps_on_disk(tmp_path) == [3, 6]
    assert [line["step"] for line in lines(tmp_path)] == [1, 3, 4, 6]


def test_a_state_that_is_refused_is_not_saved(run, tmp_path):
    def refuse(step):
        if step > 3:
            raise UserError("no")

    with pytest.raises(UserError, match="no"):
        run(on_save=refuse)
    assert steps_on_disk(tmp_path) == [3]


# Ctrl-C and SIGTERM.


def test_it_stops_between_two_steps_when_told_to(run, tmp_path):
    steps = iter(range(1, 10))
    state, saved = run(hooks={"should_stop": lambda: next(steps) == 5})
    assert state.step == 5
    assert saved == [3, 5]
    assert steps_on_disk(tmp_path) == [3, 5]


def test_one_signal_finishes_the_step_and_saves(
    run, tmp_path, usual_handlers, signal_number, capsys
):
    ends = []
    with pytest.raises(Interrupted) as caught, interrupt_between_steps(print) as should_stop:
        ends.append(
            run(
                before_step=lambda step: step == 5 and send(signal_number),
                hooks={"should_stop": should_stop},
            )
        )
    ((state, saved),) = ends
    assert caught.value.status == 128 + signal_number
    assert state.step == 5
    assert saved == [3, 5]
    assert steps_on_disk(tmp_path) == [3, 5]
    assert "stopping after this step" in capsys.readouterr().out
    assert handlers() == usual_handlers
