"""One case of the render benchmark: both renderers and the matrix product, timed in turn."""

import dataclasses
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks import machine, timing
from benchmarks.ceiling import make_product, product_flop
from benchmarks.work import forward_flop
from nerf.config import presets
from nerf.config import settings as config_lib
from nerf.config import text as config_text
from nerf.config.settings import NETWORKS, Config
from nerf.field import Params, RadianceField
from nerf.geometry.cameras import Cameras
from nerf.jobs.load import load_params
from nerf.jobs.load_scene import load_scene
from nerf.jobs.renderers import compared_pixels
from nerf.jobs.training_run.scene_box import scene_box
from nerf.render import fast, image_metrics
from nerf.render.image_renderer import ImageRenderer, TileProgram
from nerf.render.images import make_exact_program, render_image
from nerf.render.tiles import PixelGrid
from nerf.runtime import parallel
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene
from nerf.scenes.splits import Holdout

PRODUCT = "product"


class Setting(NamedTuple):
    """What differs from case to case."""

    scene: str
    backend: str
    precision: str


class Plan(NamedTuple):
    """What is measured; the help of `render_throughput` explains each."""

    settings: tuple[Setting, ...]
    field: str
    init_from: str
    overrides: tuple[str, ...]
    size: tuple[int, int] | None
    readings: int
    quality: bool
    rays_per_microbatch: int | None
    product_size: int


class Subject(NamedTuple):
    """What is rendered."""

    scene: Scene
    field: RadianceField
    config: Config
    params: Params


