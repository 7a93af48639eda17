"""A training loop without a field: its step counts, and its clock stands still but for steps."""

import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.runs.checkpoints import Checkpoints
from nerf.runs.metrics import MetricsLog
from nerf.training import health, loop, meter
from nerf.training.loop import Hooks, LoopConfig
from nerf.training.state import TrainState
from nerf.training.step import Metrics

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
        saved, time_budgets = [], train.time_budgets
        time_budgets.clear()

        def step_fn(state, num_steps, time_budget=None):
            assert (time_budget is None) == (config.max_seconds is None)
            time_budgets.append(time_budget)
            assert 1 <= num_steps <= config.steps_per_call
            step = int(state.step) + num_steps
            before_step(step)
            clock.now += SECONDS_A_STEP * num_steps
            values = loss(step), -10 * np.log10(loss(step)), loss(step), 0.5
            metrics = Metrics(*map(jnp.float32, values))
            health_state = health.init()._replace(not_finite=jnp.int32(not_finite(step)))
            return state._replace(
                params={"count": jnp.float32(step)}, step=jnp.int32(step), health=health_state
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

    train.time_budgets = []
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
