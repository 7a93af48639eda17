"""Several processes that train one field together, by `jax.distributed`.

JAX is the engine: it finds the other processes, passes arrays between them (by gloo between CPUs,
by NCCL between GPUs) and notices when one is lost. Here is how a process joins the job, what it
says where that fails, and how it leaves.
"""

import collections
import contextlib
import faulthandler
import ipaddress
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from nerf.errors import UserError
from nerf.runtime.exit_report import ExitReport

START_SECONDS = 120.0  # the default of `start_seconds`
# A process that is silent for so long counts as lost. JAX sends a sign of life only twice in this
# time, so half of it must be longer than a minute, for which a process may be suspended.
HEARTBEAT_SECONDS = 130
_FIRST_JAX = (0, 8)
_SECONDS_BETWEEN_PROBES = 0.2
_MARGIN = 60.0  # JAX's own limit comes after ours, since it ends the process without a sentence
_SECONDS_FOR_OTHERS = 3.0  # the first process is needed until the others have ended
THREADS = "NPROC"  # the variable that says how many threads cut matrix products
_THREADS = 2  # of the matrix products of a process, however many cores it has; see `_configure`
_MAX_REASON = 120  # characters of an error of JAX
# Texts in errors of collectives and of JAX's own service, but not in out-of-memory errors.
_ERROR_OF_LOST_PROCESS = re.compile(
    r"gloo|nccl|coordination|socket closed|unavailable", re.IGNORECASE
)
_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,5})")
_LOST = (
    "another process of this run ended or does not answer: what was saved is kept, and the same "
    "command on all processes resumes"
)
UNFIT = (
    "each number from 0 to one less than `num_processes` must be the `process_id` of one process, "
    "and all must give the same `num_processes` and `coordinator`"
)


FormatMessageFn = Callable[[str], str]  # a message as people are to read it


class JobOptions(NamedTuple):
    """How a process finds the others.

    Attributes:
      is_detected: whether JAX finds them by the environment that Slurm, Open MPI or Kubernetes
        gives the process.
      coordinator: `HOST:PORT`, where the first process answers.
      num_processes: how many there are.
      process_id: the number of this one, from 0.
      start_seconds: the longest that it waits for the others.
    """

    is_detected: bool = False
    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None
    start_seconds: float = START_SECONDS

    @property
    def is_given(self) -> bool:
        """Whether the options ask for a job of several processes."""
        return self.is_detected or self.coordinator is not None

    def check(self) -> None:
        """Raises a UserError where the options contradict each other."""
        by_number = {"num_processes": self.num_processes, "process_id": self.process_id}
        for name, value in by_number.items():
            if value is None and self.coordinator is not None and not self.is_detected:
                raise UserError(
                    f"`coordinator` needs `{name}` as well, or `distributed=True` under Slurm, "
                    "Open MPI or Kubernetes"
                )
            if value is not None and not self.is_given:
                raise UserError(f"`{name}` needs `coordinator`: where the first process answers")
        if self.coordinator is not None:
            self._check_address(self.coordinator)
        if self.num_processes is None or self.process_id is None:
            return
        if not 0 <= self.process_id < self.num_processes:
            raise UserError(
                f"`process_id={self.process_id}` must be from 0 to {self.num_processes - 1}, one "
                f"less than `num_processes={self.num_processes}`"
            )

    def _check_address(self, address: str) -> None:
        match = _ADDRESS.fullmatch(address)
        if match is None or not 0 < int(match["port"]) < 2**16:
            raise UserError(
                f"`coordinator={address}` must be HOST:PORT, e.g. 10.0.0.1:4321, the address at "
                "which the process with `process_id=0` can be reached"
            )

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of `coordinator`."""
        if self.coordinator is None:
            return None
        host, _, port = self.coordinator.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def is_local(self) -> bool:
        """Whether the coordinator's address leads to this machine alone."""
        if self.address is None:
            return False
        host = self.address[0]
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(host).is_loopback
        return host == "localhost"


