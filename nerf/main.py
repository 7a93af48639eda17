"""The command line: flags (`nerf.cli.flags`) become configs, configs become jobs.

python -m nerf.main --backend=haiku --scene=flower
python -m nerf.main --backend=flax --scene=flower --mode=train
python -m nerf.main --backend=flax --scene=flower --mode=train --init_from=pretrained
python -m nerf.main --mode=convert --init_from=FOLDER_OR_FILE --out=FILE --backend=flax
"""

import contextlib
import dataclasses
import functools
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jax
from absl import flags

import nerf
from nerf import field as field_lib
from nerf.backends import convert
from nerf.cli import flags as command_line
from nerf.cli.flags import FLAGS, check_flags, reading, run_command, video_size
from nerf.cli.messages import as_flags
from nerf.config import presets
from nerf.config import settings as config_lib
from nerf.config import text as config_text
from nerf.config.settings import PRECISIONS, Config
from nerf.errors import UserError, listed
from nerf.jobs import init_from
from nerf.jobs.evaluate import evaluate
from nerf.jobs.job import Job, VideoConfig
from nerf.jobs.scene_facts import scene_facts
from nerf.jobs.train import TrainOptions, train
from nerf.jobs.video import render_video
from nerf.render.rays import abstract_networks
from nerf.runs import parameters, run_folder
from nerf.runtime import compile_cache, devices, parallel
from nerf.runtime.interrupts import Interrupted, interrupt_at_once
from nerf.scenes import names
from nerf.scenes.scene import Scene
from nerf.training.loop import UNLIMITED_STEPS, LoopConfig

_EVALUATIONS_OF_AN_HOUR = 2**28  # of the NeRF MLP, in training, on two cores
_MIN_EVAL_EVERY = 100  # by default; a picture can take as long as some steps

flags.adopt_module_key_flags(command_line)  # for --help


