"""Inspects a folder of images and poses: what it contains, what is wrong, and what to do.

python -m nerf.inspect FOLDER
python -m nerf.inspect FOLDER --plot=cameras.png
python -m nerf.inspect FOLDER --export_format=nerfstudio --out=FOLDER
python -m nerf.inspect FOLDER --export_format=nerfstudio --out=FOLDER --corrected_by=RUN

The exit status is 0 only if training can start.
"""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from nerf.captures import survey
from nerf.captures.capture import MIN_VIEWS
from nerf.captures.export import EXPORT_FORMATS
from nerf.cli.commands import run_command
from nerf.cli.console import Console
from nerf.cli.exits import exit_on_error
from nerf.cli.flags import FLAGS
from nerf.cli.messages import as_flags
from nerf.cli.modes import USED_BY_COMMAND, parser_of
from nerf.cli.options import capture_options, holdout, holdout_views
from nerf.cli.path_flags import define_path
from nerf.config import presets
from nerf.errors import UserError, listed
from nerf.jobs.export_capture import export_capture
from nerf.runtime import devices
from nerf.runtime.cache_dir import with_home
from nerf.scenes import loading
from nerf.scenes.describe import describe_scene
from nerf.scenes.loading import LoadedScene
from nerf.scenes.normalize import override_bounds
from nerf.scenes.options import DEFAULT, NAMES
from nerf.scenes.splits import Holdout

_OF_ONE_MACHINE = {"image_memory", "shard_images"}  # which training need not have the same
_HELP = {"out": "the folder to write with --export_format; it must be new or empty"}

# The flags of `nerf.main` say how a folder is read.
define_path("plot", None, "draw cameras, bounds and points here, a .png file")
flags.DEFINE_enum("export_format", None, EXPORT_FORMATS, "write the scene in another format")
define_path(
    "corrected_by", None, "with --export_format, write the poses that this run folder has corrected"
)
for _name in sorted(USED_BY_COMMAND["nerf.inspect"]):  # for --help
    flags.declare_key_flag(_name)


def main(argv: Sequence[str]) -> None:
    """Prints the survey of a folder; exits with status 1 if training cannot start."""
    with exit_on_error(out_of_memory="try a smaller --max_size", verdict="training cannot start"):
        devices.check_platforms()
        _run(argv)


def _check_flags(argv: Sequence[str]) -> None:
    if len(argv) != 2:
        raise UserError("give one folder: python -m nerf.inspect FOLDER (--help lists the flags)")
    if (FLAGS.export_format is None) != (FLAGS.out is None):
        raise UserError("--export_format and --out go together: a format, and the folder to write")
    if FLAGS.corrected_by is not None and FLAGS.export_format is None:
        raise UserError("--corrected_by is for an export: add --export_format and --out")
    if FLAGS.plot is not None and not FLAGS.plot.lower().endswith(".png"):
        raise UserError(f"--plot={FLAGS.plot} must end with .png")
    if FLAGS.plot is not None and _is_inside(FLAGS.plot, with_home(argv[1])):
        raise UserError(
            f"--plot={FLAGS.plot} lies in the folder of the scene, in which nothing is written: "
            "name a file outside of it"
        )


def _run(argv: Sequence[str]) -> None:
    _check_flags(argv)
    options = dataclasses.replace(capture_options(), shard_images=DEFAULT.shard_images)
    holdout, folder = _holdout(), with_home(argv[1])
    capture = loading.read_folder(folder, options)
    for line in survey.describe_capture(capture):
        print(line)
    for note in capture.notes:
        print(f"note: {as_flags(note)}")
    if FLAGS.plot is not None:
        bounds = override_bounds(capture.bounds, capture.num_views, options)
        survey.draw(Path(FLAGS.plot), capture, bounds)
        print(f"plot: {FLAGS.plot}")
    if capture.num_views < MIN_VIEWS and FLAGS.holdout != 0:
        raise UserError("one view is too few: it is held out, so none is left for training")
    loaded = loading.load_capture(capture, options)
    for note in loaded.notes[len(capture.notes) :]:
        print(f"note: {as_flags(note)}")
    for line in describe_scene(loaded.scene, holdout):
        print(line)
    if FLAGS.export_format is not None:
        _export(loaded)
    split = loaded.scene.split(holdout)
    if not split.train:
        raise UserError(
            f"all {loaded.scene.num_views} views are held out, so none is left for training: hold "
            "out fewer, or none with `holdout=0`"
        )
    if len(split.train) == 1:
        print("note: training on one view says nothing about depth: take more images")
    print(f"training can start: {_training_command(folder)}")


def _training_command(folder: Path) -> str:
    """What trains on the folder, with the given flags that say how it is read."""
    names = [name for name in NAMES if name not in _OF_ONE_MACHINE] + ["holdout", "holdout_views"]
    given = [FLAGS[name].serialize() for name in names if not FLAGS[name].using_default_value]
    command = ["python", "-m", "nerf.main", "--field=planes", f"--scene={folder}", *given]
    return shlex.join([*command, "--mode=train", "--train_seconds=60"])


def _is_inside(file: str, folder: Path) -> bool:
    """Whether a file that may not exist yet lies in a folder."""
    return Path(file).resolve().is_relative_to(folder.resolve())


def _holdout() -> Holdout:
    """Which views training would hold out."""
    every_nth = holdout()
    every = presets.preset_of("mlp", None).train.holdout if every_nth is None else every_nth
    return Holdout(every, holdout_views(), use_file_split=every_nth is None)


def _export(loaded: LoadedScene) -> None:
    """Writes the capture as --export_format into --out."""
    written = export_capture(
        loaded, FLAGS.export_format, FLAGS.out, corrected_by=FLAGS.corrected_by, callback=Console()
    )
    names = listed(path.name for path in written)
    print(f"written as {FLAGS.export_format}: {Path(FLAGS.out)}, {names}")


def run() -> None:
    """The console script `nerf-inspect`."""
    run_command(main, __name__, __doc__, parser_of("nerf.inspect"), _HELP)


if __name__ == "__main__":
    run()
