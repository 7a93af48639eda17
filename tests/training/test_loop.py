"""Laws of the training loop: when it stops, what it logs and saves, and what signals do."""

import shutil

import numpy as np
import pytest

from nerf.errors import UserError
from nerf.runtime.interrupts import Interrupted, interrupt_between_steps
from nerf.training import loop
from nerf.training.health import TrainingCollapsed
from nerf.training.loop import LoopConfig
from tests.support.signals import handlers, send
from tests.training.conftest import lines, start, steps_on_disk

pytestmark = pytest.mark.slow


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
        rates = [] if line["step"] == 1 else ["rays_per_second", "steps_per_second"]
        assert list(line) == [*names, *rates, "seconds"]
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
    assert [line.get("rays_per_second") for line in readings] == [None, 50, 20, 20]
    assert [line.get("steps_per_second") for line in readings] == [None, 0.5, 0.2, 0.2]
    assert [line["seconds"] for line in readings] == [2, 8, 28, 38]


def test_the_time_to_compile_is_in_no_rate(run, tmp_path, clock):
    """The first step of each process compiles; its reading has no rate, and the next is its own."""

    def compiles(step):
        clock.now += 100.0 if step == 1 else 0.0

    run(before_step=compiles, config=LoopConfig(10, log_every=4, save_every=100))
    readings = lines(tmp_path)
    assert [line.get("steps_per_second") for line in readings] == [None, 0.5, 0.5, 0.5]
    assert readings[0]["seconds"] == 102


def test_resuming_appends_readings_and_continues_the_count(run, tmp_path):
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


def test_a_limited_time_sets_the_time_budget(run):
    """Each call is told how much of the time is gone, and takes its steps to last as before."""
    run(
        config=LoopConfig(loop.UNLIMITED_STEPS, max_seconds=20.0, steps_per_call=3),
        seconds_before=2.0,
    )
    assert [round(budget.done, 6) for budget in run.time_budgets] == [0.1, 0.2, 0.5, 0.8]
    assert [round(budget.per_step, 6) for budget in run.time_budgets] == [0.0, 0.033333, 0.1, 0.1]


def test_of_time_and_steps_the_nearer_end_sets_the_time_budget(run):
    run(config=LoopConfig(4, max_seconds=1000.0))
    assert [round(budget.done, 6) for budget in run.time_budgets] == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize(("stop_at", "reached"), [(4, 4), (10, 10), (12, 10)])
def test_it_stops_at_a_step_before_the_end_when_told_to(run, stop_at, reached):
    state, saved = run(config=LoopConfig(10, stop_at=stop_at, save_every=100))
    assert state.step == reached
    assert saved == [reached]


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