class _Job:
    """The job that this process belongs to, if any: JAX has one for a process as well."""

    exit_report: ExitReport | None = None
    format_message: FormatMessageFn = str


_job = _Job()


def is_distributed() -> bool:
    """Whether this process has joined a job, which may have one process."""
    return bool(jax.distributed.is_initialized())


def count() -> int:
    """The number of processes of the job; 1 without one."""
    return jax.process_count() if is_distributed() else 1


def index() -> int:
    """The number of this process, from 0."""
    return jax.process_index() if is_distributed() else 0


def is_first() -> bool:
    """Whether this process is the one that writes the run folder and prints."""
    return index() == 0


def start(
    options: JobOptions, resume_command: str | None = None, format_message: FormatMessageFn = str
) -> None:
    """Joins the job; returns when all its processes are there. See `nerf.runtime.exchange.join`.

    Call it before JAX is used. If this process ends later without a word, since it is killed or
    because JAX ends it when another one is lost, a sentence says so; see `ExitReport`.

    Args:
      options: how the others are found.
      resume_command: the command that resumes a run that was stopped, if there is one.
      format_message: turns the parameters that a message names into what users know.

    Raises:
      UserError: where the numbers do not fit or nothing answers. Where a process never comes, this
        process exits with status 1 after `options.start_seconds`, and a sentence says so.
    """
    options.check()
    if jax.__version_info__ < _FIRST_JAX:
        raise UserError(
            f"several processes need JAX {'.'.join(map(str, _FIRST_JAX))} or newer, and this is "
            f"{jax.__version__}: install a newer one, or use one process"
        )
    deadline = time.monotonic() + options.start_seconds
    _probe(options, deadline)
    _configure()
    _job.exit_report, _job.format_message = ExitReport(), format_message
    _set_exit_message(f"error: the processes did not all start: {UNFIT}")
    with _time_limit(options, deadline):
        _initialize(options)
        found = jax.process_count()  # all have said by now which devices they have
    if options.num_processes not in (None, found):
        raise UserError(
            f"`num_processes={options.num_processes}` here, but the first process expects "
            f"{found}: {UNFIT}"
        )
    _check_devices()
    hint = f"; to resume, on all processes: {resume_command}" if resume_command else ""
    _set_exit_message(
        f"process {index()} of {count()} ended without a word: it was killed, or another process "
        f"of the run was lost; what was saved is kept{hint}"
    )


def _check_devices() -> None:
    """Refuses processes with different numbers of devices."""
    counts = collections.Counter(device.process_index for device in jax.devices())
    if len(set(counts.values())) > 1:
        numbers = ", ".join(str(counts[number]) for number in sorted(counts))
        raise UserError(
            "all processes must have the same number of devices, and they have "
            f"{numbers}: give each the same number with "
            "JAX_NUM_CPU_DEVICES or CUDA_VISIBLE_DEVICES"
        )


def _set_exit_message(text: str) -> None:
    if _job.exit_report is not None:
        _job.exit_report.set_message(_job.format_message(text))


def _configure() -> None:
    # Eigen cuts the sums in a matrix product by the number of its threads, which is that of the
    # cores if nothing else is said: then the bits would depend on how many cores a process has.
    # There is at least one thread a device, so this is the number for up to two devices. More
    # threads cost time where a process has one core: with 8, two processes reached 53 % of one
    # process with two devices, with 2 they reach 81 to 87 %, with 1 94 %.
    os.environ.setdefault(THREADS, str(_THREADS))
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # JAX ends a process that has lost another by an abort; Python would print the stacks of all its
    # threads, though our sentence says what has happened.
    faulthandler.disable()
    with contextlib.suppress(AttributeError):  # our own handler of SIGTERM saves on all processes
        jax.config.update("jax_enable_preemption_service", False)


