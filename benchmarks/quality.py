"""How good a field becomes in how much time: held-out PSNR and SSIM over seconds.

    python -m benchmarks.quality                                      # the bundled scenes
    python -m benchmarks.quality --scene=llff:flower --field=planes,mlp:quick --seconds=60,180
    python -m benchmarks.quality --chart=quality.png

Each point is a run of its own, as a user would start it: `python -m nerf.main --mode=train
--train_seconds=...`, from nothing, with a learning rate that falls to its end in that time. The
seconds count from the start of the process and include compilation, for which no cache is used.
Afterwards the held-out views are scored with exact pictures, which does not count.
"""

import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from benchmarks import charts, command_line, report
from nerf import field as field_lib
from nerf.config import presets
from nerf.errors import UserError
from nerf.runs import metrics, parameters

BENCHMARK = command_line.Benchmark(
    "quality", "scenes", report.quality, report.process_seconds, charts.write_quality_chart
)

_OF_SCENE = ("scene", "source", "resolution")

FLAGS = command_line.new_flags()
flags.DEFINE_list(
    "field",
    ["planes", "mlp:quick", "mlp"],
    "which fields, each FIELD or FIELD:PRESET",
    flag_values=FLAGS,
)
flags.DEFINE_string("backend", "flax", "which backend", flag_values=FLAGS)
flags.DEFINE_list(
    "scene", ["procedural:flower", "procedural:room"], "scenes, as for nerf.main", flag_values=FLAGS
)
flags.DEFINE_list("seconds", ["20", "60", "180"], "how long each run is", flag_values=FLAGS)


class Plan(NamedTuple):
    """What is asked for; the help of the flags says what each means."""

    scenes: tuple[str, ...]
    fields: tuple[str, ...]  # FIELD or FIELD:PRESET
    seconds: tuple[float, ...]
    more: tuple[str, ...]  # flags for each run


def main(argv: Sequence[str]) -> None:
    """Measures what the flags ask for."""

    def prepare() -> tuple[dict[str, Any], Callable[[], command_line.Measurements]]:
        plan = make_plan()
        return plan._asdict(), lambda: measure_scenes(plan)

    command_line.main(argv, FLAGS, __doc__ or "", BENCHMARK, prepare, prefix="quality-")


def make_plan() -> Plan:
    """The flags' values, checked.

    Raises:
      UserError: if one is unknown or out of its range.
    """
    fields = command_line.entries(FLAGS, "field")
    for name in fields:
        field, preset = _field_and_preset(name)
        field_lib.check_names(FLAGS.backend, field)
        presets.preset_of(field, preset)
    (precision, *others) = command_line.precisions(FLAGS)
    if others:
        raise UserError("--precision: one at a time")
    piece = (
        []
        if FLAGS.rays_per_microbatch is None
        else [f"--rays_per_microbatch={FLAGS.rays_per_microbatch}"]
    )
    more = (
        *(f"--backend={FLAGS.backend}", f"--precision={precision}", *piece),
        *(f"--set={assignment}" for assignment in FLAGS.set),
    )
    return Plan(command_line.entries(FLAGS, "scene"), fields, _seconds(), more)


def _field_and_preset(name: str) -> tuple[str, str | None]:
    field, _, preset = name.partition(":")
    return field, preset or None


def _seconds() -> tuple[float, ...]:
    texts = command_line.entries(FLAGS, "seconds")
    try:
        values = tuple(map(float, texts))
    except ValueError as error:
        raise UserError(f"--seconds must be numbers, not {','.join(texts)}") from error
    if not all(0 < value < 1e6 for value in values):
        raise UserError(f"--seconds must be more than 0 and at most a million, not {min(values):g}")
    return tuple(sorted(values))


def measure_scenes(plan: Plan) -> command_line.Measurements:
    """All runs on one scene after the other."""
    for scene in plan.scenes:
        runs = [(name, _run(scene, name, limit, plan)) for name, limit in _pairs(plan)]
        _, first = runs[0]
        yield {
            **{key: first[key] for key in _OF_SCENE},
            "curves": [
                {
                    "field": field,
                    "points": [
                        {key: value for key, value in run.items() if key not in _OF_SCENE}
                        for name, run in runs
                        if name == field
                    ],
                }
                for field in plan.fields
            ],
        }


def _pairs(plan: Plan) -> list[tuple[str, float]]:
    return list(itertools.product(plan.fields, plan.seconds))


def _run(scene: str, name: str, limit: float, plan: Plan) -> dict[str, Any]:
    """One run, in a process and a folder of its own."""
    field, preset = _field_and_preset(name)
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        command = [
            *(sys.executable, "-m", "nerf.main", "--mode=train", f"--scene={scene}"),
            *(f"--field={field}", f"--train_seconds={limit:g}", f"--run_dir={run_dir}"),
            *([f"--preset={preset}"] if preset else []),
            *("--frames=0", "--eval_every=0", "--render=exact", "--nocompile_cache", *plan.more),
        ]
        start = time.monotonic()
        ended = subprocess.run(command, capture_output=True, text=True)
        whole = time.monotonic() - start
        if ended.returncode != 0:
            last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(f"a run on {scene} failed: {last.removeprefix('error: ')}")
        scored = json.loads((run_dir / "eval.json").read_text(encoding="utf-8"))
        readings = [line for line in metrics.read(run_dir) if "loss" in line]
        params = parameters.load(run_dir, FLAGS.backend).params
    return {
        "scene": scored["scene"],
        "source": scored["source"],
        "resolution": scored["resolution"],
        "limit": limit,
        "train_seconds": readings[-1]["seconds"],
        "process_seconds": whole,
        "steps": scored["step"],
        "psnr": scored["psnr"],
        "ssim": scored["ssim"],
        "depth_error": scored.get("depth_error"),
        "views": scored["views"],
        "num_parameters": parameters.count(params),
    }


if __name__ == "__main__":
    main(sys.argv)
