"""The command line: flags become configs, configs become jobs. The only reader of absl FLAGS.

python -m nerf.main --backend=haiku --scene=flower
python -m nerf.main --backend=flax --scene=flower --mode=train
python -m nerf.main --backend=flax --scene=flower --mode=train --init_from=pretrained
python -m nerf.main --mode=convert --init_from=FOLDER_OR_FILE --out=FILE --backend=flax
"""

import contextlib
import dataclasses
import os
import re
import shlex
import sys
import typing
from collections.abc import Sequence
from pathlib import Path

import jax
from absl import app, flags, logging

from nerf import compile_cache, devices, initial, parallel, parameters, run_folder
from nerf import config as config_lib
from nerf import field as field_lib
from nerf.backends import convert
from nerf.camera_paths import PATHS
from nerf.config import PRECISIONS, Config
from nerf.errors import UserError
from nerf.jobs.evaluate import evaluate
from nerf.jobs.job import Job, RenderMethod, VideoConfig
from nerf.jobs.train import ON_COLLAPSE, TrainOptions, train
from nerf.jobs.video import render_video
from nerf.render.rays import NETWORKS
from nerf.scenes import registry
from nerf.scenes.scene import Scene
from nerf.training.interrupt import Interrupted, interrupt_at_once
from nerf.training.loop import LoopConfig

MODES = ("evaluate", "train", "render", "convert")
_MAX_SIZE = 16384  # of a side of the video's frames; more no encoder takes
_MAX_PIXELS = 2**25  # of a frame
_MIN_EVAL_EVERY = 100  # by default; a picture can take as long as some steps
_RANGES = {
    "steps": (0, 2**31 - 1),
    "rays": (1, 2**24),
    "rays_per_piece": (1, 2**24),
    "steps_per_call": (1, 10_000),
    "stop_at": (1, 2**31 - 1),
    "save_every": (1, 2**31 - 1),
    "eval_every": (0, 2**31 - 1),
    "frames": (0, 100_000),
    "factor": (1, 2**31 - 1),
    "seed": (0, 2**31 - 1),
}

FLAGS = flags.FLAGS
flags.DEFINE_string("backend", "flax", "who implements the field: flax or haiku")
flags.DEFINE_string("field", "mlp", "which field: mlp")
flags.DEFINE_string("preset", None, "conventions: notebook (the default) or paper")
flags.DEFINE_multi_string(
    "set", [], "one setting by its dotted name, e.g. --set=render.num_fine=64; may be repeated"
)
flags.DEFINE_string("scene", "flower", "a folder, a name, llff:NAME or procedural:NAME")
flags.DEFINE_string("data_dir", None, "where named scenes lie ($NERF_DATA_DIR, else data/llff)")
flags.DEFINE_integer("factor", None, "read images_FACTOR of a folder (the smallest there is)")
flags.DEFINE_bool("offline", False, "make no network attempt (so does NERF_OFFLINE=1)")
flags.DEFINE_string("mirror", None, "base address to download the published scenes from")
flags.DEFINE_string("mode", "evaluate", "evaluate, train (ends with evaluate), render or convert")
flags.DEFINE_string(
    "init_from",
    None,
    "pretrained, none, a run folder, a published params folder or a .safetensors file "
    "(train: none; else what the run folder was trained to, else pretrained); a run folder of "
    "either backend goes on with its optimiser and at its step, a file begins anew",
)
flags.DEFINE_string("run_dir", None, "where results go (runs/SCENE-SOURCE-BACKEND-FIELD)")
flags.DEFINE_integer("steps", None, "the number of training steps")
flags.DEFINE_float("train_seconds", None, "stop training after this many seconds")
flags.DEFINE_integer("rays", None, "the number of rays a training step")
flags.DEFINE_integer(
    "rays_per_piece",
    None,
    "in training, the most rays that go through a device at once (the device's choice)",
)
flags.DEFINE_integer(
    "steps_per_call", None, "training steps that an accelerator is given at once (10; a CPU: 1)"
)
flags.DEFINE_float("lr", None, "the first learning rate; the last keeps its ratio to it")
flags.DEFINE_bool(
    "resume", True, "go on with the training in the run folder; --noresume puts it aside first"
)
flags.DEFINE_integer("stop_at", None, "stop at this step of --steps; the same command goes on")
flags.DEFINE_integer("save_every", 500, "the most training steps that can ever be lost")
flags.DEFINE_integer(
    "eval_every", None, "steps between two held-out scores, 0 for none (a tenth of the run)"
)
flags.DEFINE_string(
    "on_collapse", "stop", "what a collapsed training does: stop, or restart from another key"
)
flags.DEFINE_bool("tensorboard", False, "also write the readings for TensorBoard")
flags.DEFINE_integer("seed", 0, "of training")
flags.DEFINE_bool("compile_cache", True, "keep compiled programs in the user's cache folder")
flags.DEFINE_string("precision", "float32", "of matrix products: float32, tf32 or bfloat16")
flags.DEFINE_string(
    "render",
    None,
    "exact, or fast, which looks where a grid of densities says (exact for scores; fast for the "
    "video and previews)",
)
flags.DEFINE_string("path", "spiral", f"camera path of the video: {', '.join(sorted(PATHS))}")
flags.DEFINE_integer("frames", None, "frames of the video, 0 for none (120; 30 on a CPU)")
flags.DEFINE_string("size", None, "WIDTHxHEIGHT of the video's frames (the scene's own)")
flags.DEFINE_string("out", None, "convert: a .safetensors file, or a folder (published layout)")
flags.DEFINE_bool("debug", False, "check values (finite, sorted, in range) as well as shapes")


