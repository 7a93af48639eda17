"""The modes of `python -m nerf.main`, each a few calls of the library."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nerf.backends import convert
from nerf.captures.capture import named_views
from nerf.cli import export, options, render, video_options
from nerf.cli.console import Console
from nerf.cli.flags import FLAGS
from nerf.cli.modes import IN_STEP
from nerf.cli.run_alone import run_in_folder
from nerf.cli.training_viewer import check_viewer, training_viewer
from nerf.config.settings import TrainConfig
from nerf.errors import UserError
from nerf.jobs.evaluate import evaluate
from nerf.jobs.load import load_params, save_params
from nerf.jobs.load_scene import load_scene
from nerf.jobs.train import train
from nerf.jobs.trained_field import TrainedField
from nerf.jobs.training_run import several_processes
from nerf.jobs.training_run.new_field import new_field
from nerf.jobs.training_run.process_consistency import check_processes_agree
from nerf.jobs.training_run.record import run_record
from nerf.jobs.videos.files import check_output
from nerf.render.rays import abstract_networks
from nerf.runs import parameters, run_folder
from nerf.runtime import devices, exchange
from nerf.scenes.describe import image_sizes
from nerf.scenes.scene import Scene
from nerf.scenes.splits import Holdout
from nerf.training.loop import UNLIMITED_STEPS

_SLOW_EVALUATIONS = 2**28  # of the NeRF MLP: an hour of training on two cores


def run_mode(console: Console, started: float) -> None:
    """Runs what `--mode` says.

    Args:
      console: receives what the library reports.
      started: `time.monotonic()` when the time of the run began.

    Raises:
      UserError: for a mistake of the user.
    """
    if FLAGS.mode == "convert":
        _convert(console)
        return
    if FLAGS.mode == "export":
        export.check_flags()
        if (trained := run_in_folder()) is not None:
            export.write(console, trained)
            return
    check_viewer()
    check_processes_agree({f"--{name}": FLAGS[name].value for name in sorted(IN_STEP)})
    if FLAGS.mode == "render" and (alone := exchange.call_on_all(run_in_folder)) is not None:
        render.render_alone(console, alone)
        return
    scene = exchange.call_on_all(lambda: load_scene_of_flags(console))
    folder = options.run_dir(scene)
    init_from = exchange.call_on_all(lambda: options.field_to_start_from(scene, folder))
    _check_scene(console, scene, folder, init_from)
    if FLAGS.mode == "train":
        config = options.fresh_config(scene) if init_from is None else init_from.config
        fresh = new_field(scene, config, FLAGS.backend, FLAGS.field, init_from, FLAGS.precision)
    with several_processes.opened_folder(folder):  # everything else is checked by now
        if FLAGS.mode == "train":
            _train(console, scene, folder, init_from, fresh, started)
        else:
            assert init_from is not None
            if FLAGS.mode == "export":
                export.write(console, init_from, folder)
                return
            _show(console, scene, folder, init_from)
        exchange.barrier()  # the first process is needed to the end


def load_scene_of_flags(console: Console) -> Scene:
    """The scene that the flags name."""
    for note in devices.notes():
        console.print(f"note: {note}")
    return load_scene(
        FLAGS.scene,
        data_dir=FLAGS.data_dir or None,
        **dataclasses.asdict(options.capture_options()),
        offline=FLAGS.offline,
        download_url=FLAGS.download_url,
        callback=console,
    )


def _train(
    console: Console,
    scene: Scene,
    folder: Path,
    init_from: TrainedField | None,
    fresh: TrainedField,
    started: float,
) -> None:
    config = fresh.config
    _print_header(console, scene, folder, fresh)
    if init_from is None and _takes_long(fresh):
        console.print(
            f"note: from scratch, preset {config.preset} takes hours on a CPU; --preset=quick or "
            "--field=planes take minutes"
        )
    with training_viewer(console, scene, fresh, folder) as watch:
        trained = train(
            scene,
            config,
            backend=FLAGS.backend,
            field=FLAGS.field,
            steps=FLAGS.steps,
            seconds=FLAGS.train_seconds,
            seed=FLAGS.seed,
            init_from=init_from,
            run_dir=folder,
            callback=console,
            options=options.train_options(scene, started, watch),
        )
    num_steps = config.train.num_steps if FLAGS.train_seconds is None else FLAGS.steps
    goal = UNLIMITED_STEPS if num_steps is None else num_steps
    text = f"{FLAGS.train_seconds:g} s" if num_steps is None else str(num_steps)
    if trained.step == FLAGS.stop_at and (trained.step or 0) < goal:
        console.print(
            f"stopped at step {trained.step} of {text}, as --stop_at says; the same command "
            "without it resumes"
        )
        return
    _score_and_draw(console, scene, folder, trained, video_options.file(scene, folder))


def _show(console: Console, scene: Scene, folder: Path, trained: TrainedField) -> None:
    """The modes `evaluate` and `render`."""
    _print_header(console, scene, folder, trained)
    record = run_record(trained, scene, mode=FLAGS.mode, seed=FLAGS.seed)
    record |= {"renderer": FLAGS.renderer or "default", **options.video_record(scene)}
    check_processes_agree({**record, "parameters": parameters.checksum(trained.params)}, scene)
    video = video_options.file(scene, folder)
    exchange.call_on_first(lambda: _write_records(scene, folder, trained, video, record))
    if FLAGS.mode == "evaluate":
        _score_and_draw(console, scene, folder, trained, video)
    else:
        render.finish(console, scene, video, trained)


def _write_records(
    scene: Scene, folder: Path, trained: TrainedField, video: Path, record: dict[str, Any]
) -> None:
    """Writes what a run folder says of itself, unless a training run has written its own."""
    if run_folder.holds_training(folder):
        return
    own_video = Path(run_folder.VIDEO_FILE).stem
    if video.stem != own_video and (own := video_options.recorded(folder)) is not None:
        record["video"] = own
    run_folder.write_json(folder / run_folder.CONFIG_FILE, record)
    run_folder.write_json(folder / run_folder.SCENE_FILE, trained.needed_scene().to_json())
    if FLAGS.mode == "evaluate":
        save_params(folder / parameters.FILE_NAME, trained)


def _score_and_draw(
    console: Console, scene: Scene, folder: Path, trained: TrainedField, video: Path
) -> None:
    if options.num_frames() != 0:
        exchange.call_on_first(lambda: check_output(video))  # before time is spent on images
    scores = evaluate(
        trained,
        scene,
        folder=folder,
        renderer=FLAGS.renderer or "exact",
        eval_views=FLAGS.eval_views,
        exposure=FLAGS.exposure if FLAGS.mode == "evaluate" else "auto",
        poses=FLAGS.poses if FLAGS.mode == "evaluate" else "auto",
        debug=FLAGS.debug,
        callback=console,
    )
    render.draw_video(console, scene, video, trained)
    render.report(console, folder)
    renders = folder / run_folder.RENDERS_FOLDER
    images = f", the images are in {renders}" if scores.views else ""
    console.print(f"everything is in {folder}{images}")


def _convert(console: Console) -> None:
    if not FLAGS.out:
        raise UserError("--mode=convert needs --out: a .safetensors file, or a folder")
    if not FLAGS.init_from:
        raise UserError("--mode=convert needs --init_from: the parameters to convert")
    if FLAGS.init_from == "none":
        raise UserError("--init_from=none gives no parameters, and only --mode=train needs none")
    out = Path(FLAGS.out)
    if out.suffix != ".safetensors" and FLAGS.backend != convert.PUBLISHED_LAYOUT:
        raise UserError(
            f"--out={out} names a folder, and the published layout holds {convert.PUBLISHED_LAYOUT}"
            f" parameters: add --backend={convert.PUBLISHED_LAYOUT}, or name a .safetensors file"
        )
    scene = load_scene_of_flags(console) if FLAGS.init_from == "pretrained" else None
    trained = options.with_flags_of(
        load_params(
            FLAGS.init_from,
            scene,
            backend=FLAGS.backend,
            config=options.published_config(scene),
        ),
        scene,
    )
    save_params(out, trained)
    num_params = parameters.count(trained.params)
    console.print(f"{trained.origin} -> {out} ({num_params:,} parameters)")


def _check_scene(
    console: Console, scene: Scene, folder: Path, init_from: TrainedField | None
) -> None:
    """Keeps results of one scene from getting among those of another."""
    if FLAGS.mode == "train" or init_from is None or init_from.scene_name == "unknown":
        return
    trained_on = init_from.scene_name, init_from.source
    if trained_on == (scene.name, scene.source):
        return
    text = f"scene {trained_on[0]} ({trained_on[1]}), not {scene.name} ({scene.source})"
    if run_folder.holds_training(folder):
        raise UserError(
            f"{folder} holds a training run on {text}: give that --scene, or another --run_dir "
            "with --init_from"
        )
    console.print(f"note: the parameters were trained on {text}")


def _takes_long(trained: TrainedField) -> bool:
    """Whether training from scratch would take an hour or more on this CPU."""
    config = trained.config
    evaluations = config.train.num_steps * config.train.num_rays * config.render.evaluations_per_ray
    is_cpu, proposes = devices.default_platform() == "cpu", config.render.networks == "proposal"
    return is_cpu and not proposes and evaluations >= _SLOW_EVALUATIONS


def _print_header(console: Console, scene: Scene, folder: Path, trained: TrainedField) -> None:
    """The first lines of a run."""
    config = trained.config
    num_params = parameters.count(abstract_networks(trained.field, config.render))
    held_out = _held_out(scene, config.train)
    num_rays = int(np.sum(scene.images.heights * scene.images.widths))
    device = (
        f"{devices.default_platform()} ({run_folder.device_name()}), "
        f"{jax.local_device_count()} in use, {os.cpu_count()} CPU cores"
    )
    lines = {
        "device": f"{device}, JAX {jax.__version__}",
        "precision": _precision(trained.precision),
        "backend": f"{trained.backend}, field {trained.field_name}, preset {config.preset}, "
        f"{num_params:,} parameters",
        "scene": f"{scene.name}, source: {scene.source} ({scene.origin}), {scene.num_views} views "
        f"{_sizes(scene)}, {num_rays:,} rays, {held_out}",
        "space": f"{scene.space.name}: {scene.space.description}",
        "parameters": trained.origin,
        "run folder": str(folder),
    }
    for name, value in lines.items():
        console.print(f"{name + ':':<12}{value}")


def _sizes(scene: Scene) -> str:
    """The sizes of the views: `of 126x94`, or `(8 of 64x48, 4 of 48x64)`."""
    sizes = image_sizes(scene)
    return f"of {sizes}" if scene.cameras.sizes is None else f"({sizes})"


def _held_out(scene: Scene, config: TrainConfig) -> str:
    """The held-out views by index and name."""
    test = scene.split(Holdout.of(config)).test
    return f"held out {named_views(test, scene.image_names)}" if test else "none held out"


def _precision(name: str) -> str:
    same = name == "tf32" and devices.default_platform() == "cpu"
    return f"{name} (the same as float32: a CPU has no tf32)" if same else name
