"""Flags that name a file or a folder: `~` is the home folder in each of them.

A shell expands it in `--run_dir ~/run`, but not in `--run_dir=~/run`.
"""

from absl import flags

from nerf.errors import UserError
from nerf.runtime.cache_dir import with_home

flags.disclaim_key_flags()  # they belong to the module that defines them here


class _PathParser(flags.ArgumentParser[str]):
    """Replaces `~` and `~user` at the start of a path."""

    syntactic_help = "a path"

    def parse(self, argument: str) -> str:
        if not argument.startswith("~"):
            return argument
        try:
            return str(with_home(argument))
        except UserError as error:
            raise ValueError(str(error)) from error

    def flag_type(self) -> str:
        return "string"


def define_path(name: str, default: str | None, help: str) -> None:
    """Defines a flag for a path; what does not begin with `~` is kept as it is given."""
    flags.DEFINE(_PathParser(), name, default, help, serializer=flags.ArgumentSerializer())
