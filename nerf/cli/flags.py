"""The flags of `python -m nerf.main`, and what is wrong with them."""

import math
import re
import sys
import typing
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from nerf import field as field_lib
from nerf.captures.formats import FORMATS, MAX_SIZE, CaptureOptions
from nerf.config import presets
from nerf.config.settings import PRECISIONS, Background
from nerf.errors import UserError
from nerf.geometry.camera_paths import PATHS
from nerf.geometry.spaces import SPACES
from nerf.jobs.job import RenderMethod
from nerf.jobs.train import ON_COLLAPSE
from nerf.scenes.normalize import NormalizeOptions

MODES = ("evaluate", "train", "render", "convert")
_MAX_SIZE = 16384  # of a side of the video's frames; more no encoder takes
_MAX_PIXELS = 2**25  # of a frame
_RANGES = {
    "steps": (0, 2**31 - 1),
    "rays": (1, 2**24),
    "rays_per_microbatch": (1, 2**24),
    "steps_per_call": (1, 10_000),
    "stop_at": (1, 2**31 - 1),
    "save_every": (1, 2**31 - 1),
    "eval_every": (0, 2**31 - 1),
    "video_frames": (0, 100_000),
    "factor": (1, 2**31 - 1),
    "max_size": (0, 2**31 - 1),
    "seed": (0, 2**31 - 1),
}

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "backend", "flax", "who implements the field: flax (Linen), haiku, or nnx (Flax's NNX)"
)
flags.DEFINE_string("field", "mlp", "which field: mlp, or planes, which trains in minutes on a CPU")
flags.DEFINE_string(
    "preset",
    None,
    "conventions: notebook (the default) or paper; quick, with which the MLP learns in minutes on "
    "a CPU; planes for the field of that name",
)
flags.DEFINE_multi_string(
    "set", [], "one setting by its dotted name, e.g. --set=render.num_fine=64; may be repeated"
)
flags.DEFINE_string("scene", "flower", "a folder, a name, llff:NAME or procedural:NAME")
flags.DEFINE_string("data_dir", None, "where named scenes lie ($NERF_DATA_DIR, else data/llff)")
flags.DEFINE_string(
    "format", None, f"of a folder: {', '.join(FORMATS)} (the one whose files it has)"
)
flags.DEFINE_integer(
    "factor",
    None,
    "pictures so many times smaller: those in images_FACTOR, else scaled (LLFF: the smallest there "
    "are)",
)
flags.DEFINE_integer("max_size", MAX_SIZE, "scale pictures to this longer side; 0: never")
flags.DEFINE_string(
    "space",
    None,
    f"which space the field lives in: {', '.join(SPACES)} (what suits the cameras)",
)
flags.DEFINE_float("near", None, "nearest depth of all views in the files' unit (from the files)")
flags.DEFINE_float("far", None, "farthest depth of all views in the files' unit (from the files)")
flags.DEFINE_string(
    "background", None, "behind transparent pictures: white or black (white where they are)"
)
flags.DEFINE_bool("offline", False, "make no network attempt (so does NERF_OFFLINE=1)")
flags.DEFINE_string("download_url", None, "base address to download the published scenes from")
flags.DEFINE_string("mode", "evaluate", "evaluate, train (ends with evaluate), render or convert")
flags.DEFINE_string(
    "init_from",
    None,
    "pretrained, none, a run folder, a published params folder or a .safetensors file "
    "(train: none; else what the run folder was trained to, else pretrained); a run folder of "
    "any backend goes on with its optimiser and at its step, a file begins anew",
)
flags.DEFINE_string("run_dir", None, "where results go (runs/SCENE-SOURCE-BACKEND-FIELD)")
flags.DEFINE_integer("steps", None, "the number of training steps")
flags.DEFINE_float(
    "train_seconds",
    None,
    "train for so long, counted from the start of the process; the learning rate follows the time",
)
flags.DEFINE_integer("rays", None, "the number of rays a training step")
flags.DEFINE_integer(
    "rays_per_microbatch",
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
    "renderer",
    None,
    "exact, or fast, which looks where a grid of densities says (exact for scores; fast for the "
    "video and previews)",
)
flags.DEFINE_string(
    "camera_path",
    None,
    f"camera path of the video: {', '.join(sorted(PATHS))} (what suits the cameras)",
)
flags.DEFINE_integer("video_frames", None, "frames of the video, 0 for none (120; 30 on a CPU)")
flags.DEFINE_string("video_size", None, "WIDTHxHEIGHT of the video's frames (the scene's own)")
flags.DEFINE_string("out", None, "convert: a .safetensors file, or a folder (published layout)")
flags.DEFINE_bool("debug", False, "check values (finite, sorted, in range) as well as shapes")


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


