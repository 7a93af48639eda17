"""How the commands end: a user's mistake is one sentence on stderr and a status that is not 0."""

import contextlib
import sys
from collections.abc import Iterator, Sequence

import jax
from absl import flags

from nerf.cli.messages import as_flags
from nerf.errors import UserError
from nerf.runtime.interrupts import Interrupted

_OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"
_FEWER_RAYS = "try fewer --rays, or a smaller field"

# The errors for which `sentence` may have a sentence.
UNDERSTOOD = (UserError, OSError, MemoryError, jax.errors.JaxRuntimeError)


@contextlib.contextmanager
def exit_on_error(
    *,
    out_of_memory: str = _FEWER_RAYS,
    resume_command: str | None = None,
    defined: flags.FlagValues = flags.FLAGS,
) -> Iterator[None]:
    """Turns errors that a user can understand into one sentence and an exit status.

    Args:
      out_of_memory: what to do where memory runs out.
      resume_command: the command that resumes what Ctrl-C has stopped, if there is one.
      defined: the flags that messages may name.

    Raises:
      SystemExit: for a `UserError`, a file that cannot be read or written, memory that runs out,
        and an interrupt. Any other error is a fault of the program and passes.
    """
    try:
        yield
    except Interrupted as interrupt:
        hint = f"; to resume: {resume_command}" if resume_command else ""
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(f"{interrupt}{hint}", file=sys.stderr)
        sys.exit(interrupt.status)
    except UNDERSTOOD as error:
        text = sentence(error, out_of_memory=out_of_memory, defined=defined)
        if text is None:
            raise
        fail(text)


def sentence(
    error: BaseException,
    *,
    out_of_memory: str = _FEWER_RAYS,
    defined: flags.FlagValues = flags.FLAGS,
) -> str | None:
    """The message to the user about an error; None if the error is a fault of the program.

    Args:
      error: one of `UNDERSTOOD`.
      out_of_memory: what to do where memory runs out.
      defined: the flags that messages may name.
    """
    if isinstance(error, UserError):
        return as_flags(str(error), defined)
    if isinstance(error, OSError):
        what = error.filename or "a file or the output"
        return f"{what} cannot be read or written: {error.strerror}" if error.errno else None
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY in str(error):
        return f"out of memory: {out_of_memory}"
    return None


def fail(message: str, *more: str) -> None:
    """Prints one sentence, and lines after it, to stderr; exits with status 1."""
    lines: Sequence[str] = (f"error: {message}", *more)
    print("\n".join(lines), file=sys.stderr)
    sys.exit(1)
