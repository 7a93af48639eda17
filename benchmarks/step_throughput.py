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
import datetime
import itertools
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags

from benchmarks import machine, report
from benchmarks.step_case import FIELD, Case, Plan, measure
from benchmarks.synthetic_views import make_views
from nerf import config as config_lib
from nerf import field as field_lib
from nerf import parallel, run_folder
from nerf.backends import convert
from nerf.config import PRECISIONS, Config
from nerf.errors import UserError
from nerf.training.step import CPU_RAYS_PER_PIECE

RESULTS = Path(__file__).parent / "results"
_MAX_RAYS = 2**24

# Its own, so that `nerf.main` can be imported beside it.
FLAGS = flags.FlagValues()  # type: ignore[no-untyped-call]
flags.DEFINE_list("backend", None, "which backends (all that exist)", flag_values=FLAGS)
flags.DEFINE_list("preset", ["notebook", "paper"], "which conventions", flag_values=FLAGS)
flags.DEFINE_list("rays", ["1024"], "rays a step, one number or several", flag_values=FLAGS)
flags.DEFINE_list(
    "precision", ["float32"], "of matrix products: float32, tf32, bfloat16", flag_values=FLAGS
)
flags.DEFINE_integer("steps", 5, "readings of each backend in each case", flag_values=FLAGS)
flags.DEFINE_integer("warmup", 2, "steps before the first reading", flag_values=FLAGS)
flags.DEFINE_float(
    "window", 0.1, "a reading repeats its work until it fills these seconds", flag_values=FLAGS
)
flags.DEFINE_integer(
    "rays_per_piece",
    None,
    "at most so many rays go through at once (a device's own choice)",
    flag_values=FLAGS,
)
flags.DEFINE_integer("product", 4096, "rows of the ceiling's square matrices", flag_values=FLAGS)
flags.DEFINE_multi_string(
    "set", [], "one setting by its dotted name, e.g. --set=field.width=32", flag_values=FLAGS
)
flags.DEFINE_integer("seed", 0, "of parameters, pictures and batches", flag_values=FLAGS)
flags.DEFINE_string(
    "out", None, "the JSON file (benchmarks/results/DEVICE-DATE.json)", flag_values=FLAGS
)
flags.DEFINE_bool("help", False, "show this", short_name="h", flag_values=FLAGS)

_RANGES = {
    "steps": (1, 1_000_000),
    "warmup": (1, 1_000_000),
    "window": (0.0, 3600.0),
    "rays_per_piece": (1, _MAX_RAYS),
    "product": (1, 65536),
    "seed": (0, 2**31 - 1),
}


def main(argv: Sequence[str]) -> None:
    """Measures what the flags ask for; a user's mistake ends with one sentence and status 1."""
    try:
        _parse(argv)
        if FLAGS.help:
            print(f"{__doc__}\n{FLAGS.get_help()}")
            return
        plan = make_plan()
        parallel.use_every_core()
        date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        name = machine.file_name(run_folder.device_name(), date[:10])
        out = Path(FLAGS.out) if FLAGS.out else RESULTS / name
        _check_writable(out)
        run(plan, out, date)
    except UserError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("stopped", status=130)
    except OSError as error:
        _fail(f"{error.filename or 'a file'} cannot be read or written: {error.strerror}")
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        _fail("out of memory: try fewer --rays, or --rays_per_piece; cases before are in the file")


def run(plan: Plan, out: Path, date: str) -> dict[str, Any]:
    """Measures every case; prints it and writes the file as soon as it is known."""
    result: dict[str, Any] = {
        "benchmark": "step_throughput",
        "date": date,
        **machine.describe(),
        "settings": {
            name: getattr(plan, name)
            for name in ("steps", "warmup", "window", "product_size", "seed")
        },
        "cases": [],
    }
    print(report.header(result), flush=True)
    views, cameras = make_views(plan.seed)
    for config, precision in itertools.product(plan.configs, plan.precisions):
        num_rays = config.train.num_rays
        piece = parallel.choose_rays_per_piece(
            num_rays // parallel.make_mesh(num_rays).size,
            plan.rays_per_piece,
            on_cpu=CPU_RAYS_PER_PIECE,
        )
        case = Case(config, precision, piece, views, cameras)
        with jax.default_matmul_precision(PRECISIONS[precision]):
            result["cases"].append(measure(case, plan))
        print("\n" + report.case(result["cases"][-1]), flush=True)
        run_folder.write_json(out, result)
    print(f"\nwritten to {out}")
    return result


def make_plan() -> Plan:
    """The flags' values, checked.

    Raises:
      UserError: if one is unknown or out of its range.
    """
    for name, (smallest, largest) in _RANGES.items():
        value = FLAGS[name].value
        if value is not None and not smallest <= value <= largest:
            raise UserError(f"--{name} must be from {smallest} to {largest}, not {value}")
    backends = _list("backend") if FLAGS.backend is not None else _comparable_backends()
    for backend in backends:
        field_lib.check_names(backend, FIELD)
    precisions = _list("precision")
    for precision in precisions:
        if precision not in PRECISIONS:
            raise UserError(
                f"unknown precision {precision!r}: choose one of {', '.join(PRECISIONS)}"
            )
    presets = [_preset(name) for name in _list("preset")]
    rays = [_number_of_rays(text) for text in _list("rays")]
    return Plan(
        backends,
        tuple(_with_rays(config, num) for config in presets for num in rays),
        precisions,
        FLAGS.steps,
        FLAGS.warmup,
        FLAGS.window,
        FLAGS.rays_per_piece,
        FLAGS.product,
        FLAGS.seed,
    )


def _comparable_backends() -> tuple[str, ...]:
    """Those whose parameters can be converted into each other."""
    return tuple(name for name in field_lib.backends() if name in convert.LAYOUTS)


def _list(name: str) -> tuple[str, ...]:
    """The different entries of a list flag, in the order in which they are given."""
    entries = tuple(dict.fromkeys(entry.strip() for entry in FLAGS[name].value or ()))
    if not all(entries) or not entries:
        raise UserError(f"--{name} needs one value, or several with commas in between")
    return entries


def _number_of_rays(text: str) -> int:
    if not re.fullmatch("[0-9]{1,8}", text) or not 1 <= int(text) <= _MAX_RAYS:
        raise UserError(f"--rays must be whole numbers from 1 to {_MAX_RAYS}, not {text!r}")
    return int(text)


def _preset(name: str) -> Config:
    config = config_lib.preset(name)
    for assignment in FLAGS.set:
        if assignment.replace(" ", "").startswith("train.num_rays="):
            raise UserError(f"--set={assignment}: say it with --rays")
    return config_lib.override(config, *FLAGS.set)


def _with_rays(config: Config, num_rays: int) -> Config:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, num_rays=num_rays))


def _parse(argv: Sequence[str]) -> None:
    try:
        rest = FLAGS(argv)
    except flags.Error as error:
        raise UserError(f"{' '.join(str(error).split())} (--help lists the flags)") from error
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}: everything is a --flag=value")


def _check_writable(out: Path) -> None:
    """Finds out before the measurement whether its result can be kept."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        probe = out.with_name(f".{out.name}.probe")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"{out} cannot be written ({error.strerror}): name another --out"
        ) from error
    if out.is_dir():
        raise UserError(f"{out} is a folder: --out names a file")


def _fail(sentence: str, status: int = 1) -> None:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main(sys.argv)
