"""Laws of the training loop: when it stops, what it logs and saves, and what Ctrl-C does."""

import json
import os
import signal
import threading
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.errors import UserError
from nerf.training import loop
from nerf.training.checkpoint import Checkpoints
from nerf.training.interrupt import interrupt_between_steps
from nerf.training.loop import LoopConfig
from nerf.training.step import Metrics, TrainingViews, TrainState

VIEWS = TrainingViews(jnp.zeros((1, 1, 1, 3)), jnp.zeros((1, 3, 4)), jnp.zeros((1, 2)))
SECONDS_A_STEP = 2.0


class Clock:
    """A clock that stands still but for the steps."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(loop, "time", types.SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def run(tmp_path, clock):
    """Trains by a step whose loss is 1 / step; returns the last state and the steps saved."""

    def train(
        state=None, *, before_step=lambda step: None, loss=reciprocal, norm=reciprocal, **more
    ):
        saved = []

        def step_fn(state, views):
            assert views is VIEWS
            step = int(state.step) + 1
            before_step(step)
            clock.now += SECONDS_A_STEP
            values = loss(step), -10 * np.log10(loss(step)), norm(step)
            metrics = Metrics(*map(jnp.float32, values))
            return state._replace(
                params={"count": jnp.float32(step)}, step=jnp.int32(step)
            ), metrics

        arguments = {
            "num_rays": 100,
            "config": LoopConfig(10, log_every=4, save_every=3),
            "on_save": lambda state: saved.append(int(state.step)),
        }
        with Checkpoints(tmp_path) as checkpoints:
            end = loop.train(
                step_fn,
                start() if state is None else state,
                VIEWS,
                run_dir=tmp_path,
                checkpoints=checkpoints,
                **{**arguments, **more},
            )
        return end, saved

    return train


def reciprocal(step):
    return 1 / step


def start(step=0):
    return TrainState({"count": jnp.float32(step)}, (), jnp.int32(step), jax.random.key(0))


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def steps_on_disk(folder):
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir())


# Steps, readings, saves.


def test_it_runs_to_the_end_and_saves_at_intervals_and_at_the_end(run, tmp_path):
    state, saved = run()
    assert state.step == 10
    assert state.params["count"] == 10
    assert saved == [3, 6, 9, 10]
    assert steps_on_disk(tmp_path) == [6, 9, 10]


def test_the_end_is_saved_once_where_it_falls_on_an_interval(run):
    _, saved = run(config=LoopConfig(6, save_every=3))
    assert saved == [3, 6]


def test_a_reading_has_the_values_of_its_own_step(run, tmp_path):
    run()
    readings = lines(tmp_path)
    assert [line["step"] for line in readings] == [1, 4, 8, 10]
    for line in readings:
        assert list(line) == ["step", "loss", "psnr", "grad_norm", "rays_per_second", "seconds"]
        assert np.isfinite(list(line.values())).all()
        assert line["loss"] == pytest.approx(1 / line["step"])
        assert line["psnr"] == pytest.approx(10 * np.log10(line["step"]), abs=1e-5)
        assert line["grad_norm"] == pytest.approx(1 / line["step"])


def test_the_rate_is_that_since_the_reading_before(run, tmp_path, clock):
    def slower_after_four(step):
        clock.now += 3.0 if step > 4 else 0.0

    run(before_step=slower_after_four)
    readings = lines(tmp_path)
    assert [line["rays_per_second"] for line in readings] == [50, 50, 20, 20]
    assert [line["seconds"] for line in readings] == [2, 8, 28, 38]


def test_going_on_appends_readings_and_counts_on(run, tmp_path):
    run(config=LoopConfig(5, log_every=4))
    state, saved = run(start(5), config=LoopConfig(10, log_every=4))
    assert state.step == 10
    assert saved == [10]
    assert [line["step"] for line in lines(tmp_path)] == [1, 4, 5, 6, 8, 10]


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


# What goes wrong.


@pytest.mark.parametrize("what", ["loss", "norm"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_or_gradient_that_is_not_finite_stops_and_what_was_saved_stays(
    run, tmp_path, what, value
):
    with pytest.raises(UserError, match=r"not finite at step 8 .*--lr") as caught:
        run(**{what: lambda step: value if step > 6 else 1.0})
    assert "\n" not in str(caught.value)
    assert steps_on_disk(tmp_path) == [3, 6]
    assert [line["step"] for line in lines(tmp_path)] == [1, 4]


def test_a_state_that_is_refused_is_not_saved(run, tmp_path):
    def refuse(state):
        if state.step > 3:
            raise UserError("no")

    with pytest.raises(UserError, match="no"):
        run(on_save=refuse)
    assert steps_on_disk(tmp_path) == [3]


# Ctrl-C.


@pytest.fixture
def usual():
    """Python's own answer to Ctrl-C, whatever the tests were started with."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def press():
    os.kill(os.getpid(), signal.SIGINT)


def test_it_stops_between_two_steps_when_told_to(run, tmp_path):
    steps = iter(range(1, 10))
    state, saved = run(should_stop=lambda: next(steps) == 5)
    assert state.step == 5
    assert saved == [3, 5]
    assert steps_on_disk(tmp_path) == [3, 5]


def test_one_interrupt_finishes_the_step_and_saves(run, tmp_path, usual, capsys):
    ends = []
    with pytest.raises(KeyboardInterrupt), interrupt_between_steps() as should_stop:
        ends.append(run(before_step=lambda step: step == 5 and press(), should_stop=should_stop))
    ((state, saved),) = ends
    assert state.step == 5
    assert saved == [3, 5]
    assert steps_on_disk(tmp_path) == [3, 5]
    assert "stopping after this step" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is usual


def test_a_second_interrupt_is_heard_at_once(usual):
    passed = []

    def impatient():
        with interrupt_between_steps() as should_stop:
            press()
            passed.append(should_stop())
            press()
            passed.append("too far")

    with pytest.raises(KeyboardInterrupt):
        impatient()
    assert passed == [True]
    assert signal.getsignal(signal.SIGINT) is usual


def test_without_an_interrupt_nothing_changes(usual):
    with interrupt_between_steps() as should_stop:
        assert not should_stop()
        assert signal.getsignal(signal.SIGINT) is not usual
    assert signal.getsignal(signal.SIGINT) is usual


def test_an_error_passes_through_and_the_handler_is_restored(usual):
    def fail():
        with interrupt_between_steps():
            press()
            raise UserError("mine")

    with pytest.raises(UserError, match="mine"):
        fail()
    assert signal.getsignal(signal.SIGINT) is usual


def test_another_thread_leaves_signals_alone(usual):
    answers = []

    def work():
        with interrupt_between_steps() as should_stop:
            answers.extend([should_stop(), signal.getsignal(signal.SIGINT) is usual])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [False, True]
