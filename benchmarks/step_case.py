"""One case of the step benchmark: all backends and the matrix product, timed in turn."""

import itertools
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from benchmarks import floor, timing
from benchmarks.ceiling import make_product, product_flop
from benchmarks.synthetic_views import SPACE
from benchmarks.work import Work, work_per_ray
from nerf import field as field_lib
from nerf.backends import convert
from nerf.config import text as config_text
from nerf.config.settings import Config
from nerf.field import Params, RadianceField
from nerf.geometry.cameras import Cameras
from nerf.render.rays import init_params
from nerf.runtime import devices, parallel
from nerf.training.batch import TrainingViews
from nerf.training.batch_source import DrawFn, draw_on_devices
from nerf.training.state import TrainState, init_state, place_state
from nerf.training.step import Metrics, jit_step

PRODUCT = "product"  # the ceiling's name among the contenders


class Plan(NamedTuple):
    """What is measured; the help of `step_throughput` explains each."""

    backends: tuple[str, ...]
    field: str
    configs: tuple[Config, ...]  # one for each preset and number of rays
    precisions: tuple[str, ...]
    readings: int
    warmup: int
    window: float
    rays_per_microbatch: int | None
    product_size: int
    seed: int


class Case(NamedTuple):
    """One case: what all backends have in common."""

    config: Config
    precision: str
    rays_per_microbatch: int
    views: TrainingViews


class Step:
    """A compiled training step with its current state; a `timing.Contender`."""

    def __init__(
        self, compiled: jax.stages.Compiled, state: TrainState, draw: DrawFn, cameras: Cameras
    ):
        self._compiled, self._state, self._draw, self._cameras = compiled, state, draw, cameras
        self.metrics: Metrics | None = None

    def __call__(self, repeats: int) -> None:
        for _ in range(repeats):
            batch = self._draw(self._state.key, self._state.step)
            self._state, self.metrics = parallel.wait_on_cpu(
                self._compiled(self._state, batch, self._cameras, None), devices.default_platform()
            )
        jax.block_until_ready((self._state, self.metrics))


def measure(case: Case, plan: Plan) -> dict[str, Any]:
    """All figures of one case, as they are written to the file."""
    config = case.config
    fields = {name: field_lib.make_field(name, plan.field, config.field) for name in plan.backends}
    work, *_ = [work_per_ray(field, config) for field in fields.values()]
    all_params = same_params(plan.field, fields, config, plan.seed)
    product = make_product(plan.product_size)
    contenders: dict[str, timing.Contender] = {}
    backends: dict[str, dict[str, Any]] = {}
    for name, field in fields.items():
        contenders[name], backends[name] = _prepare(field, all_params[name], case, plan)
    contenders[PRODUCT] = product.multiply
    first, *_ = fields
    parts = floor.make_parts(
        fields[first], all_params[first], config, case.rays_per_microbatch, plan.seed
    )
    contenders |= parts
    repeats = _warm_up(contenders, backends, plan)
    with timing.counting_compilations() as compilations:
        readings = timing.take_turns(contenders, repeats, plan.readings)
    ceiling = _spread(readings[PRODUCT], repeats[PRODUCT])
    peak = product_flop(plan.product_size) / ceiling["median"]
    for name, figures in backends.items():
        step_seconds = _spread(readings[name], repeats[name])
        figures |= {"step_seconds": step_seconds}
        figures |= _rates(step_seconds["median"], config.train.num_rays, work, peak)
    found = {name: _spread(readings[name], repeats[name]) for name in parts}
    least = sum(spread["median"] for spread in found.values())
    if parts:
        for figures in backends.values():
            figures["step_to_floor"] = figures["step_seconds"]["median"] / least
    return {
        "preset": config.preset,
        "num_rays": config.train.num_rays,
        "precision": case.precision,
        "rays_per_microbatch": case.rays_per_microbatch,
        "evaluations_per_ray": work.evaluations,
        "flop_per_evaluation": work.flop_per_evaluation,
        "flop_per_step": work.flop * config.train.num_rays,
        "ceiling": {
            "size": plan.product_size,
            "seconds": ceiling,
            "flop_per_second": peak,
            "relative_error": product.relative_error,
        },
        **({"floor": {"seconds": least, "parts": found}} if parts else {}),
        "backends": backends,
        "ratios": _ratios(readings, plan.backends),
        "compilations_while_measured": compilations.count,
        "config": config_text.to_json(config),
    }


