"""How fast pictures are drawn, exact and fast, beside the device's own matrix product.

    python -m benchmarks.render_throughput                                   # the bundled scenes
    python -m benchmarks.render_throughput --scene=llff:flower --backend=flax
    python -m benchmarks.render_throughput --size=1008x756 --pictures=1

A scene's pretrained parameters are rendered. Exact pictures, fast ones and the product take turns,
so that a drift of the machine meets all alike; their programs are traced, lowered and compiled
before, each timed apart. Then the held-out views are drawn both ways: how far fast pictures are
from exact ones, and what they lose against the photographs. A table is printed, and every figure
is written as JSON.
"""

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
from absl import flags

from benchmarks import charts, command_line, report
from benchmarks.render_case import Plan, Setting, measure
from nerf.config.settings import PRECISIONS
from nerf.errors import UserError

BENCHMARK = command_line.Benchmark(
    "render_throughput",
    "cases",
    report.render_case,
    report.picture_seconds,
    charts.write_render_chart,
)

FLAGS = command_line.new_flags()
command_line.define_product(FLAGS)
flags.DEFINE_list("backend", None, "which backends (all that exist)", flag_values=FLAGS)
flags.DEFINE_string("field", "mlp", "which field", flag_values=FLAGS)
flags.DEFINE_list(
    "scene",
    ["procedural:flower", "procedural:room"],
    "scenes with pretrained parameters, as for nerf.main",
    flag_values=FLAGS,
)
flags.DEFINE_string("init_from", None, "other parameters, as for nerf.main", flag_values=FLAGS)
flags.DEFINE_string("size", None, "WIDTHxHEIGHT of the pictures (the scene's)", flag_values=FLAGS)
flags.DEFINE_integer("pictures", 5, "readings of each renderer in each case", flag_values=FLAGS)
flags.DEFINE_bool("quality", True, "draw the held-out views both ways", flag_values=FLAGS)

_RANGES = {
    "pictures": (1, 1_000_000),
    "rays_per_microbatch": (1, 2**24),
    "product": (1, 65536),
}


def main(argv: Sequence[str]) -> None:
    """Measures what the flags ask for."""

    def prepare() -> tuple[dict[str, Any], Callable[[], command_line.Measurements]]:
        plan = make_plan()
        names = ("field", "pictures", "product_size")
        return {name: getattr(plan, name) for name in names}, lambda: measure_cases(plan)

    command_line.main(argv, FLAGS, __doc__ or "", BENCHMARK, prepare, prefix="render-")


def measure_cases(plan: Plan) -> command_line.Measurements:
    """Measures one case after the other."""
    for setting in plan.settings:
        with jax.default_matmul_precision(PRECISIONS[setting.precision]):
            yield measure(setting, plan)


def make_plan() -> Plan:
    """The flags' values, checked.

    Raises:
      UserError: if one is unknown or out of its range.
    """
    command_line.check_ranges(FLAGS, _RANGES)
    settings = tuple(
        Setting(scene, backend, precision)
        for scene in command_line.entries(FLAGS, "scene")
        for backend in command_line.backends(FLAGS)
        for precision in command_line.precisions(FLAGS)
    )
    return Plan(
        settings,
        FLAGS.field,
        FLAGS.init_from or "pretrained",
        tuple(FLAGS.set),
        _size(),
        FLAGS.pictures,
        FLAGS.quality,
        FLAGS.rays_per_microbatch,
        FLAGS.product,
    )


def _size() -> tuple[int, int] | None:
    """Height and width."""
    if FLAGS.size is None:
        return None
    if not (match := re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", FLAGS.size)):
        raise UserError(f"--size must be WIDTHxHEIGHT, e.g. 252x188, not {FLAGS.size!r}")
    return int(match[2]), int(match[1])


if __name__ == "__main__":
    main(sys.argv)