def _initialize(options: JobOptions) -> None:
    """`jax.distributed.initialize`, whose errors of Python become a UserError."""
    more: dict[str, Any] = {}
    if options.is_local and options.address is not None:
        more["coordinator_bind_address"] = f"127.0.0.1:{options.address[1]}"
    if not options.is_detected:
        more["cluster_detection_method"] = "deactivate"
    try:
        jax.distributed.initialize(
            options.coordinator,
            options.num_processes,
            options.process_id,
            initialization_timeout=int(options.start_seconds + _MARGIN),
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            **more,
        )
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        cancel_exit_report()
        is_alone = isinstance(error, ValueError)  # what JAX raises where it has found no job
        if options.is_detected and options.coordinator is None and is_alone:
            raise UserError(
                "`distributed=True` finds no job of Slurm, Open MPI or Kubernetes around this "
                "process: start it with srun or mpirun, or give `coordinator`, `num_processes` and "
                "`process_id`"
            ) from error
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise UserError(f"the processes could not be joined ({reason}): {UNFIT}") from error


def _probe(options: JobOptions, deadline: float) -> None:
    """Waits until the coordinator answers; in the first process, checks that it can answer there.

    JAX ends the process with a traceback of C++ where either fails.
    """
    if options.address is None or options.process_id is None:
        return
    host, port = options.address
    if options.process_id == 0:
        _check_port(options, port)
        return
    while True:
        try:
            with socket.create_connection((host, port), timeout=_SECONDS_BETWEEN_PROBES * 10):
                return
        except OSError as error:
            if time.monotonic() > deadline or isinstance(error, socket.gaierror):
                reason = "it is not a known host" if isinstance(error, socket.gaierror) else error
                raise UserError(
                    f"no process answers at `coordinator={options.coordinator}` within "
                    f"{options.start_seconds:g} s ({reason}): start the process with "
                    "`process_id=0` there, and let others reach its port"
                ) from error
        time.sleep(_SECONDS_BETWEEN_PROBES)


def _check_port(options: JobOptions, port: int) -> None:
    host = "127.0.0.1" if options.is_local else ""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise UserError(
            f"`coordinator={options.coordinator}` cannot be opened here ({error.strerror}): name "
            "a port of this machine that is free"
        ) from error


@contextlib.contextmanager
def _time_limit(options: JobOptions, deadline: float) -> Iterator[None]:
    """Ends the process with a sentence if the block is not over in time.

    JAX waits in C++, which no exception of Python leaves.
    """
    number = options.num_processes
    expected = "all processes" if number is None else f"all {number} processes"
    text = f"not {expected} came within {options.start_seconds:g} s: {UNFIT}"

    def end() -> None:
        _set_exit_message(f"error: {text}")
        os._exit(1)

    timer = threading.Timer(max(1.0, deadline - time.monotonic()), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def lost_process(error: BaseException) -> str | None:
    """A sentence for an error that a lost process has caused; None for any other error."""
    if count() == 1 or not _ERROR_OF_LOST_PROCESS.search(str(error)):
        return None
    reason = " ".join(str(error).split())[:_MAX_REASON]
    return f"{_LOST} ({type(error).__name__}: {reason})"


def cancel_exit_report() -> None:
    """Cancels the sentence that is printed if this process ends without `leave`."""
    if _job.exit_report is not None:
        _job.exit_report.close()
        _job.exit_report = None


def leave(status: int) -> None:
    """Ends this process at once, after an error or an interrupt; without a job it returns.

    JAX would wait at the end for processes that may be lost. The first one stays a moment, since
    JAX ends the others without a word when it is gone.
    """
    if not is_distributed():
        return
    cancel_exit_report()
    sys.stdout.flush()
    sys.stderr.flush()
    if is_first() and count() > 1:
        time.sleep(_SECONDS_FOR_OTHERS)
    os._exit(status)