def main(argv: Sequence[str]) -> None:
    """Runs what the flags ask for; a user's mistake ends with one sentence and status 1."""
    try:
        if len(argv) > 1:
            raise UserError(f"unexpected argument {argv[1]!r}: everything is a --flag=value")
        _check_flags()
        parallel.use_every_core()
        if FLAGS.compile_cache:
            compile_cache.enable()
        jax.config.update("jax_default_matmul_precision", PRECISIONS[FLAGS.precision])
        with interrupt_at_once():
            if FLAGS.mode == "convert":
                _convert()
            else:
                _run()
    except Interrupted as interrupt:
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(f"{interrupt}; to go on: {_same_command()}", file=sys.stderr)
        sys.exit(interrupt.status)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
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


def parse_flags(argv: Sequence[str]) -> list[str]:
    """Reads the flags, for `app.run`; a mistake ends with one sentence, help with status 0."""
    try:
        rest: list[str] = FLAGS(argv)
    except flags.Error as error:
        print(f"error: {' '.join(str(error).split())} (--help lists the flags)", file=sys.stderr)
        sys.exit(1)
    except SystemExit:  # what absl's help flags end with, always with status 1
        sys.exit(0)
    if FLAGS["verbosity"].using_default_value:
        logging.set_verbosity(logging.WARNING)  # JAX and Orbax tell much at the level below
    return rest


def _check_flags() -> None:
    choices = {
        "mode": MODES,
        "precision": tuple(PRECISIONS),
        "path": tuple(PATHS),
        "on_collapse": ON_COLLAPSE,
        "render": (None, *typing.get_args(RenderMethod)),
    }
    for name, known in choices.items():
        if FLAGS[name].value not in known:
            names = ", ".join(filter(None, known))
            raise UserError(f"unknown {name} {FLAGS[name].value!r}: choose one of {names}")
    for name, (smallest, largest) in _RANGES.items():
        value = FLAGS[name].value
        if value is not None and value < smallest:
            raise UserError(f"--{name} must be at least {smallest}, not {value}")
        if value is not None and value > largest:
            raise UserError(f"--{name} must be at most {largest}, not {value}")
    if FLAGS.mode == "render" and FLAGS.frames == 0:
        raise UserError("--mode=render makes nothing but the video, and --frames=0 is none")
    for name in ("train_seconds", "lr"):
        value = FLAGS[name].value
        if value is not None and not value > 0:
            raise UserError(f"--{name} must be more than 0, not {value}")
    field_lib.check_names(FLAGS.backend, FLAGS.field)
    if FLAGS.preset is not None:
        config_lib.preset(FLAGS.preset)
    _size(126, 94)


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
    start = initial.load(FLAGS.init_from, FLAGS.backend, resolved)
    config = _config(start.header)
    field = field_lib.make_field(FLAGS.backend, FLAGS.field, config.field)
    parameters.check(start.params, field, config, start.origin)
    if as_folder:
        parameters.save_published(out, start.params, FLAGS.backend)
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


def _run() -> None:
    training = FLAGS.mode == "train"
    resolved = _load_scene()
    for notice in (*devices.notices(), *resolved.notices):
        print(f"note: {notice}")
    run_dir = _run_dir(resolved.scene)
    start = initial.load(
        initial.source(FLAGS.init_from, run_dir, training=training),
        FLAGS.backend,
        resolved,
        run_dir=run_dir,
        training=training,
    )
    config = _config(start.header)
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
        video=_video(resolved.scene.cameras.width, resolved.scene.cameras.height),
        precision=FLAGS.precision,
        seed=FLAGS.seed,
        init_from=start.provenance,
        render=FLAGS.render,
        debug=FLAGS.debug,
    )
    run_folder.prepare(run_dir)
    with run_folder.locked(run_dir):
        if training:
            _check_training(job, start)
        _print_header(job, start)
        _do(job, start)


