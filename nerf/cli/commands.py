"""What the commands share: reading flags, and starting."""

import re
import sys
from collections.abc import Callable, Mapping, Sequence

from absl import app, flags, logging

from nerf.cli.console import print_anything
from nerf.cli.exits import fail
from nerf.cli.flags import FLAGS, help_on_names

_RENAMED = {  # since version 0.1.0
    "frames": "video_frames",
    "mirror": "download_url",
    "path": "camera_path",
    "picture": "plot",
    "rays_per_piece": "rays_per_microbatch",
    "render": "renderer",
    "size": "video_size",
    "to": "export_format",
}


def parse_flags(argv: Sequence[str]) -> list[str]:
    """Reads the flags, for `app.run`; a mistake ends with one sentence, help with status 0."""
    try:
        rest: list[str] = FLAGS(list(argv))
    except flags.Error as error:
        old = getattr(error, "flagname", None)
        advice = f"it is --{_RENAMED[old]} now" if old in _RENAMED else "--help lists the flags"
        fail(f"{_plain(str(error))} ({advice})")
    except SystemExit:  # what absl's help flags end with, always with status 1
        sys.exit(0)
    if FLAGS["verbosity"].using_default_value:
        logging.set_verbosity(logging.WARNING)  # JAX and Orbax log much at the level below
    return rest


def _plain(message: str) -> str:
    """A message of absl in one line, without the words of Python's own conversions.

    >>> _plain("flag --port=8a: invalid literal for int() with base 10: '8a'")
    'flag --port=8a: it must be a whole number'
    """
    line = " ".join(message.split())
    line = re.sub(
        r"invalid literal for int\(\) with base 10: .*", "it must be a whole number", line
    )
    return re.sub(r"could not convert string to float: .*", "it must be a number", line)


def run_command(
    main: Callable[[list[str]], None],
    name: str,
    description: str | None,
    parse: Callable[[Sequence[str]], list[str]] = parse_flags,
    help_texts: Mapping[str, str] | None = None,
) -> None:
    """Runs a command, started by `python -m` or by its console script; --help is the same for both.

    Args:
      main: takes the program's name and the arguments that are not flags.
      name: `__name__` of the command's module.
      description: `__doc__` of that module.
      parse: reads and checks the flags.
      help_texts: of flags that mean something of their own in this command.
    """
    for flag, text in {**help_on_names(), **(help_texts or {})}.items():
        FLAGS[flag].help = text
    print_anything()
    if name != "__main__":  # absl shows the flags of the module `sys.argv[0]`
        sys.argv[0] = name
        sys.modules["__main__"].__doc__ = description
    app.run(main, flags_parser=parse)
