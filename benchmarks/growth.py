"""How the cost grows: of a step with rays, samples and width, of a picture with its resolution.

    python -m benchmarks.growth --chart=growth.png
    python -m benchmarks.growth --curve=rays --readings=1

One quantity at a time goes through its values, everything else stays as in the preset notebook.
All points of a curve take turns. Beside the seconds stands the work, in floating-point operations
of the matrix products: where the seconds do not grow in step with it, something else is paid for.
"""

import dataclasses
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from absl import flags

from benchmarks import charts, command_line, report, timing
from benchmarks.step_case import compile_step
from benchmarks.synthetic_views import BOUNDS, make_views
from benchmarks.work import forward_flop, work_per_ray
from nerf import field as field_lib
from nerf.config import presets
from nerf.config import text as config_text
from nerf.config.settings import PRECISIONS, Config
from nerf.errors import UserError
from nerf.render.images import make_chunk_renderer, render_image
from nerf.render.rays import init_params
from nerf.training.step import init_state

BENCHMARK = command_line.Benchmark(
    "growth", "curves", report.curve, report.point_seconds, charts.write_growth_chart
)

FLAGS = command_line.new_flags()
flags.DEFINE_list(
    "curve", ["rays", "samples", "width", "resolution"], "which quantities", flag_values=FLAGS
)
flags.DEFINE_string("backend", "flax", "which backend", flag_values=FLAGS)
flags.DEFINE_integer("readings", 3, "readings of each point", flag_values=FLAGS)
flags.DEFINE_list("values", None, "for one curve: its values", flag_values=FLAGS)

_RANGES = {"readings": (1, 1_000_000), "rays_per_microbatch": (1, 2**24)}


class Curve(NamedTuple):
    """One quantity, its values by default, and what is measured at each."""

    unit: str
    what: str
    values: tuple[int, ...]
    point: Callable[[Config, int], tuple[timing.Contender, float]]


def main(argv: Sequence[str]) -> None:
    """Measures what the flags ask for."""

    def prepare() -> tuple[dict[str, Any], Callable[[], command_line.Measurements]]:
        plan = make_plan()
        settings = {"backend": FLAGS.backend, "readings": FLAGS.readings, "preset": "notebook"}
        return settings, lambda: measure_curves(plan)

    command_line.main(argv, FLAGS, __doc__ or "", BENCHMARK, prepare, prefix="growth-")


def measure_curves(plan: dict[str, tuple[int, ...]]) -> command_line.Measurements:
    """Measures one curve after the other."""
    (precision,) = command_line.precisions(FLAGS)
    config = config_text.override(presets.NOTEBOOK, *FLAGS.set)
    for name, values in plan.items():
        with jax.default_matmul_precision(PRECISIONS[precision]):
            yield _measure(name, values, config)


def make_plan() -> dict[str, tuple[int, ...]]:
    """The values of each curve that is asked for.

    Raises:
      UserError: if a flag is unknown or out of its range.
    """
    command_line.check_ranges(FLAGS, _RANGES)
    field_lib.check_names(FLAGS.backend, "mlp")
    precisions = command_line.precisions(FLAGS)
    names = command_line.entries(FLAGS, "curve")
    for name in names:
        if name not in CURVES:
            raise UserError(f"unknown curve {name!r}: choose one of {', '.join(CURVES)}")
    if len(precisions) > 1:
        raise UserError("--precision: one at a time")
    if FLAGS.values is None:
        return {name: CURVES[name].values for name in names}
    if len(names) > 1:
        raise UserError("--values belong to one --curve")
    values = command_line.entries(FLAGS, "values")
    if not all(re.fullmatch("[0-9]{1,7}", value) and 1 <= int(value) <= 2**20 for value in values):
        raise UserError(f"--values must be whole numbers from 1 to {2**20}")
    return {names[0]: tuple(map(int, values))}


def _measure(name: str, values: tuple[int, ...], config: Config) -> dict[str, Any]:
    curve = CURVES[name]
    points = {str(value): curve.point(config, value) for value in values}
    contenders = {value: contender for value, (contender, _) in points.items()}
    once = dict.fromkeys(contenders, 1)
    timing.take_turns(contenders, once, 1)
    repeats = {
        value: timing.choose_repeats(timing.seconds(contender, 1), 0.2)
        for value, contender in contenders.items()
    }
    readings = timing.take_turns(contenders, repeats, FLAGS.readings)
    return {
        "name": name,
        "unit": curve.unit,
        "what": curve.what,
        "points": [
            {
                "value": int(value),
                "flop": flop,
                "seconds": {
                    **timing.spread(readings[value])._asdict(),
                    "readings": readings[value],
                },
            }
            for value, (_, flop) in points.items()
        ],
    }


def _step(config: Config) -> tuple[timing.Contender, float]:
    """A training step, and its work."""
    field = field_lib.make_field(FLAGS.backend, "mlp", config.field)
    views, cameras = make_views(0)
    state = init_state(field, config, jax.random.key(0))
    prepared = compile_step(field, config, state, views, cameras, FLAGS.rays_per_microbatch)
    return prepared.step, float(work_per_ray(field, config).flop * config.train.num_rays)


def _with_rays(config: Config, value: int) -> tuple[timing.Contender, float]:
    return _step(_replaced(config, "train", num_rays=value))


def _with_samples(config: Config, value: int) -> tuple[timing.Contender, float]:
    """A third of them coarse, as in the preset."""
    coarse = max(4, value // 3)
    fine = max(1, value - coarse)
    return _step(_replaced(config, "render", num_coarse=coarse, num_fine=fine))


def _with_width(config: Config, value: int) -> tuple[timing.Contender, float]:
    return _step(_replaced(config, "field", width=value, rgb_width=max(1, value // 2)))


def _with_resolution(config: Config, value: int) -> tuple[timing.Contender, float]:
    """An exact picture so many pixels wide, three quarters as high."""
    field = field_lib.make_field(FLAGS.backend, "mlp", config.field)
    params = init_params(field, config.render, jax.random.key(0))
    _, cameras = make_views(0)
    camera = cameras._replace(camtoworlds=cameras.camtoworlds[0]).resized(
        max(1, value * 3 // 4), value
    )
    render_chunk = make_chunk_renderer(
        field, config.render, rays_per_microbatch=FLAGS.rays_per_microbatch
    )
    bounds = jax.device_get(jax.numpy.asarray(BOUNDS, jax.numpy.float32))

    def draw(repeats: int) -> None:
        for _ in range(repeats):
            render_image(render_chunk, params, camera, bounds, space="ndc", config=config.render)

    evaluations = camera.height * camera.width * config.render.evaluations_per_ray
    return draw, float(evaluations * forward_flop(field, params["shared"]))


def _replaced(config: Config, part: str, **changes: int) -> Config:
    return dataclasses.replace(
        config, **{part: dataclasses.replace(getattr(config, part), **changes)}
    )


_STEP = "seconds a step"
CURVES = {
    "rays": Curve("rays a step", _STEP, (64, 128, 256, 512, 1024, 2048), _with_rays),
    "samples": Curve("evaluations a ray", _STEP, (12, 24, 48, 96, 192, 384), _with_samples),
    "width": Curve("units a layer", _STEP, (16, 32, 64, 128, 256, 512), _with_width),
    "resolution": Curve(
        "pixels wide", "seconds a picture", (16, 32, 64, 126, 252), _with_resolution
    ),
}


if __name__ == "__main__":
    main(sys.argv)
