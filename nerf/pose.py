"""Finds the poses of images, or of frames of a video, and writes a folder that trains.

python -m nerf.pose FOLDER_OR_VIDEO
python -m nerf.pose video.mp4 --num_frames=120 --out=FOLDER

Needs COLMAP as a Python package: pip install 'nerf-haiku-flax[colmap]'. The results go into
posed/NAME, or into --out; the images themselves are not changed. Features are found in images of at
most 1200 pixels (--max_size). After Ctrl-C, the same command continues.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from nerf.captures.survey import survey_line
from nerf.cli.commands import run_command
from nerf.cli.console import Console
from nerf.cli.exits import exit_on_error
from nerf.cli.flags import FLAGS  # which define --out, --max_size and --seed
from nerf.cli.modes import parser_of
from nerf.errors import UserError
from nerf.posing.find import find_poses
from nerf.posing.options import CAMERA_MODELS, MATCHERS, MAX_SIZE, MIN_IMAGES, PoseOptions
from nerf.posing.result import summary
from nerf.runtime.cache_dir import with_home
from nerf.runtime.interrupts import interrupt_at_once

OUT_FOLDER = "posed"
_HELP = {
    "out": "the folder to write (default: posed/NAME)",
    "max_size": "the longer side, in pixels, at which features are found",
    "seed": "of the random choices in matching and mapping",
}

flags.DEFINE_integer(
    "num_frames",
    None,
    "about how many frames of a video are used (2 a second, 40 to 150)",
    lower_bound=MIN_IMAGES,
    upper_bound=100_000,
)
flags.DEFINE_enum("camera_model", "OPENCV", CAMERA_MODELS, "the lens of the camera")
flags.DEFINE_enum(
    "matcher",
    "auto",
    MATCHERS,
    "compare all pairs of images (exhaustive), or neighbours in the order of their names "
    "(sequential); auto: all pairs of up to 100 images, or of up to 40 frames",
)
flags.DEFINE_integer(
    "threads",
    None,
    "of COLMAP; 1 gives the same poses in each run (one for each core)",
    lower_bound=1,
    upper_bound=1024,
)
flags.DEFINE_bool("overwrite", False, "replace an earlier result of this command in --out")
for _name in ("out", "max_size", "seed"):
    flags.declare_key_flag(_name)


def main(argv: Sequence[str]) -> None:
    """Finds poses and prints what was found; a user's mistake ends with one sentence."""
    with (
        exit_on_error(out_of_memory="try a smaller --max_size", resume_command=_same_command()),
        interrupt_at_once(),
    ):
        _run(argv)


def _run(argv: Sequence[str]) -> None:
    if len(argv) != 2 or not argv[1]:
        raise UserError(
            "give one folder of images, or one video: python -m nerf.pose FOLDER_OR_VIDEO (--help "
            "lists the flags)"
        )
    source = with_home(argv[1])
    out = Path(FLAGS.out) if FLAGS.out else default_out(source)
    console = Console()
    found = find_poses(source, out, _options(), callback=console)
    for name, value in summary(found):
        console.print(survey_line(name, value))
    scene = ["--field=planes", f"--scene={out}", "--mode=train", "--train_seconds=180"]
    console.print(f"training can start: {shlex.join(['python', '-m', 'nerf.main', *scene])}")


def _options() -> PoseOptions:
    is_default = FLAGS["max_size"].using_default_value
    return PoseOptions(
        num_frames=FLAGS.num_frames,
        camera_model=FLAGS.camera_model,
        matcher=FLAGS.matcher,
        max_size=MAX_SIZE if is_default else FLAGS.max_size,
        seed=FLAGS.seed,
        num_threads=FLAGS.threads or -1,
        overwrite=FLAGS.overwrite,
    )


def default_out(source: Path) -> Path:
    """`posed/NAME`, NAME of the folder or the video; of `NAME/images` too.

    >>> default_out(Path("scenes/garden/images")).as_posix()
    'posed/garden'
    >>> default_out(Path("walk.mp4")).as_posix()
    'posed/walk'
    """
    whole = source.resolve()
    if whole.is_file() or not whole.exists():
        name = whole.stem if whole.suffix else whole.name
    else:
        name = whole.name
    if name == "images":
        name = whole.parent.name
    return Path(OUT_FOLDER) / (name or "scene")


def _same_command() -> str:
    return shlex.join(["python", "-m", "nerf.pose", *sys.argv[1:]])


def run() -> None:
    """The console script `nerf-pose`."""
    FLAGS.set_default("max_size", MAX_SIZE)
    run_command(main, __name__, __doc__, parser_of("nerf.pose"), _HELP)


if __name__ == "__main__":
    run()
