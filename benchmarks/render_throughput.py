"""How fast images are rendered, exact and fast, compared with the device's matrix product.

    python -m benchmarks.render_throughput                                   # the bundled scenes
    python -m benchmarks.render_throughput --scene=llff:flower --backend=flax
    python -m benchmarks.render_throughput --size=1008x756 --readings=1

A scene's pretrained parameters are rendered. The exact renderer, the fast one and the product are
timed in turn, so that a change of the machine's speed affects all alike; tracing, lowering and
compiling are timed separately. Then the held-out views are rendered both ways: how close the fast
images are to the exact ones, and how much PSNR they lose against the scene's own images. A table
is printed, and every figure is written as JSON.
"""

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
from absl import flags

from benchmarks import charts, command_line, compare, list_flags, report
from benchmarks.render_case import Plan, Setting, measure
from nerf.config import presets
from nerf.config import text as config_text
from nerf.config.settings import PRECISIONS
from nerf.errors import UserError

BENCHMARK = command_line.Benchmark(
    "render_throughput",
    "cases",
    report.render_case,
    compare.images,
    file_prefix="render-",
    write_chart=charts.write_render_chart,
)

FLAGS = command_line.new_flags()
command_line.define_readings(FLAGS, 5, old_name="pictures")
command_line.define_precision(FLAGS, several=True)
command_line.define_settings(FLAGS)
command_line.define_ceiling(FLAGS)
command_line.define_backends_and_field(FLAGS)
list_flags.define_names(
    FLAGS,
    "scene",
    "procedural:flower,procedural:room",
    "scenes with pretrained parameters, as for nerf.main",
)
flags.DEFINE_string("init_from", None, "other parameters, as for nerf.main", flag_values=FLAGS)
flags.DEFINE_string("size", None, "WIDTHxHEIGHT of the images (the scene's)", flag_values=FLAGS)
flags.DEFINE_bool("quality", True, "render the held-out views both ways", flag_values=FLAGS)


def main(argv: Sequence[str]) -> None:
    """Measures what the flags ask for."""

    def prepare() -> tuple[dict[str, Any], Callable[[], command_line.Measurements]]:
        plan = make_plan()
        names = ("field", "readings", "product_size")
        return {name: getattr(plan, name) for name in names}, lambda: measure_cases(plan)

    command_line.main(argv, FLAGS, __doc__ or "", BENCHMARK, prepare)


def measure_cases(plan: Plan) -> command_line.Measurements:
    """Measures one case after the other."""
    for setting in plan.settings:
        with jax.default_matmul_precision(PRECISIONS[setting.precision]):
            yield measure(setting, plan)


def make_plan() -> Plan:
    """What the flags ask for.

    Raises:
      UserError: if a backend, field or setting is unknown, or the size is not one.
    """
    config_text.override(presets.preset_of(FLAGS.field, None), *FLAGS.set)  # before a scene is read
    settings = tuple(
        Setting(scene, backend, precision)
        for scene in FLAGS.scene
        for backend in command_line.backends(FLAGS)
        for precision in FLAGS.precision
    )
    return Plan(
        settings,
        FLAGS.field,
        FLAGS.init_from or "pretrained",
        tuple(FLAGS.set),
        _size(),
        FLAGS.readings,
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
