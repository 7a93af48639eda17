"""How fast a training step is: every backend, beside the device's own matrix product.

    python -m benchmarks.step_throughput
    python -m benchmarks.step_throughput --preset=notebook --rays=1024,4096 --steps=20
    python -m benchmarks.step_throughput --precision=float32,tf32,bfloat16      # on a GPU

All backends get the same parameters (made once and converted), views, key, batch and precision;
their steps and the product take turns, so that a drift of the machine meets all alike. Tracing,
lowering and compiling are timed apart from running. The pictures are noise; no data are needed.
A table is printed, and every figure is written as JSON.
"""

import dataclasses
import itertools
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
from absl import flags

from benchmarks import charts, command_line, report
from benchmarks.step_case import Case, Plan, measure
from benchmarks.synthetic_views import make_views
from nerf.backends import convert
from nerf.config import presets
from nerf.config import text as config_text
from nerf.config.settings import PRECISIONS, Config
from nerf.errors import UserError
from nerf.runtime import parallel
from nerf.training.step import cpu_rays_per_microbatch

BENCHMARK = command_line.Benchmark(
    "step_throughput", "cases", report.step_case, report.step_seconds, charts.write_step_chart
)
_MAX_RAYS = 2**24

FLAGS = command_line.new_flags()
command_line.define_product(FLAGS)
flags.DEFINE_list("backend", None, "which backends (all that exist)", flag_values=FLAGS)
flags.DEFINE_string("field", "mlp", "which field", flag_values=FLAGS)
flags.DEFINE_list("preset", None, "which conventions (all of the field)", flag_values=FLAGS)
flags.DEFINE_list("rays", ["1024"], "rays a step, one number or several", flag_values=FLAGS)
flags.DEFINE_integer("steps", 5, "readings of each backend in each case", flag_values=FLAGS)
flags.DEFINE_integer("warmup", 2, "steps before the first reading", flag_values=FLAGS)
flags.DEFINE_float(
    "window", 0.1, "a reading repeats its work until it fills these seconds", flag_values=FLAGS
)
flags.DEFINE_integer("seed", 0, "of parameters, pictures and batches", flag_values=FLAGS)

_RANGES = {
    "steps": (1, 1_000_000),
    "warmup": (1, 1_000_000),
    "window": (0.0, 3600.0),
    "rays_per_microbatch": (1, _MAX_RAYS),
    "product": (1, 65536),
    "seed": (0, 2**31 - 1),
}


def main(argv: Sequence[str]) -> None:
    """Measures what the flags ask for."""

    def prepare() -> tuple[dict[str, Any], Callable[[], command_line.Measurements]]:
        plan = make_plan()
        names = ("field", "steps", "warmup", "window", "product_size", "seed")
        return {name: getattr(plan, name) for name in names}, lambda: measure_cases(plan)

    command_line.main(argv, FLAGS, __doc__ or "", BENCHMARK, prepare)


def measure_cases(plan: Plan) -> command_line.Measurements:
    """Measures one case after the other."""
    views, cameras = make_views(plan.seed)
    for config, precision in itertools.product(plan.configs, plan.precisions):
        num_rays = config.train.num_rays
        piece = parallel.choose_microbatch_size(
            num_rays // parallel.make_mesh(num_rays).size,
            plan.rays_per_microbatch,
            on_cpu=cpu_rays_per_microbatch(config.render),
        )
        case = Case(config, precision, piece, views, cameras)
        with jax.default_matmul_precision(PRECISIONS[precision]):
            yield measure(case, plan)


def make_plan() -> Plan:
    """The flags' values, checked.

    Raises:
      UserError: if one is unknown or out of its range.
    """
    command_line.check_ranges(FLAGS, _RANGES)
    backends = command_line.backends(FLAGS)
    if FLAGS.backend is None:  # of several, those whose parameters can be converted to each other
        convertible = tuple(name for name in backends if name in convert.layouts(FLAGS.field))
        backends = convertible or backends[:1]
    precisions = command_line.precisions(FLAGS)
    named = FLAGS.preset is not None
    names = command_line.entries(FLAGS, "preset") if named else presets.presets_of(FLAGS.field)
    chosen = [_preset(name) for name in names]
    rays = [_number_of_rays(text) for text in command_line.entries(FLAGS, "rays")]
    return Plan(
        backends,
        FLAGS.field,
        tuple(_with_rays(config, num) for config in chosen for num in rays),
        precisions,
        FLAGS.steps,
        FLAGS.warmup,
        FLAGS.window,
        FLAGS.rays_per_microbatch,
        FLAGS.product,
        FLAGS.seed,
    )


def _number_of_rays(text: str) -> int:
    if not re.fullmatch("[0-9]{1,8}", text) or not 1 <= int(text) <= _MAX_RAYS:
        raise UserError(f"--rays must be whole numbers from 1 to {_MAX_RAYS}, not {text!r}")
    return int(text)


def _preset(name: str) -> Config:
    config = presets.preset_of(FLAGS.field, name)
    for assignment in FLAGS.set:
        if assignment.replace(" ", "").startswith("train.num_rays="):
            raise UserError(f"--set={assignment}: say it with --rays")
    return config_text.override(config, *FLAGS.set)


def _with_rays(config: Config, num_rays: int) -> Config:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, num_rays=num_rays))


if __name__ == "__main__":
    main(sys.argv)