def same_params(
    field: str, fields: dict[str, RadianceField], config: Config, seed: int
) -> dict[str, Params]:
    """Parameters made by the first backend and converted to the layout of each, on the host."""
    first, *_ = fields
    key = jax.random.key(seed)
    params = jax.device_get(init_params(fields[first], config.render, key))
    return {name: convert.convert(params, field, first, name) for name in fields}


class Prepared(NamedTuple):
    """A compiled step, ready to run, and how long its compilation took."""

    step: Step
    stages: timing.Stages
    lowered: jax.stages.Lowered
    peak_bytes: int | None


def compile_step(
    field: RadianceField,
    config: Config,
    state: TrainState,
    views: TrainingViews,
    rays_per_microbatch: int | None,
) -> Prepared:
    """Compiles a training step for all devices. The state is donated to it."""
    mesh = parallel.make_mesh(config.train.num_rays)
    state, cameras = place_state(mesh, state), parallel.replicate(mesh, views.cameras)
    draw = draw_on_devices(mesh, views, config.train.num_rays)
    batch = draw(state.key, state.step)
    jitted = jit_step(field, config, mesh, space=SPACE, rays_per_microbatch=rays_per_microbatch)
    stages, lowered, compiled = timing.compile_in_stages(jitted, state, batch, cameras, None)
    return Prepared(
        Step(compiled, state, draw, cameras), stages, lowered, timing.peak_bytes(compiled)
    )


def _prepare(
    field: RadianceField, params: Params, case: Case, plan: Plan
) -> tuple[Step, dict[str, Any]]:
    """A backend's compiled step, and the figures of its compilation."""
    own = jax.tree.map(jnp.array, params)  # a copy, since the state is donated
    state = init_state(field, case.config, jax.random.key(plan.seed), own)
    prepared = compile_step(field, case.config, state, case.views, case.rays_per_microbatch)
    asked = sorted(set(re.findall(r"precision = \[(\w+)", prepared.lowered.as_text())))
    return prepared.step, {
        **timing.stage_seconds(prepared.stages),
        "peak_bytes": prepared.peak_bytes,
        "precision_asked_of_xla": asked,
    }


def _warm_up(
    contenders: dict[str, timing.Contender], backends: dict[str, dict[str, Any]], plan: Plan
) -> dict[str, int]:
    """Runs everything; returns how often a reading runs it, the same for all backends."""
    last: dict[str, float] = {}
    for number in range(plan.warmup):
        for name, contender in contenders.items():
            last[name] = timing.seconds(contender, 1)
            if number == 0 and isinstance(contender, Step) and contender.metrics is not None:
                backends[name]["first_loss"] = float(contender.metrics.loss)
    step_repeats = timing.choose_repeats(min(last[name] for name in backends), plan.window)
    return {
        name: step_repeats if name in backends else timing.choose_repeats(last[name], plan.window)
        for name in contenders
    }


def _spread(readings: Sequence[float], repeats: int) -> dict[str, Any]:
    return {**timing.spread(readings)._asdict(), "repeats": repeats, "readings": list(readings)}


def _rates(seconds: float, num_rays: int, work: Work, peak: float) -> dict[str, float]:
    flop_per_second = work.flop * num_rays / seconds
    return {
        "rays_per_second": num_rays / seconds,
        "evaluations_per_second": num_rays * work.evaluations / seconds,
        "flop_per_second": flop_per_second,
        "share_of_ceiling": flop_per_second / peak,
    }


def _ratios(readings: dict[str, list[float]], backends: Sequence[str]) -> list[dict[str, Any]]:
    """Ratios of the seconds of two backends, computed within each round."""
    ratios = []
    for first, second in itertools.combinations(sorted(backends, reverse=True), 2):
        paired = [a / b for a, b in zip(readings[first], readings[second], strict=True)]
        ratios.append({"of": first, "to": second, **timing.spread(paired)._asdict()})
    return ratios
