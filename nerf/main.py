"""The command line: flags (`nerf.cli.flags`) become options, and each mode calls the library.

python -m nerf.main --backend=haiku --scene=flower
python -m nerf.main --backend=flax --scene=flower --mode=train
python -m nerf.main --backend=flax --scene=flower --mode=train --init_from=pretrained
python -m nerf.main --mode=convert --init_from=FOLDER_OR_FILE --out=FILE --backend=flax
"""

import functools
import shlex
import sys
import time
from collections.abc import Sequence

from absl import flags

import nerf
from nerf.cli import flags as cli_flags
from nerf.cli import options
from nerf.cli.commands import run_command
from nerf.cli.console import Console
from nerf.cli.exits import exit_on_error
from nerf.cli.flags import FLAGS
from nerf.cli.job import join_job, left_job
from nerf.cli.modes import parse_flags
from nerf.cli.run import run_mode
from nerf.errors import UserError
from nerf.runtime import compile_cache, devices
from nerf.runtime.interrupts import interrupt_at_once

flags.adopt_module_key_flags(cli_flags)  # for --help


def main(argv: Sequence[str], started: float | None = None) -> None:
    """Runs what the flags ask for; a user's mistake ends with one sentence and status 1.

    Args:
      argv: the name of the program, and nothing else.
      started: `time.monotonic()` when the run's time began; None means now.
    """
    started = time.monotonic() if started is None else started
    console = Console()
    with left_job(), exit_on_error(resume_command=_same_command()):
        if len(argv) > 1:
            raise UserError(f"unexpected argument {argv[1]!r}: everything is a --flag=value")
        options.check_names()
        join_job(console, _same_command())
        devices.check_platforms()
        unwritable = compile_cache.enable() if FLAGS.compile_cache else None
        if unwritable is not None:
            console.print(f"note: {unwritable}")
        with interrupt_at_once():
            run_mode(console, started)


def _same_command() -> str | None:
    """The shell command that repeats or resumes this run; None for the mode `export`."""
    if FLAGS.mode == "export":
        return None
    return shlex.join(["python", "-m", "nerf.main", *sys.argv[1:]])


def run() -> None:
    """The console script `nerf`."""
    run_command(functools.partial(main, started=nerf.STARTED), __name__, __doc__, parse_flags)


if __name__ == "__main__":
    run()