def measure(setting: Setting, plan: Plan) -> dict[str, Any]:
    """All figures of one case, as they are written to the file."""
    subject = _load(setting, plan)
    scene, config = subject.scene, subject.config
    held_out = scene.split(config.train.holdout).test
    camera = scene.cameras[held_out[len(held_out) // 2]]
    camera = camera if plan.size is None else camera.resized(*plan.size)
    exact, exact_figures = _exact(subject, plan)
    quick, quick_figures = _fast(subject, camera[None], exact, plan)
    renderers = {"exact": exact, "fast": quick}
    product = make_product(plan.product_size)

    def contender(renderer: ImageRenderer) -> timing.Contender:
        def draw_repeatedly(repeats: int) -> None:
            for _ in range(repeats):
                render_image(renderer, camera)

        return draw_repeatedly

    contenders = {name: contender(renderer) for name, renderer in renderers.items()}
    contenders[PRODUCT] = product.multiply
    once = dict.fromkeys(contenders, 1)
    timing.take_turns(contenders, once, 1)
    with timing.counting_compilations() as compilations:
        readings = timing.take_turns(contenders, once, plan.readings)
    spreads = {
        name: {**timing.spread(values)._asdict(), "readings": values}
        for name, values in readings.items()
    }
    peak = product_flop(plan.product_size) / spreads[PRODUCT]["median"]
    num_rays = camera.height * camera.width
    network = subject.params[NETWORKS[config.render.networks][-1]]
    methods = {}
    for name, figures in (("exact", exact_figures), ("fast", quick_figures)):
        seconds = spreads[name]["median"]
        evaluations = num_rays * figures["evaluations_per_ray"]
        flop_per_second = evaluations * forward_flop(subject.field, network) / seconds
        methods[name] = {
            **figures,
            "image_seconds": spreads[name],
            "rays_per_second": num_rays / seconds,
            "evaluations_per_second": evaluations / seconds,
            "flop_per_second": flop_per_second,
            "share_of_ceiling": flop_per_second / peak,
        }
    paired = [a / b for a, b in zip(readings["exact"], readings["fast"], strict=True)]
    return {
        "scene": scene.name,
        "source": scene.source,
        "backend": setting.backend,
        "preset": config.preset,
        "precision": setting.precision,
        "height": camera.height,
        "width": camera.width,
        "flop_per_evaluation": forward_flop(subject.field, network),
        "ceiling": {
            "size": plan.product_size,
            "seconds": spreads[PRODUCT],
            "flop_per_second": peak,
            "relative_error": product.relative_error,
        },
        "methods": methods,
        "exact_to_fast": timing.spread(paired)._asdict(),
        "quality": _quality(subject, held_out, renderers) if plan.quality else None,
        "compilations_while_measured": compilations.count,
        "process_peak_bytes": machine.process_peak_bytes(),
        "config": config_text.to_json(config),
    }


def _load(setting: Setting, plan: Plan) -> Subject:
    scene = load_scene(setting.scene)
    loaded = load_params(plan.init_from, scene, backend=setting.backend, config=presets.NOTEBOOK)
    dtype = config_lib.compute_dtype(setting.precision)
    config = config_text.override(loaded.config, f"field.compute_dtype={dtype}", *plan.overrides)
    trained = loaded.with_settings(config, setting.precision)
    return Subject(scene, trained.field, config, trained.params)


def _exact(subject: Subject, plan: Plan) -> tuple[ImageRenderer, dict[str, Any]]:
    program = make_exact_program(
        subject.field,
        subject.config.render,
        subject.scene.space,
        rays_per_microbatch=plan.rays_per_microbatch,
    )
    renderer, compilation = _compiled(program, subject.params, subject.scene.cameras[0])
    return renderer, {
        "evaluations_per_ray": subject.config.render.evaluations_per_ray,
        **compilation,
    }


def _fast(
    subject: Subject, cameras: Cameras, exact: ImageRenderer, plan: Plan
) -> tuple[ImageRenderer, dict[str, Any]]:
    scene, field, config, params = subject
    start = time.perf_counter()
    box = scene_box(scene.space, config.render, cameras, scene.cameras)
    measure_grid = fast.make_density_grid_builder(field, config.render, box, fast.RESOLUTION)
    grid = jax.block_until_ready(measure_grid(params))
    grid_seconds = time.perf_counter() - start
    pixels, truth = compared_pixels(SceneRecord.of(scene, Holdout.of(config.train)), scene)
    choice = fast.choose_sampling(
        field, params, config.render, grid, pixels, exact, scene.space, truth
    )
    choice_seconds = time.perf_counter() - start - grid_seconds
    program = fast.make_fast_program(
        field,
        config.render,
        scene.space,
        choice.sampling,
        rays_per_microbatch=plan.rays_per_microbatch,
    )
    renderer, compilation = _compiled(program, (params, grid), scene.cameras[0])
    return renderer, {
        "evaluations_per_ray": choice.sampling.num_samples + (config.render.last_interval > 0),
        **compilation,
        "sampling": choice.sampling._asdict(),
        "suffices": choice.suffices,
        "grid_seconds": grid_seconds,
        "choice_seconds": choice_seconds,
    }


def _compiled(
    program: TileProgram, params: Any, camera: Cameras
) -> tuple[ImageRenderer, dict[str, Any]]:
    """A renderer that is compiled for cameras like the one given, and what compiling took."""
    renderer = program.with_params(params)
    grid = parallel.replicate(program.mesh, PixelGrid.of(camera))
    jitted: Any = program.run
    stages, _, compiled = timing.compile_in_stages(
        jitted, (renderer.replicated, grid), renderer.first
    )
    figures = {**timing.stage_seconds(stages), "peak_bytes": timing.peak_bytes(compiled)}
    program = dataclasses.replace(program, run=compiled)
    return dataclasses.replace(renderer, program=program), figures


def _quality(
    subject: Subject, held_out: tuple[int, ...], renderers: dict[str, ImageRenderer]
) -> dict[str, Any]:
    """PSNR of the held-out views, exact and fast, and of the fast images against the exact."""
    views = []
    for index in held_out:
        view = subject.scene.view(index)
        assert view.image is not None
        drawn = {
            name: render_image(renderer, view.camera).rgb for name, renderer in renderers.items()
        }
        views.append(
            {
                "index": index,
                "exact_psnr": image_metrics.psnr(drawn["exact"], view.image),
                "fast_psnr": image_metrics.psnr(drawn["fast"], view.image),
                "fast_to_exact_psnr": image_metrics.psnr(drawn["fast"], drawn["exact"]),
            }
        )
    names = ("exact_psnr", "fast_psnr", "fast_to_exact_psnr")
    means = {name: float(np.mean([view[name] for view in views])) for name in names}
    return {**means, "lost": means["exact_psnr"] - means["fast_psnr"], "views": views}
