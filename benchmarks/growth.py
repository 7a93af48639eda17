"""How the cost grows: of a step with rays, samples and width, of an image with its resolution.

    python -m benchmarks.growth --chart=growth.png
    python -m benchmarks.growth --curve=rays --readings=1

Each curve varies one quantity and leaves everything else as in the preset notebook. All points of
a curve are timed in turn. Beside the seconds stands the work: the floating-point operations of the
matrix products. Where the seconds grow faster or slower than the work, other costs matter.
"""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from benchmarks import charts, command_line, compare, list_flags, report, timing
from benchmarks.step_case import compile_step
from benchmarks.synthetic_views import SPACE, make_views
from benchmarks.work import forward_flop, work_per_ray
from nerf import field as field_lib
from nerf.config import presets
from nerf.config import text as config_text
from nerf.config.settings import PRECISIONS, Config
from nerf.errors import UserError
from nerf.render.images import make_exact_program, render_image
from nerf.render.rays import init_params
from nerf.training.state import init_state

BENCHMARK = command_line.Benchmark(
    "growth",
    "curves",
    report.curve,
    compare.points,
    file_prefix="growth-",
    write_chart=charts.write_growth_chart,
)


class Curve(NamedTuple):
    """One quantity, its default values, and what is timed at each value."""

    unit: str
    what: str
    values: tuple[int, ...]
    point: Callable[[Config, int], tuple[timing.Contender, float]]


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
    views = make_views(0)
    state = init_state(field, config, jax.random.key(0))
    prepared = compile_step(field, config, state, views, FLAGS.rays_per_microbatch)
    return prepared.step, float(work_per_ray(field, config).flop * config.train.num_rays)


def _with_rays(config: Config, value: int) -> tuple[timing.Contender, float]:
    return _step(_replaced(config, "train", num_rays=value))


def _with_samples(config: Config, value: int) -> tuple[timing.Contender, float]:
    """A third of the samples are coarse, as in the preset."""
    coarse = max(4, value // 3)
    fine = max(1, value - coarse)
    return _step(_replaced(config, "render", num_coarse=coarse, num_fine=fine))


def _with_width(config: Config, value: int) -> tuple[timing.Contender, float]:
    return _step(_replaced(config, "field", width=value, rgb_width=max(1, value // 2)))


def _with_resolution(config: Config, value: int) -> tuple[timing.Contender, float]:
    """An exact image `value` pixels wide and three quarters as high."""
    field = field_lib.make_field(FLAGS.backend, "mlp", config.field)
    params = init_params(field, config.render, jax.random.key(0))
    camera = make_views(0).cameras[0].resized(max(1, value * 3 // 4), value)
    program = make_exact_program(
        field, config.render, SPACE, rays_per_microbatch=FLAGS.rays_per_microbatch
    )
    renderer = program.with_params(params)

    def draw(repeats: int) -> None:
        for _ in range(repeats):
            render_image(renderer, camera)

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
        "pixels wide", "seconds an image", (16, 32, 64, 126, 252), _with_resolution
    ),
}


FLAGS = command_line.new_flags()
command_line.define_readings(FLAGS, 3)
command_line.define_precision(FLAGS, several=False)
command_line.define_settings(FLAGS)
command_line.define_backend(FLAGS)
list_flags.define_choices(
    FLAGS, "curve", ",".join(CURVES), tuple(CURVES), "which quantities to vary"
)
list_flags.define_integers(
    FLAGS, "values", None, "for one curve: the values of its quantity", low=1, high=2**20
)


def main(argv: Sequence[str]) -> None:
    """Measures what the flags ask for."""

    def prepare() -> tuple[dict[str, Any], Callable[[], command_line.Measurements]]:
        plan = make_plan()
        settings = {"backend": FLAGS.backend, "readings": FLAGS.readings, "preset": "notebook"}
        return settings, lambda: measure_curves(plan)

    command_line.main(argv, FLAGS, __doc__ or "", BENCHMARK, prepare)


def measure_curves(plan: dict[str, tuple[int, ...]]) -> command_line.Measurements:
    """Measures one curve after the other."""
    config = config_text.override(presets.NOTEBOOK, *FLAGS.set)
    for name, values in plan.items():
        with jax.default_matmul_precision(PRECISIONS[FLAGS.precision]):
            yield _measure(name, values, config)


def make_plan() -> dict[str, tuple[int, ...]]:
    """The values of each curve that the flags ask for.

    Raises:
      UserError: if the backend is unknown, or values are given for several curves.
    """
    field_lib.check_names(FLAGS.backend, "mlp")
    if FLAGS.values is None:
        return {name: CURVES[name].values for name in FLAGS.curve}
    if len(FLAGS.curve) > 1:
        raise UserError("--values needs one --curve")
    return {FLAGS.curve[0]: FLAGS.values}


if __name__ == "__main__":
    main(sys.argv)
