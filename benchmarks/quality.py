"""How good a field becomes in how much time: held-out PSNR and SSIM over training time.

    python -m benchmarks.quality                                      # the bundled scenes
    python -m benchmarks.quality --scene=llff:flower --field=planes,mlp:quick --seconds=60,180
    python -m benchmarks.quality --chart=quality.png

Each point is a separate run, started as a user would start it: `python -m nerf.main --mode=train
--train_seconds=...`, from scratch, with a learning rate that decays over that time. The seconds
count from the start of the process and include compilation, for which no cache is used. After
training the held-out views are rendered exactly and scored; that time does not count.
"""

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import charts, command_line, compare, finished_run, list_flags, report
from nerf import field as field_lib
from nerf.config import presets
from nerf.errors import UserError

BENCHMARK = command_line.Benchmark(
    "quality",
    "scenes",
    report.quality,
    compare.quality,
    file_prefix="quality-",
    write_chart=charts.write_quality_chart,
)

_OF_SCENE = ("scene", "source", "resolution")

FLAGS = command_line.new_flags()
command_line.define_precision(FLAGS, several=False)
command_line.define_settings(FLAGS)
command_line.define_backend(FLAGS)
list_flags.define_names(
    FLAGS, "field", "planes,mlp:quick,mlp", "which fields, each FIELD or FIELD:PRESET"
)
list_flags.define_names(
    FLAGS, "scene", "procedural:flower,procedural:room", "scenes, as for nerf.main"
)
list_flags.define_numbers(
    FLAGS, "seconds", "20,60,180", "how long each run trains", low=0.001, high=1e6
)


class Plan(NamedTuple):
    """What is measured; the help of the flags explains each."""

    scenes: tuple[str, ...]
    fields: tuple[str, ...]  # FIELD or FIELD:PRESET
    seconds: tuple[float, ...]
    more: tuple[str, ...]  # flags of every run


def main(argv: Sequence[str]) -> None:
    """Measures what the flags ask for."""

    def prepare() -> tuple[dict[str, Any], Callable[[], command_line.Measurements]]:
        plan = make_plan()
        return plan._asdict(), lambda: measure_scenes(plan)

    command_line.main(argv, FLAGS, __doc__ or "", BENCHMARK, prepare)


def make_plan() -> Plan:
    """What the flags ask for.

    Raises:
      UserError: if a backend, field or preset is unknown.
    """
    for name in FLAGS.field:
        field, preset = _field_and_preset(name)
        field_lib.check_names(FLAGS.backend, field)
        presets.preset_of(field, preset)
    size = FLAGS.rays_per_microbatch
    more = (
        *(f"--backend={FLAGS.backend}", f"--precision={FLAGS.precision}"),
        *([] if size is None else [f"--rays_per_microbatch={size}"]),
        *(f"--set={assignment}" for assignment in FLAGS.set),
    )
    return Plan(FLAGS.scene, FLAGS.field, tuple(sorted(FLAGS.seconds)), more)


def _field_and_preset(name: str) -> tuple[str, str | None]:
    field, _, preset = name.partition(":")
    return field, preset or None


def measure_scenes(plan: Plan) -> command_line.Measurements:
    """Trains every field for every time limit, on one scene after the other."""
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
    """One run, in a separate process and folder."""
    field, preset = _field_and_preset(name)
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        command = [
            *(sys.executable, "-m", "nerf.main", "--mode=train", f"--scene={scene}"),
            *(f"--field={field}", f"--train_seconds={limit:g}", f"--run_dir={run_dir}"),
            *([f"--preset={preset}"] if preset else []),
            *("--video_frames=0", "--eval_every=0", "--renderer=exact", "--nocompile_cache"),
            *plan.more,
        ]
        start = time.monotonic()
        ended = subprocess.run(command, capture_output=True, text=True)
        process_seconds = time.monotonic() - start
        if ended.returncode != 0:
            last = (ended.stderr.strip().splitlines() or ["it printed no error"])[-1]
            raise UserError(f"a run on {scene} failed: {last.removeprefix('error: ')}")
        figures = finished_run.read(run_dir, FLAGS.backend)
    return {**figures, "limit": limit, "process_seconds": process_seconds}


if __name__ == "__main__":
    main(sys.argv)
