"""The mode `export` of `python -m nerf.main`: a field's surfaces as files for other programs."""

from pathlib import Path

from nerf.cli.console import Console
from nerf.cli.flags import FLAGS
from nerf.errors import UserError
from nerf.export.files import MESH_SUFFIXES
from nerf.jobs.export import export_all
from nerf.jobs.load import load_run
from nerf.jobs.trained_field import TrainedField
from nerf.runs import run_folder

FOLDER = "export"  # in the run folder


def run_in_folder() -> TrainedField | None:
    """The field of the run folder that `--run_dir` names; None where it holds no training.

    Such a folder knows its scene, backend and field, so that no photograph and no other flag is
    needed.
    """
    if not FLAGS.run_dir or FLAGS.init_from or not run_folder.holds_training(Path(FLAGS.run_dir)):
        return None
    trained = load_run(FLAGS.run_dir, backend=FLAGS.backend if FLAGS["backend"].present else None)
    if FLAGS["field"].present and FLAGS.field != trained.field_name:
        raise UserError(
            f"{FLAGS.run_dir} holds the field {trained.field_name!r}: leave out --field"
        )
    return trained


def write(console: Console, trained: TrainedField, folder: Path | None = None) -> None:
    """Writes what `--export` says.

    Args:
      console: receives progress.
      trained: the field.
      folder: the run folder; None for that of `trained`.

    Raises:
      UserError: for a mistake of the user.
    """
    suffixes = [f".{name.strip().lower().removeprefix('.')}" for name in FLAGS.mesh_format]
    unknown = [suffix[1:] for suffix in suffixes if suffix not in MESH_SUFFIXES]
    if unknown or not suffixes:
        known = ", ".join(suffix[1:] for suffix in MESH_SUFFIXES)
        raise UserError(f"--mesh_format is one or more of {known}, not {', '.join(unknown)!r}")
    run_dir = folder or trained.run_dir
    assert run_dir is not None
    out = Path(FLAGS.out) if FLAGS.out else run_dir / FOLDER
    export_all(
        trained,
        out,
        kinds=[kind.strip() for kind in FLAGS.export],
        mesh_suffixes=suffixes,
        frame=FLAGS.export_frame,
        resolution=FLAGS.mesh_resolution,
        max_faces=FLAGS.mesh_faces,
        far=FLAGS.export_far,
        callback=console,
    )
    console.print(f"everything is in {out}")
