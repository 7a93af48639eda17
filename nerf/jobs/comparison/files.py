"""Where the files of a comparison may be written."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from nerf.errors import UserError


def check_writable(named: Mapping[str, Path], runs: Sequence[Path]) -> None:
    """Refuses files that cannot be there, or that would replace what belongs to a run.

    Args:
      named: files to write, by the parameters that name them.
      runs: run folders, which are not changed.

    Raises:
      UserError: for the first file at fault.
    """
    names_by_path: dict[Path, str] = {}
    for name, path in named.items():
        folder, shown = path.absolute().parent, f"`{name}={path}`"
        if not folder.is_dir():
            raise UserError(f"{shown} cannot be written: there is no folder {folder}")
        if path.is_dir():
            raise UserError(f"{shown} is a folder: name a file")
        if any(folder.resolve().is_relative_to(run.resolve()) for run in runs):
            raise UserError(f"{shown} lies in a run folder, which is not changed: name another")
        other = names_by_path.setdefault(path.resolve(), name)
        if other != name:
            raise UserError(f"{shown} is the same file as `{other}`: name two files")
