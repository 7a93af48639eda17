"""How fast a training step is on every backend, compared with the device's matrix product.

    python -m benchmarks.step_throughput
    python -m benchmarks.step_throughput --preset=notebook --rays=1024,4096 --readings=20
    python -m benchmarks.step_throughput --precision=float32,tf32,bfloat16      # on a GPU
    python -m benchmarks.step_throughput --field=planes --image_size=126x94,1008x756

All backends get the same parameters (made once and converted), views, key, batch and precision.
Their steps and the product are timed in turn, so that a change of the machine's speed affects all
alike. Tracing, lowering and compiling are timed separately. The images are noise; no data is
needed. A table is printed, and every figure is written as JSON. For a field with a table, the parts
of `benchmarks.floor` are timed as well.
"""

import dataclasses
import itertools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
from absl import flags

from benchmarks import charts, command_line, compare, list_flags, report
from benchmarks.step_case import Case, Plan, measure
from benchmarks.synthetic_views import make_views
from nerf.backends import convert
from nerf.config import presets
from nerf.config import text as config_text
from nerf.config.settings import PRECISIONS, Config
from nerf.errors import UserError
from nerf.field import SceneFacts
from nerf.runtime import devices, parallel
from nerf.training.step import cpu_rays_per_microbatch

BENCHMARK = command_line.Benchmark(
    "step_throughput",
    "cases",
    report.step_case,
    compare.steps,
    write_chart=charts.write_step_chart,
)

_NUM_RAYS = 1024
FLAGS = command_line.new_flags()
command_line.define_readings(FLAGS, 5, old_name="steps")
command_line.define_precision(FLAGS, several=True)
command_line.define_settings(FLAGS)
command_line.define_ceiling(FLAGS)
command_line.define_backends_and_field(FLAGS)
list_flags.define_names(FLAGS, "preset", None, "which presets (all of the field)")
list_flags.define_integers(
    FLAGS,
    "rays",
    None,
    "rays a step (1024; with --image_size those of the settings)",
    low=1,
    high=command_line.MAX_RAYS,
)
list_flags.define_names(
    FLAGS, "image_size", None, "sizes WIDTHxHEIGHT of images that the settings are fitted to"
)
flags.DEFINE_integer(
    "warmup",
    2,
    "steps before the first reading",
    lower_bound=1,
    upper_bound=command_line.MAX_READINGS,
    flag_values=FLAGS,
)
command_line.define_window(FLAGS, default=0.1)
flags.DEFINE_integer(
    "seed",
    0,
    "of parameters, images and batches",
    lower_bound=0,
    upper_bound=2**31 - 1,
    flag_values=FLAGS,
)


def main(argv: Sequence[str]) -> None:
    """Measures what the flags ask for."""

    def prepare() -> tuple[dict[str, Any], Callable[[], command_line.Measurements]]:
        plan = make_plan()
        names = ("field", "readings", "warmup", "window", "product_size", "seed")
        return {name: getattr(plan, name) for name in names}, lambda: measure_cases(plan)

    command_line.main(argv, FLAGS, __doc__ or "", BENCHMARK, prepare)


def measure_cases(plan: Plan) -> command_line.Measurements:
    """Measures one case after the other."""
    views = make_views(plan.seed)
    for config, precision in itertools.product(plan.configs, plan.precisions):
        num_rays = config.train.num_rays
        rays_per_microbatch = parallel.choose_microbatch_size(
            num_rays // parallel.make_mesh(num_rays).size,
            plan.rays_per_microbatch,
            on_cpu=cpu_rays_per_microbatch(config.render),
            platform=devices.default_platform(),
        )
        case = Case(config, precision, rays_per_microbatch, views)
        with jax.default_matmul_precision(PRECISIONS[precision]):
            yield measure(case, plan)


def make_plan() -> Plan:
    """What the flags ask for.

    Raises:
      UserError: if a backend, field, preset or setting is unknown.
    """
    backends = command_line.backends(FLAGS)
    if FLAGS.backend is None:  # those whose parameters can be converted to each other
        convertible = tuple(name for name in backends if name in convert.layouts(FLAGS.field))
        backends = convertible or backends[:1]
    names = FLAGS.preset or presets.presets_of(FLAGS.field)
    chosen = [
        _preset(name, size)
        for name in names
        for size in map(_longer_side, FLAGS.image_size or [None])
    ]

    def rays_of(config: Config) -> tuple[int, ...]:
        return (config.train.num_rays if FLAGS.image_size else _NUM_RAYS,)

    return Plan(
        backends,
        FLAGS.field,
        tuple(
            _with_rays(config, num) for config in chosen for num in FLAGS.rays or rays_of(config)
        ),
        FLAGS.precision,
        FLAGS.readings,
        FLAGS.warmup,
        FLAGS.window,
        FLAGS.rays_per_microbatch,
        FLAGS.product,
        FLAGS.seed,
    )


def _longer_side(size: str | None) -> int | None:
    if size is None:
        return None
    width, _, height = size.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) > 0 < int(height)):
        raise UserError(f"--image_size={size}: expected WIDTHxHEIGHT in pixels, e.g. 1008x756")
    return max(int(width), int(height))


def _preset(name: str, longer_side: int | None) -> Config:
    config = presets.preset_of(FLAGS.field, name)
    if longer_side is not None:
        facts = SceneFacts(longer_side, "black", is_360=False, is_bounded=False, box=None)
        config = presets.fit(config, facts)
    for assignment in FLAGS.set:
        if assignment.replace(" ", "").startswith("train.num_rays="):
            raise UserError(f"--set={assignment}: use --rays instead")
    return config_text.override(config, *FLAGS.set)


def _with_rays(config: Config, num_rays: int) -> Config:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, num_rays=num_rays))


if __name__ == "__main__":
    main(sys.argv)
