"""How training scales over processes on one machine, and what follows for many GPUs.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --preset=planes --processes=1,2 --readings=20

Processes of one core each train together on a loopback address, on the CPU. With strong scaling,
all share the rays of one step; with weak scaling, each has half as many rays as a step of the
preset. Beside them, one process without a job has as many devices. All of them run at once and work
in turn, so that a change of the machine's speed affects all alike.

`benchmarks.scaling_model` predicts the same steps from those of one process and from the time of
one sum over two, and the efficiency of many GPUs.
"""

import contextlib
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
from absl import flags

from benchmarks import command_line, compare, list_flags, report, scaling_jobs, timing
from benchmarks import scaling_model as model
from benchmarks.machine import load_average
from benchmarks.scaling_jobs import Layout
from benchmarks.scaling_process import MEET, SMALL_BYTES, Setup, step_of, sum_of
from nerf import field as field_lib
from nerf.config import presets
from nerf.config import text as config_text
from nerf.config.settings import Config
from nerf.errors import UserError
from nerf.render.rays import init_params

BENCHMARK = command_line.Benchmark(
    "scaling", "cases", report.scaling, compare.scaling, file_prefix="scaling-"
)
STRONG, WEAK = "strong", "weak"
_NUM_OTHER_NUMBERS = 17  # the loss, statistics of the rendering, moments of the colours

FLAGS = command_line.new_flags(chart=False)
command_line.define_readings(FLAGS, 7)
command_line.define_backend(FLAGS)
list_flags.define_names(FLAGS, "preset", "notebook,planes", "which presets")
list_flags.define_integers(
    FLAGS, "processes", "1,2,4", "numbers of processes, powers of two from 1", low=1, high=64
)
list_flags.define_integers(
    FLAGS, "rays", None, "rays a step (those of the preset)", low=1, high=command_line.MAX_RAYS
)
flags.DEFINE_multi_string(
    "set",
    [],
    "one setting by its dotted name, e.g. --set=field.width=32; may be repeated",
    flag_values=FLAGS,
)
command_line.define_window(FLAGS, default=0.5)


class Plan(NamedTuple):
    """What is measured; the help explains each."""

    backend: str
    configs: tuple[Config, ...]  # one for each preset and number of rays
    processes: tuple[int, ...]
    readings: int
    window: float


class Worker(Protocol):
    """What does a piece of work in all processes of a layout, see `scaling_jobs.Job`."""

    def do(self, what: str, repeats: int) -> float: ...


def main(argv: Sequence[str]) -> None:
    """Measures what the flags ask for."""

    def prepare() -> tuple[dict[str, Any], Callable[[], command_line.Measurements]]:
        plan = make_plan()
        jax.config.update("jax_platforms", "cpu")
        names = ("backend", "processes", "readings", "window")
        return {name: getattr(plan, name) for name in names}, lambda: measure_cases(plan)

    command_line.main(argv, FLAGS, __doc__ or "", BENCHMARK, prepare)


def make_plan() -> Plan:
    """What the flags ask for.

    Raises:
      UserError: if a preset, backend or setting is unknown, or the numbers do not fit.
    """
    counts = tuple(sorted(FLAGS.processes))
    if counts[0] != 1 or any(number & (number - 1) for number in counts):
        raise UserError(
            f"--processes={','.join(map(str, counts))} must be powers of two, and 1 among them: "
            "the others are compared with it"
        )
    configs = []
    for name in FLAGS.preset:
        config = presets.preset(name)
        field = field_lib.name_of(config.field)
        field_lib.check_names(FLAGS.backend, field or "")
        for assignment in FLAGS.set:
            if assignment.replace(" ", "").startswith("train.num_rays="):
                raise UserError(f"--set={assignment}: use --rays instead")
        config = config_text.override(config, *FLAGS.set)
        for num_rays in FLAGS.rays or [config.train.num_rays]:
            if num_rays % (2 * counts[-1]):
                raise UserError(
                    f"--rays={num_rays} cannot be shared evenly: give a multiple of twice the most "
                    f"processes, {2 * counts[-1]}"
                )
            configs.append(config_text.override(config, f"train.num_rays={num_rays}"))
    return Plan(FLAGS.backend, tuple(configs), counts, FLAGS.readings, FLAGS.window)


