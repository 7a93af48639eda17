"""The command line in a job of several processes: it joins the job, and leaves it."""

import contextlib
import traceback
from collections.abc import Iterator

from nerf.cli.console import Console
from nerf.cli.messages import as_flags
from nerf.cli.modes import job_options
from nerf.runtime import exchange, parallel, processes


def join_job(console: Console, resume_command: str | None) -> None:
    """Prepares the CPU's cores and, if the flags ask for it, joins the other processes.

    Args:
      console: which is silent from then on in all processes but the first.
      resume_command: what resumes this process, if anything does.

    Raises:
      UserError: see `nerf.runtime.processes.start`.
    """
    job = job_options()
    if not job.is_given:
        parallel.use_all_cores()
        return
    sharing = (job.num_processes or 1) if job.is_local else 1
    # XLA compiles a program for one device in another way than one for several, see `fixed_order`.
    parallel.use_all_cores(sharing, at_least=2 if job.num_processes == 1 else 1)
    description = exchange.join(job, resume_command, as_flags)
    console.is_silent = not processes.is_first()
    console.print(f"{'processes:':<12}{description}")


@contextlib.contextmanager
def left_job() -> Iterator[None]:
    """After the block, this process has left its job, if it has joined one."""
    try:
        yield
    except SystemExit as end:
        if end.code not in (None, 0):
            processes.leave(end.code if isinstance(end.code, int) else 1)
        raise
    except Exception:  # a fault of the program
        if processes.is_distributed():
            traceback.print_exc()
            processes.leave(1)
        raise
    processes.cancel_exit_report()