def main(argv: Sequence[str], started: float | None = None) -> None:
    """Runs what the flags ask for; a user's mistake ends with one sentence and status 1.

    Args:
      argv: the name of the program, and nothing else.
      started: what `time.monotonic` was when the run's time began; None for now.
    """
    started = time.monotonic() if started is None else started
    try:
        if len(argv) > 1:
            raise UserError(f"unexpected argument {argv[1]!r}: everything is a --flag=value")
        check_flags()
        parallel.use_all_cores()
        if FLAGS.compile_cache:
            compile_cache.enable()
        jax.config.update("jax_default_matmul_precision", PRECISIONS[FLAGS.precision])
        with interrupt_at_once():
            if FLAGS.mode == "convert":
                _convert()
            else:
                _run(started)
    except Interrupted as interrupt:
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(f"{interrupt}; to go on: {_same_command()}", file=sys.stderr)
        sys.exit(interrupt.status)
    except UserError as error:
        print(f"error: {as_flags(str(error))}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if error.errno is None:
            raise
        what = error.filename or "a file or the output"
        print(f"error: {what} cannot be read or written: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        print("error: out of memory: try fewer --rays, or a smaller field", file=sys.stderr)
        sys.exit(1)


def _convert() -> None:
    if not FLAGS.out:
        raise UserError("--mode=convert needs --out: a .safetensors file, or a folder")
    if not FLAGS.init_from:
        raise UserError("--mode=convert needs --init_from: what is to be converted")
    out = Path(FLAGS.out)
    as_folder = out.suffix != ".safetensors"
    if as_folder and FLAGS.backend != convert.PUBLISHED_LAYOUT:
        raise UserError(
            f"--out={out} names a folder, and the published layout holds {convert.PUBLISHED_LAYOUT}"
            f" parameters: add --backend={convert.PUBLISHED_LAYOUT}, or name a .safetensors file"
        )
    resolved = _load_scene() if FLAGS.init_from == "pretrained" else None
    start = init_from.load_initial_params(FLAGS.init_from, FLAGS.backend, resolved)
    config = _config(start.header, resolved.scene if resolved else None)
    field = field_lib.make_field(FLAGS.backend, FLAGS.field, config.field)
    parameters.check(start.params, field, config, start.origin)
    if as_folder:
        parameters.save_published(out, start.params, FLAGS.field, FLAGS.backend)
    else:
        header = start.header or parameters.Header(
            field=FLAGS.field,
            layout=FLAGS.backend,
            config=config,
            scene=resolved.scene.name if resolved else "unknown",
            source=resolved.scene.source if resolved else "unknown",
            step=None,
            provenance=start.provenance,
        )
        parameters.save(out, start.params, dataclasses.replace(header, layout=FLAGS.backend))
    print(f"{start.origin} -> {out} ({parameters.count(start.params):,} parameters)")


def _same_command() -> str:
    """What a shell needs to start this run again."""
    return shlex.join(["python", "-m", "nerf.main", *sys.argv[1:]])


def _run(started: float) -> None:
    training = FLAGS.mode == "train"
    resolved = _load_scene()
    for notice in (*devices.notices(), *resolved.notices):
        print(f"note: {as_flags(notice)}")
    run_dir = _run_dir(resolved.scene)
    start = init_from.load_initial_params(
        init_from.effective_source(FLAGS.init_from, run_dir, training=training),
        FLAGS.backend,
        resolved,
        run_dir=run_dir,
        training=training,
    )
    config = _config(start.header, resolved.scene)
    field = field_lib.make_field(FLAGS.backend, FLAGS.field, config.field)
    if start.params is not None:
        parameters.check(start.params, field, config, start.origin)
    _check_scene(resolved.scene, config, run_dir, start)
    job = Job(
        backend=FLAGS.backend,
        field_name=FLAGS.field,
        field=field,
        config=config,
        scene=resolved.scene,
        run_dir=run_dir,
        video=_video(resolved.scene),
        precision=FLAGS.precision,
        seed=FLAGS.seed,
        init_from=start.provenance,
        render=FLAGS.renderer,
        debug=FLAGS.debug,
    )
    run_folder.prepare(run_dir)
    with run_folder.locked(run_dir):
        if training:
            _check_training(job, start)
        _print_header(job, start)
        if training and start.params is None and _takes_long(config):
            print(
                f"note: from nothing, preset {config.preset} takes hours on a CPU; --preset=quick "
                "or --field=planes take minutes"
            )
        _do(job, start, started)


def _takes_long(config: Config) -> bool:
    """Whether a CPU needs an hour or more for what a run is to learn, or would need it."""
    evaluations = config.train.num_steps * config.train.num_rays * config.render.evaluations_per_ray
    is_cpu, proposes = devices.default_platform() == "cpu", config.render.networks == "proposal"
    return is_cpu and not proposes and evaluations >= _EVALUATIONS_OF_AN_HOUR


def _run_dir(scene: Scene) -> Path:
    """Where results go; a run that is given parameters does not go where one from nothing does."""
    if FLAGS.run_dir:
        return Path(FLAGS.run_dir)
    name = run_folder.default_name(scene.name, scene.source, FLAGS.backend, FLAGS.field)
    given = FLAGS.mode == "train" and FLAGS.init_from not in (None, "none")
    return Path(f"runs/{name}{'-retrained' if given else ''}")


def _check_training(job: Job, start: init_from.InitialParams) -> None:
    """Puts an earlier run aside where that is asked for; else refuses to go on with another."""
    if run_folder.holds_training(job.run_dir) and not FLAGS.resume:
        folder = run_folder.set_aside(job.run_dir, run_folder.REPLACED)
        run_folder.prepare(job.run_dir)
        print(f"note: the training before is now in {folder}")
    if run_folder.holds_training(job.run_dir):
        run_folder.check_same_training(job.run_dir, job.record("train"))
    elif start.run is not None:
        run_folder.check_same_training(start.run, job.record("train"), elsewhere=True)


def _do(job: Job, start: init_from.InitialParams, started: float) -> None:
    params, step = start.params, start.header.step if start.header else None
    if FLAGS.mode == "train":
        options = _train_options(job.config, start, started)
        params, step = train(job, params, options)
        if step < options.loop.num_steps and step == FLAGS.stop_at:
            print(
                f"stopped at step {step} of {options.loop.goal}, as --stop_at says; the same "
                "command without it goes on"
            )
            return
    elif not run_folder.holds_training(job.run_dir):
        run_folder.write_json(job.run_dir / run_folder.CONFIG_FILE, job.record(FLAGS.mode))
    if FLAGS.mode == "render":
        render_video(job, params)
        print(f"everything is in {job.run_dir}, the video is {job.run_dir / run_folder.VIDEO_FILE}")
    else:
        evaluate(job, params, step)
        renders = job.run_dir / run_folder.RENDERS_FOLDER
        print(f"everything is in {job.run_dir}, the pictures in {renders}")


def _train_options(config: Config, start: init_from.InitialParams, started: float) -> TrainOptions:
    num_steps = config.train.num_steps
    if FLAGS.train_seconds is not None and FLAGS.steps is None:
        num_steps = UNLIMITED_STEPS
    eval_every = FLAGS.eval_every
    if eval_every is None:
        eval_every = max(_MIN_EVAL_EVERY, num_steps // 10)
    return TrainOptions(
        LoopConfig(
            num_steps,
            stop_at=FLAGS.stop_at,
            max_seconds=FLAGS.train_seconds,
            save_every=FLAGS.save_every,
            eval_every=eval_every,
            steps_per_call=FLAGS.steps_per_call
            or (1 if devices.default_platform() == "cpu" else 10),
        ),
        on_collapse=FLAGS.on_collapse,
        tensorboard=FLAGS.tensorboard,
        rays_per_microbatch=FLAGS.rays_per_microbatch,
        continue_from=start.run,
        started=started,
    )


def _check_scene(
    scene: Scene, config: Config, run_dir: Path, start: init_from.InitialParams
) -> None:
    """Refuses to train on no view, and results of one scene among those of another."""
    holdout = config.train.holdout
    if FLAGS.mode == "train" and not scene.split(holdout).train:
        raise UserError(
            f"the scene {scene.name} has no view to train on: it has {scene.num_views}, and every "
            f"{holdout}th from view 0 on is held out; it takes two views at least"
        )
    header = start.header
    if FLAGS.mode == "train" or header is None:
        return
    if (header.scene, header.source) == (scene.name, scene.source):
        return
    shown = f"scene {header.scene} ({header.source}), not {scene.name} ({scene.source})"
    if run_folder.holds_training(run_dir):
        raise UserError(
            f"{run_dir} holds a training run on {shown}: give that --scene, or another --run_dir "
            "with --init_from"
        )
    print(f"note: the parameters were trained on {shown}")


def _load_scene() -> names.Resolved:
    return names.load_scene(
        FLAGS.scene,
        data_dir=Path(FLAGS.data_dir) if FLAGS.data_dir else None,
        offline=FLAGS.offline,
        reading=reading(),
        base_url=FLAGS.download_url,
    )


def _config(header: parameters.Header | None, scene: Scene | None) -> Config:
    """The preset or the settings that come with the parameters, then the flags on top."""
    if header is None:
        config = presets.preset_of(FLAGS.field, FLAGS.preset)
        if scene is not None:
            facts = scene_facts(scene, config_text.override(config, *FLAGS.set))
            config = presets.fit(config, facts)
    else:
        if FLAGS.field != header.field:
            raise UserError(
                f"the parameters are of the field {header.field!r}: add --field={header.field}"
            )
        if FLAGS.preset not in (None, header.config.preset):
            raise UserError(
                f"the parameters were trained with preset {header.config.preset!r}, not "
                f"{FLAGS.preset!r}: leave out --preset, or train anew"
            )
        config = header.config
    train = config.train
    if FLAGS.lr is not None:
        ratio = train.final_learning_rate / train.learning_rate
        train = dataclasses.replace(
            train, learning_rate=FLAGS.lr, final_learning_rate=FLAGS.lr * ratio
        )
    if FLAGS.steps is not None:
        train = dataclasses.replace(train, num_steps=FLAGS.steps)
    if FLAGS.rays is not None:
        train = dataclasses.replace(train, num_rays=FLAGS.rays)
    dtype = config_lib.compute_dtype(FLAGS.precision)
    field = dataclasses.replace(config.field, compute_dtype=dtype)
    config = dataclasses.replace(config, field=field, train=train)
    return config_text.override(config, *FLAGS.set)


def _video(scene: Scene) -> VideoConfig:
    num_frames = FLAGS.video_frames
    if num_frames is None:
        num_frames = 30 if devices.default_platform() == "cpu" else 120
    path = FLAGS.camera_path or scene.space.default_camera_path(scene.cameras.camtoworlds)
    return VideoConfig(path, num_frames, video_size(scene.cameras.width, scene.cameras.height))


def _precision(name: str) -> str:
    same = name == "tf32" and devices.default_platform() == "cpu"
    return f"{name} (the same as float32: a CPU has no tf32)" if same else name


def _print_header(job: Job, start: init_from.InitialParams) -> None:
    scene, config = job.scene, job.config
    num_params = parameters.count(abstract_networks(job.field, config.render))
    held_out = listed(scene.split(config.train.holdout).test)
    height, width = scene.cameras.height, scene.cameras.width
    device = (
        f"{devices.default_platform()} ({run_folder.device_name()}), "
        f"{jax.local_device_count()} in use, {os.cpu_count()} CPU cores"
    )
    lines = {
        "device": f"{device}, JAX {jax.__version__}",
        "precision": _precision(job.precision),
        "backend": f"{job.backend}, field {job.field_name}, preset {config.preset}, "
        f"{num_params:,} parameters",
        "scene": f"{scene.name}, source: {scene.source} ({scene.origin}), {scene.num_views} views "
        f"of {width}x{height}, {scene.num_views * width * height:,} rays, held out {held_out}",
        "space": f"{scene.space.name}: {scene.space.description}",
        "parameters": start.origin,
        "run folder": str(job.run_dir),
    }
    for name, value in lines.items():
        print(f"{name + ':':<12}{value}", flush=True)


def run() -> None:
    """The console script `nerf`."""
    run_command(functools.partial(main, started=nerf.STARTED), __name__, __doc__)


if __name__ == "__main__":
    run()