def measure_cases(plan: Plan) -> command_line.Measurements:
    """Measures one case after the other."""
    for config in plan.configs:
        field = field_lib.name_of(config.field)
        assert field is not None
        num_bytes = buffer_bytes(plan.backend, field, config)
        with contextlib.ExitStack() as stack:
            jobs: dict[Layout, Worker] = {}
            for layout in layouts(plan.processes):
                rays = sorted({_rays(config, layout, kind) for kind in (STRONG, WEAK)})
                if layout == Layout(1):
                    rays = sorted({*rays, config.train.num_rays // 2})
                setup = Setup(
                    field,
                    plan.backend,
                    config_text.to_json(config),
                    rays,
                    [SMALL_BYTES, num_bytes],
                    None,
                )
                jobs[layout] = stack.enter_context(scaling_jobs.started(layout, setup))
            yield measure(jobs, config, num_bytes, plan)


def layouts(counts: Sequence[int]) -> list[Layout]:
    """Jobs of some numbers of processes, and one process with as many devices.

    >>> [layout.name for layout in layouts([1, 2])]
    ['1 process', '2 processes', '1 process, 2 devices, no job']
    """
    alone = [Layout(1, number, is_job=False) for number in counts if number > 1]
    return [*map(Layout, counts), *alone]


def buffer_bytes(backend: str, field: str, config: Config) -> int:
    """Bytes that are added over all processes in a step: the gradient, the loss, statistics."""
    made = field_lib.make_field(backend, field, config.field)
    params = jax.eval_shape(lambda key: init_params(made, config.render, key), jax.random.key(0))
    num_parameters: int = sum(x.size for x in jax.tree.leaves(params))
    return 4 * (num_parameters + _NUM_OTHER_NUMBERS)


def _rays(config: Config, layout: Layout, kind: str) -> int:
    """Of a step of all devices of a layout."""
    num_rays: int = config.train.num_rays
    num_devices = layout.num_processes * layout.num_devices
    return num_rays if kind == STRONG else (num_rays // 2) * num_devices


Key = tuple[Layout, str]  # a layout, and a piece of work
Readings = Mapping[Key, Sequence[float]]


def measure(
    jobs: Mapping[Layout, Worker], config: Config, num_bytes: int, plan: Plan
) -> dict[str, Any]:
    """All figures of one case, as they are written to the file.

    Args:
      jobs: the processes, which are ready.
      config: of the field, and the rays of a step.
      num_bytes: that are added over all processes in a step.
      plan: readings.
    """
    load = load_average()
    measured = _read(jobs, config, num_bytes, plan)
    readings = measured.seconds
    counts = [layout.num_processes for layout in jobs if layout.is_job]
    num_cores = len(scaling_jobs.usable_cores())
    cost, link = _fitted(readings, config, num_bytes)
    several = [number for number in counts if number > 1]
    return {
        "preset": config.preset,
        "num_rays": config.train.num_rays,
        "backend": plan.backend,
        "buffer_bytes": num_bytes,
        "cores": num_cores,
        "load_average": {"before": load, "after": load_average()},
        "runs": [
            {
                "layout": layout.name,
                "what": what,
                "cores": [
                    scaling_jobs.cores_of(layout, number) for number in range(layout.num_processes)
                ],
                "repeats": measured.repeats[layout, what],
                "seconds": _with_readings(found),
                "cpu_seconds": _with_readings(measured.cpu_seconds[layout, what]),
            }
            for (layout, what), found in readings.items()
        ],
        "scaling": [
            _scaling(readings, config, number, kind, num_cores, cost, link)
            for kind in (STRONG, WEAK)
            for number in several
        ],
        "devices_to_processes": [
            {
                "processes": number,
                **_relative_to_devices(readings, config, number),
                "cpu": _relative_to_devices(measured.cpu_seconds, config, number),
            }
            for number in several
        ],
        "parts": [
            {"processes": number, **_parts(readings, config, number, num_bytes)}
            for number in several
        ],
        "model": {**cost._asdict(), "link": link and link._asdict()},
        "gpus": _gpus(config, num_bytes),
        "config": config_text.to_json(config),
    }


def _works(layout: Layout, config: Config, num_bytes: int) -> list[str]:
    """What a layout does: steps, and a job of several processes also the parts of one."""
    rays = {_rays(config, layout, STRONG), _rays(config, layout, WEAK)}
    steps = [step_of(number) for number in sorted(rays)]
    is_several = layout.is_job and layout.num_processes > 1
    return [*steps, sum_of(SMALL_BYTES), sum_of(num_bytes), MEET] if is_several else steps


class Measured(NamedTuple):
    """Seconds of each piece of work in each round, on the clock and of CPU time; repetitions."""

    seconds: dict[Key, list[float]]
    cpu_seconds: dict[Key, list[float]]
    repeats: dict[Key, int]


def _read(jobs: Mapping[Layout, Worker], config: Config, num_bytes: int, plan: Plan) -> Measured:
    """Compiles and warms up, then lets all take turns."""
    keys = {
        f"{layout.name}: {what}": (layout, what)
        for layout in jobs
        for what in _works(layout, config, num_bytes)
    }
    of_cpu: dict[str, list[float]] = {name: [] for name in keys}

    def contender(name: str) -> timing.Contender:
        layout, what = keys[name]

        def do(repeats: int) -> None:
            of_cpu[name].append(jobs[layout].do(what, repeats) / repeats)

        return do

    contenders = {name: contender(name) for name in keys}
    for first in contenders.values():
        first(1)
    repeats = {
        name: timing.choose_repeats(timing.seconds(each, 1), plan.window)
        for name, each in contenders.items()
    }
    for found in of_cpu.values():
        found.clear()
    seconds = timing.take_turns(contenders, repeats, plan.readings)
    return Measured(
        {key: seconds[name] for name, key in keys.items()},
        {key: of_cpu[name] for name, key in keys.items()},
        {key: repeats[name] for name, key in keys.items()},
    )


def _with_readings(found: Sequence[float]) -> dict[str, Any]:
    return {**timing.spread(found)._asdict(), "readings": list(found)}


def _fitted(
    readings: Readings, config: Config, num_bytes: int
) -> tuple[model.StepCost, model.Link | None]:
    """What the model needs: the cost of a step of one process, and this machine's loopback."""

    def median(number: int, what: str) -> float:
        return timing.spread(readings[Layout(number), what]).median

    num_rays = config.train.num_rays
    few, many = ((rays, median(1, step_of(rays))) for rays in (num_rays // 2, num_rays))
    cost = model.fitted_cost(few, many, num_bytes)
    if (Layout(2), MEET) not in readings:
        return cost, None
    small, large = ((size, median(2, sum_of(size))) for size in (SMALL_BYTES, num_bytes))
    return cost, model.fitted_link("loopback", small, large)


def _scaling(
    readings: Readings,
    config: Config,
    number: int,
    kind: str,
    num_cores: int,
    cost: model.StepCost,
    link: model.Link | None,
) -> dict[str, Any]:
    """Efficiency of some processes, as measured in each round and as predicted."""
    num_rays = _rays(config, Layout(number), kind)
    alone = _rays(config, Layout(1), kind)
    work = num_rays // alone
    one, several = (
        readings[Layout(count), step_of(rays)] for count, rays in ((1, alone), (number, num_rays))
    )
    measured = [
        model.efficiency(a, b, work, number, num_cores) for a, b in zip(one, several, strict=True)
    ]
    predicted = None
    if link is not None:
        reduction = model.doubling_seconds(cost.num_bytes, number, link)
        seconds = model.step_seconds(cost, num_rays, number, reduction, num_cores)
        predicted = model.efficiency(cost.seconds(alone), seconds, work, number, num_cores)
    return {
        "kind": kind,
        "processes": number,
        "num_rays": num_rays,
        "efficiency": timing.spread(measured)._asdict(),
        "predicted": predicted,
        "bytes_sent": model.doubling_bytes(cost.num_bytes, number),
        "bytes_of_a_ring": model.ring_bytes(cost.num_bytes, number),
    }


def _relative_to_devices(readings: Readings, config: Config, number: int) -> dict[str, Any]:
    """Seconds of one process with as many devices by those of the processes, in each round."""
    what = step_of(config.train.num_rays)
    alone, several = readings[Layout(1, number, is_job=False), what], readings[Layout(number), what]
    return timing.spread([a / b for a, b in zip(alone, several, strict=True)])._asdict()


def _parts(readings: Readings, config: Config, number: int, num_bytes: int) -> dict[str, float]:
    """Seconds of the sum and of the meeting alone, and of the whole step."""

    def median(what: str) -> float:
        return timing.spread(readings[Layout(number), what]).median

    step = median(step_of(config.train.num_rays))
    return {"step": step, "sum": median(sum_of(num_bytes)), "meeting": median(MEET)}


def _gpus(config: Config, num_bytes: int) -> dict[str, Any] | None:
    """Predictions for GPUs; None for a preset whose rays of a second nobody has assumed."""
    rate = model.ASSUMED_RAYS_PER_SECOND.get(config.preset)
    if rate is None:
        return None
    num_rays = config.train.num_rays
    cost = model.gpu_cost(rate, num_rays, num_bytes)
    predictions = [
        model.predict(cost, num_rays, link, number)
        for link in model.LINKS
        for number in model.NUM_GPUS
    ]
    assert all(math.isfinite(found.weak) for found in predictions)
    return {
        "assumed_rays_per_second": rate,
        "links": [link._asdict() for link in model.LINKS],
        "predictions": [found._asdict() for found in predictions],
    }


if __name__ == "__main__":
    main(sys.argv)