def run_command(main: Callable[[list[str]], None], name: str, description: str | None) -> None:
    """Runs a command, started by `python -m` or by its console script; --help is the same for both.

    Args:
      main: takes the program's name and the arguments that are no flags.
      name: `__name__` of the command's module.
      description: `__doc__` of that module.
    """
    if name != "__main__":  # absl shows the flags of the module `sys.argv[0]`
        sys.argv[0] = name
        sys.modules["__main__"].__doc__ = description
    app.run(main, flags_parser=parse_flags)


def check_flags() -> None:
    """Checks every flag that can be judged alone.

    Raises:
      UserError: for the first that is unknown or out of its range.
    """
    choices = {
        "mode": MODES,
        "precision": tuple(PRECISIONS),
        "camera_path": (None, *PATHS),
        "format": (None, *FORMATS),
        "space": (None, *SPACES),
        "background": (None, *typing.get_args(Background)),
        "on_collapse": ON_COLLAPSE,
        "renderer": (None, *typing.get_args(RenderMethod)),
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
    if FLAGS.mode == "render" and FLAGS.video_frames == 0:
        raise UserError("--mode=render makes nothing but the video, and --video_frames=0 is none")
    for name in ("train_seconds", "lr", "near", "far"):
        value = FLAGS[name].value
        if value is not None and not value > 0:
            raise UserError(f"--{name} must be more than 0, not {value}")
    if FLAGS.far == math.inf or FLAGS.near == math.inf:
        raise UserError("--near and --far must be finite: leave --far out for what has no end")
    if FLAGS.near is not None and FLAGS.far is not None and FLAGS.near >= FLAGS.far:
        raise UserError(f"--near={FLAGS.near} must be less than --far={FLAGS.far}")
    field_lib.check_names(FLAGS.backend, FLAGS.field)
    presets.preset_of(FLAGS.field, FLAGS.preset)
    video_size(126, 94)


def reading() -> CaptureOptions:
    """How a folder is read."""
    return CaptureOptions(
        format=FLAGS.format,
        factor=FLAGS.factor,
        max_size=FLAGS.max_size,
        normalization=NormalizeOptions(FLAGS.space, FLAGS.near, FLAGS.far, FLAGS.background),
    )


def video_size(width: int, height: int) -> tuple[int, int]:
    """Height and width of the video."""
    if FLAGS.video_size is None:
        return height, width
    parts = FLAGS.video_size.lower().split("x")
    if len(parts) != 2 or not all(re.fullmatch("0*[1-9][0-9]{0,8}", part) for part in parts):
        raise UserError(f"--video_size={FLAGS.video_size}: write it as WIDTHxHEIGHT, e.g. 504x378")
    width, height = map(int, parts)
    if max(width, height) > _MAX_SIZE or width * height > _MAX_PIXELS:
        raise UserError(
            f"--video_size={FLAGS.video_size}: a frame has at most {_MAX_PIXELS} pixels, and at "
            f"most {_MAX_SIZE} a side"
        )
    return height, width
