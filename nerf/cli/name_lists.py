"""Flags that list names: `--export=mesh,depth`, `--mesh_format=ply,glb`, `--video_content=rgb`."""

from collections.abc import Sequence

from nerf.cli.flags import FLAGS
from nerf.errors import UserError


def names_in(flag: str, known: Sequence[str]) -> list[str]:
    """The names that a flag lists, each once and in lower case; `.ply` stands for `ply`.

    Args:
      flag: its name.
      known: the names that it can list.

    Raises:
      UserError: with the known names, if there is another one or none.
    """
    given = [name.strip().lower().removeprefix(".") for name in getattr(FLAGS, flag)]
    unknown = [name for name in given if name not in known]
    if unknown or not given:
        raise UserError(
            f"--{flag} is one or more of {', '.join(known)}, not {', '.join(unknown)!r}"
        )
    return list(dict.fromkeys(given))