def _run_dir(scene: Scene) -> Path:
    """Where results go; a run that is given parameters does not go where one from nothing does."""
    if FLAGS.run_dir:
        return Path(FLAGS.run_dir)
    name = run_folder.default_name(scene.name, scene.source, FLAGS.backend, FLAGS.field)
    given = FLAGS.mode == "train" and FLAGS.init_from not in (None, "none")
    return Path(f"runs/{name}{'-retrained' if given else ''}")


def _check_training(job: Job, start: initial.Start) -> None:
    """Puts an earlier run aside where that is asked for; else refuses to go on with another."""
    if run_folder.holds_training(job.run_dir) and not FLAGS.resume:
        folder = run_folder.set_aside(job.run_dir, run_folder.REPLACED)
        run_folder.prepare(job.run_dir)
        print(f"note: the training before is now in {folder}")
    if run_folder.holds_training(job.run_dir):
        run_folder.check_same_training(job.run_dir, job.record("train"))
    elif start.run is not None:
        run_folder.check_same_training(start.run, job.record("train"), elsewhere=True)


def _do(job: Job, start: initial.Start) -> None:
    params, step = start.params, start.header.step if start.header else None
    if FLAGS.mode == "train":
        options = _train_options(job.config, start)
        params, step = train(job, params, options)
        if step < options.loop.num_steps and step == FLAGS.stop_at:
            print(
                f"stopped at step {step} of {options.loop.num_steps}, as --stop_at says; the same "
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


def _train_options(config: Config, start: initial.Start) -> TrainOptions:
    num_steps = config.train.num_steps
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
            steps_per_call=FLAGS.steps_per_call or (1 if jax.default_backend() == "cpu" else 10),
        ),
        on_collapse=FLAGS.on_collapse,
        tensorboard=FLAGS.tensorboard,
        rays_per_piece=FLAGS.rays_per_piece,
        continue_from=start.run,
    )


def _check_scene(scene: Scene, config: Config, run_dir: Path, start: initial.Start) -> None:
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


def _load_scene() -> registry.Resolved:
    return registry.load_scene(
        FLAGS.scene,
        data_dir=Path(FLAGS.data_dir) if FLAGS.data_dir else None,
        offline=FLAGS.offline,
        factor=FLAGS.factor,
        base_url=FLAGS.mirror,
    )


def _config(header: parameters.Header | None) -> Config:
    """The preset or the settings that come with the parameters, then the flags on top."""
    if header is None:
        config = config_lib.preset(FLAGS.preset or "notebook")
    else:
        if FLAGS.field != header.field:
            raise UserError(f"the parameters are of the field {header.field!r}: add --field=...")
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
    return config_lib.override(config, *FLAGS.set)


def _video(width: int, height: int) -> VideoConfig:
    num_frames = FLAGS.frames
    if num_frames is None:
        num_frames = 30 if jax.default_backend() == "cpu" else 120
    return VideoConfig(FLAGS.path, num_frames, _size(width, height))


def _size(width: int, height: int) -> tuple[int, int]:
    """Height and width of the video."""
    if FLAGS.size is None:
        return height, width
    parts = FLAGS.size.lower().split("x")
    if len(parts) != 2 or not all(re.fullmatch("0*[1-9][0-9]{0,8}", part) for part in parts):
        raise UserError(f"--size={FLAGS.size}: write it as WIDTHxHEIGHT, e.g. 504x378")
    width, height = map(int, parts)
    if max(width, height) > _MAX_SIZE or width * height > _MAX_PIXELS:
        raise UserError(
            f"--size={FLAGS.size}: a frame has at most {_MAX_PIXELS} pixels, {_MAX_SIZE} a side"
        )
    return height, width


def _precision(name: str) -> str:
    same = name == "tf32" and jax.default_backend() == "cpu"
    return f"{name} (the same as float32: a CPU has no tf32)" if same else name


def _print_header(job: Job, start: initial.Start) -> None:
    scene, config = job.scene, job.config
    abstract = field_lib.abstract_params(job.field)
    networks = len(NETWORKS[config.render.networks])
    held_out = ", ".join(map(str, scene.split(config.train.holdout).test))
    height, width = scene.cameras.height, scene.cameras.width
    device = (
        f"{jax.default_backend()} ({run_folder.device_name()}), {jax.local_device_count()} in use, "
        f"{os.cpu_count()} CPU cores"
    )
    lines = {
        "device": f"{device}, JAX {jax.__version__}",
        "precision": _precision(job.precision),
        "backend": f"{job.backend}, field {job.field_name}, preset {config.preset}, "
        f"{parameters.count(abstract) * networks:,} parameters",
        "scene": f"{scene.name}, source: {scene.source} ({scene.origin}), {scene.num_views} views "
        f"of {width}x{height}, {scene.num_views * width * height:,} rays, held out {held_out}",
        "parameters": start.origin,
        "run folder": str(job.run_dir),
    }
    for name, value in lines.items():
        print(f"{name + ':':<12}{value}", flush=True)


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
