"""The mode `export` of `python -m nerf.main`: a field's surfaces as files for other programs."""

from pathlib import Path

from nerf.cli.console import Console
from nerf.cli.flags import EXPORTS, FLAGS, MESH_FORMATS
from nerf.cli.name_lists import names_in
from nerf.errors import UserError, listed
from nerf.jobs.export import export_all
from nerf.jobs.trained_field import TrainedField

FOLDER = "export"  # in the run folder
# Flags that have a use only where one of these kinds is written.
_OF_KINDS = {
    "mesh_format": ("mesh",),
    "mesh_resolution": ("mesh",),
    "mesh_faces": ("mesh",),
    "num_points": ("points",),
    "export_far": ("mesh", "points"),
}


def check_flags() -> None:
    """Refuses unknown kinds and formats, and flags of kinds that are not written.

    Raises:
      UserError: with the known ones.
    """
    kinds = names_in("export", EXPORTS)
    names_in("mesh_format", MESH_FORMATS)
    useless = [
        f"--{name}"
        for name, those in _OF_KINDS.items()
        if FLAGS[name].present and not set(those) & set(kinds)
    ]
    if useless:
        raise UserError(
            f"--export={','.join(kinds)} has no use for {listed(useless)}: leave "
            f"{'it' if len(useless) == 1 else 'them'} out, or write more kinds"
        )


def write(console: Console, trained: TrainedField, folder: Path | None = None) -> None:
    """Writes what `--export` says.

    Args:
      console: receives progress.
      trained: the field.
      folder: the run folder; None for that of `trained`.

    Raises:
      UserError: for a mistake of the user.
    """
    run_dir = folder or trained.run_dir
    assert run_dir is not None
    out = Path(FLAGS.out) if FLAGS.out else run_dir / FOLDER
    export_all(
        trained,
        out,
        kinds=names_in("export", EXPORTS),
        mesh_suffixes=[f".{name}" for name in names_in("mesh_format", MESH_FORMATS)],
        frame=FLAGS.export_frame,
        resolution=FLAGS.mesh_resolution,
        max_faces=FLAGS.mesh_faces,
        num_points=FLAGS.num_points,
        max_depth=FLAGS.export_far,
        callback=console,
    )
    console.print(f"everything is in {out}")
