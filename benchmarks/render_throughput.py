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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags

from benchmarks import charts, command_line, machine, report
from benchmarks.render_case import Plan, Setting, measure
from nerf import run_folder
from nerf.config import PRECISIONS
from nerf.errors import UserError

BENCHMARK = "render_throughput"

FLAGS = flags.FlagValues()  # type: ignore[no-untyped-call]
command_line.define_common(FLAGS)
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
    "rays_per_piece": (1, 2**24),
    "product": (1, 65536),
}


def main(argv: Sequence[str]) -> None:
    """Measures what the flags ask for."""

    def prepare() -> Any:
        plan = make_plan()
        earlier = command_line.read_earlier(FLAGS, BENCHMARK)
        return lambda out, date: run(plan, out, date, earlier)

    command_line.main(argv, FLAGS, __doc__ or "", prepare, prefix="render-")


def run(plan: Plan, out: Path, date: str, earlier: dict[str, Any] | None = None) -> dict[str, Any]:
    """Measures every case; prints it and writes the file as soon as it is known."""
    result: dict[str, Any] = {
        "benchmark": BENCHMARK,
        "date": date,
        **machine.describe(),
        "settings": {name: getattr(plan, name) for name in ("field", "pictures", "product_size")},
        "cases": [],
    }
    print(report.header(result), flush=True)
    for setting in plan.settings:
        with jax.default_matmul_precision(PRECISIONS[setting.precision]):
            result["cases"].append(measure(setting, plan))
        print("\n" + report.render_case(result["cases"][-1]), flush=True)
        run_folder.write_json(out, result)
    print(f"\nwritten to {out}")
    if earlier is not None:
        print(report.against(result, earlier, report.picture_seconds))
    if FLAGS.chart:
        charts.write_render_chart(Path(FLAGS.chart), result)
        print(f"chart: {FLAGS.chart}")
    return result


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
        FLAGS.rays_per_piece,
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
