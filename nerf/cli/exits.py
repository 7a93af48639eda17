"""How the commands end: a user's mistake is one sentence on stderr and a status that is not 0."""

import contextlib
import sys
from collections.abc import Iterator
from typing import NoReturn

import jax
from absl import flags

from nerf.captures.capture import InvalidCapture
from nerf.cli.messages import as_flags
from nerf.errors import UserError
from nerf.runtime import processes
from nerf.runtime.interrupts import Interrupted

_OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"
_FEWER_RAYS = "try fewer --rays, or a smaller field"


@contextlib.contextmanager
def exit_on_error(
    *,
    out_of_memory: str = _FEWER_RAYS,
    resume_command: str | None = None,
    verdict: str | None = None,
    defined: flags.FlagValues = flags.FLAGS,
) -> Iterator[None]:
    """Turns errors that a user can understand into one sentence and an exit status.

    Args:
      out_of_memory: what to do where memory runs out.
      resume_command: the command that resumes what Ctrl-C has stopped, if there is one.
      verdict: what a `UserError` means for a command that examines something. Each problem that it
        has found is then a line, and this is the last one.
      defined: the flags that messages may name.

    Raises:
      SystemExit: for an error that `error_message` explains, and an interrupt. Any other error is a
        fault of the program and passes.
    """
    try:
        yield
    except Interrupted as interrupt:
        hint = f"; to resume: {resume_command}" if resume_command else ""
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(f"{interrupt}{hint}", file=sys.stderr)
        sys.exit(interrupt.status)
    except Exception as error:
        if verdict is not None and isinstance(error, UserError):
            problems = error.problems if isinstance(error, InvalidCapture) else [str(error)]
            _end(*(f"problem: {as_flags(problem, defined)}" for problem in problems), verdict)
        text = error_message(error, out_of_memory=out_of_memory, defined=defined)
        if text is None:
            raise
        fail(text)


def error_message(
    error: Exception,
    *,
    out_of_memory: str = _FEWER_RAYS,
    defined: flags.FlagValues = flags.FLAGS,
) -> str | None:
    """The message to the user about an error; None if the error is a fault of the program.

    There is one for a `UserError`, a file that cannot be read or written, memory that runs out, and
    what another process of the job causes that is lost.

    Args:
      error: what was raised.
      out_of_memory: what to do where memory runs out.
      defined: the flags that messages may name.
    """
    if isinstance(error, UserError):
        return as_flags(str(error), defined)
    if isinstance(error, OSError) and error.errno:
        what = error.filename or "a file or the output"
        return f"{what} cannot be read or written: {error.strerror}"
    of_jax = isinstance(error, jax.errors.JaxRuntimeError)
    if isinstance(error, MemoryError) or (of_jax and _OUT_OF_MEMORY in str(error)):
        return f"out of memory: {out_of_memory}"
    return processes.lost_process(error)


def fail(message: str, *more: str) -> NoReturn:
    """Prints one sentence, and lines after it, to stderr; exits with status 1."""
    _end(f"error: {message}", *more)


def _end(*lines: str) -> NoReturn:
    print("\n".join(lines), file=sys.stderr)
    sys.exit(1)
