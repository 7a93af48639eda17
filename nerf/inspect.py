"""Inspects a folder of images and poses: what it contains, what is wrong, and what to do.

python -m nerf.inspect FOLDER
python -m nerf.inspect FOLDER --plot=cameras.png
python -m nerf.inspect FOLDER --export_format=nerfstudio --out=FOLDER
python -m nerf.inspect FOLDER --export_format=nerfstudio --out=FOLDER --corrected_by=RUN

The exit status is 0 only if training can start.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import flags

from nerf.captures import formats, survey
from nerf.captures.capture import MIN_VIEWS, InvalidCapture
from nerf.captures.export import EXPORT_FORMATS, ExportImages, export
from nerf.captures.images import files as image_files
from nerf.captures.lenses.scaled import scaled_lens
from nerf.cli.commands import run_command
from nerf.cli.exits import exit_on_error
from nerf.cli.flags import FLAGS
from nerf.cli.messages import as_flags
from nerf.cli.modes import USED_BY_INSPECT, parse_inspect_flags
from nerf.cli.options import capture_options, holdout, holdout_views
from nerf.cli.path_flags import define_path
from nerf.config import presets
from nerf.errors import UserError, listed
from nerf.jobs.exports.corrected_poses import with_corrected_poses
from nerf.runtime import devices
from nerf.runtime.cache_dir import with_home
from nerf.scenes import loading
from nerf.scenes.describe import describe_scene
from nerf.scenes.loading import LoadedScene
from nerf.scenes.normalize import NormalizeOptions, override_bounds
from nerf.scenes.splits import Holdout

_CAPTURE_FLAGS = (
    "format", "factor", "max_size", "space", "near", "far", "background", "alpha", "masks", "up",
    "holdout", "holdout_views",
)  # fmt: skip
_HELP = {"out": "the folder to write with --export_format; it must be new or empty"}

# The flags of `nerf.main` say how a folder is read.
define_path("plot", None, "draw cameras, bounds and points here, a .png file")
flags.DEFINE_enum("export_format", None, EXPORT_FORMATS, "write the scene in another format")
define_path(
    "corrected_by", None, "with --export_format, write the poses that this run folder has corrected"
)
for _name in sorted(USED_BY_INSPECT):  # for --help
    flags.declare_key_flag(_name)


def main(argv: Sequence[str]) -> None:
    """Prints the survey of a folder; exits with status 1 if training cannot start."""
    with exit_on_error(out_of_memory="try a smaller --max_size"):
        try:
            devices.check_platforms()
            _run(argv)
        except UserError as error:
            for problem in error.problems if isinstance(error, InvalidCapture) else [error]:
                print(f"problem: {as_flags(str(problem))}", file=sys.stderr)
            print("training cannot start", file=sys.stderr)
            sys.exit(1)


def _run(argv: Sequence[str]) -> None:
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
    options, holdout = capture_options(), _holdout()
    folder = with_home(argv[1])
    capture = formats.read_capture(
        folder,
        format=options.format,
        factor=options.factor,
        near=options.normalization.near,
        far=options.normalization.far,
        up=options.up,
        follow_links=options.follow_links,
    )
    for line in survey.describe_capture(capture):
        print(line)
    for note in capture.notes:
        print(f"note: {as_flags(note)}")
    if FLAGS.plot is not None:
        bounds = override_bounds(capture.bounds, capture.num_views, options.normalization)
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
        _export(loaded, options.normalization)
    split = loaded.scene.split(holdout)
    if not split.train:
        raise UserError(
            f"all {loaded.scene.num_views} views are held out, so none is left for training: hold "
            "out fewer, or none with `holdout=0`"
        )
    if len(split.train) == 1:
        print("note: training on one view says nothing about depth: take more images")
    changed = [name for name in _CAPTURE_FLAGS if not FLAGS[name].using_default_value]
    given = [f"--{name}={FLAGS[name].value}" for name in changed]
    given += ["--follow_links"] if FLAGS.follow_links else []
    command = ["python", "-m", "nerf.main", "--field=planes", f"--scene={folder}", *given]
    print(f"training can start: {shlex.join([*command, '--mode=train', '--train_seconds=60'])}")


def _is_inside(file: str, folder: Path) -> bool:
    """Whether a file that may not exist yet lies in a folder."""
    return Path(file).resolve().is_relative_to(folder.resolve())


def _holdout() -> Holdout:
    """Which views training would hold out."""
    asked = holdout()
    every = presets.preset_of("mlp", None).train.holdout if asked is None else asked
    return Holdout(every, holdout_views(), use_file_split=asked is None)


def _export(loaded: LoadedScene, options: NormalizeOptions) -> None:
    """Writes the capture as --export_format into --out, with the images at their loaded size."""
    capture, scene = loaded.capture, loaded.scene
    if FLAGS.corrected_by is not None:
        capture, notes = with_corrected_poses(capture, Path(FLAGS.corrected_by))
        for note in notes:
            print(f"note: {note}")
    heights, widths = scene.images.heights, scene.images.widths
    sizes = np.stack([widths, heights], axis=-1)
    stored_sizes = [image_files.read_header(file).size for file in capture.files]
    files = [
        file if stored == tuple(size) and not turn else None
        for file, stored, size, turn in zip(
            capture.files, stored_sizes, sizes.tolist(), loaded.turned, strict=True
        )
    ]

    def read(index: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
        height, width = int(heights[index]), int(widths[index])
        file, turn = capture.files[index], loaded.turned[index]
        header = image_files.read_header(file)
        if image_files.oriented_size(header, orient=turn) == (width, height):
            return image_files.read_image(file, orient=turn)
        return image_files.read_scaled(file, height, width, orient=turn)

    out = Path(FLAGS.out)
    lens = scaled_lens(capture, heights, widths)
    bounds = override_bounds(capture.bounds, capture.num_views, options)
    images = ExportImages(sizes, files, read, scene.images.kept_of)
    for note in export(capture, lens, bounds, images, FLAGS.export_format, out):
        print(f"note: {as_flags(note)}")
    print(
        f"written as {FLAGS.export_format}: {out}, {listed(sorted(p.name for p in out.iterdir()))}"
    )


def run() -> None:
    """The console script `nerf-inspect`."""
    run_command(main, __name__, __doc__, parse_inspect_flags, _HELP)


if __name__ == "__main__":
    run()
