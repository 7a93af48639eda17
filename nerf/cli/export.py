"""The mode `export` of `python -m nerf.main`: a field's surfaces as files for other programs."""

from pathlib import Path

from nerf.cli.console import Console
from nerf.cli.flags import EXPORTS, FLAGS
from nerf.errors import UserError, listed
from nerf.export.files import MESH_SUFFIXES
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
    kinds, formats = _kinds(), _suffixes()
    _check_known("export", kinds, EXPORTS)
    _check_known("mesh_format", [suffix[1:] for suffix in formats], [x[1:] for x in MESH_SUFFIXES])
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
        kinds=_kinds(),
        mesh_suffixes=_suffixes(),
        frame=FLAGS.export_frame,
        resolution=FLAGS.mesh_resolution,
        max_faces=FLAGS.mesh_faces,
        num_points=FLAGS.num_points,
        max_depth=FLAGS.export_far,
        callback=console,
    )
    console.print(f"everything is in {out}")


def _kinds() -> list[str]:
    return list(dict.fromkeys(kind.strip().lower() for kind in FLAGS.export))


def _suffixes() -> list[str]:
    return [f".{name.strip().lower().removeprefix('.')}" for name in FLAGS.mesh_format]


def _check_known(flag: str, given: list[str], known: tuple[str, ...] | list[str]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown or not given:
        raise UserError(
            f"--{flag} is one or more of {', '.join(known)}, not {', '.join(unknown)!r}"
        )
