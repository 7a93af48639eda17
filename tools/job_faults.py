"""Disturbs a training job of several processes again and again, and looks at what is left.

python -m tools.job_faults --faults=10 --processes=2 --seed=0

Each fault is one of three, at any process, also the first one, at which the others meet: it is
killed (SIGKILL), asked to stop (SIGTERM, as a scheduler does), or suspended for some seconds
(SIGSTOP, then SIGCONT). After the first two all processes must end within the time that
docs/cluster.md states, what was saved must not be lost, and the same command must resume. In the
end the losses and the parameters must be those of a job that nobody disturbed, to the bit.
"""

import argparse
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from nerf.cli.exits import exit_on_error, fail
from nerf.errors import UserError, listed
from nerf.runs import metrics, parameters

ROOT = Path(__file__).parents[1]
KILL, TERM, SUSPEND = "kill", "term", "suspend"
KINDS = (KILL, TERM, SUSPEND)
MOST_SECONDS_TO_END = 150.0  # see docs/cluster.md
MOST_SECONDS_TO_START = 900.0  # on a busy machine
SAVE_EVERY = 20
_SIGNALS = {KILL: signal.SIGKILL, TERM: signal.SIGTERM}
_STATUS_AFTER_TERM = 128 + signal.SIGTERM
_SENTENCES = {KILL: "what was saved is kept", TERM: "the last step is saved"}
_SETTINGS = (
    "field.width=16",
    "field.rgb_width=8",
    "field.skip_layer=1",
    "field.num_layers=3",
    "render.num_coarse=8",
    "render.num_fine=8",
    "train.num_rays=32",
)


class Fault(NamedTuple):
    """What is done to which process, once the job has reached a step."""

    kind: str
    victim: int
    step: int


class Outcome(NamedTuple):
    """What came of a fault.

    Attributes:
      fault: what was done.
      reached: the last step that was read before it.
      saved: the newest step on disk after it.
      seconds: until all processes had ended; of a suspended job, until the next reading.
      broken: which promises were not kept.
    """

    fault: Fault
    reached: int
    saved: int
    seconds: float
    broken: tuple[str, ...]


class Options(NamedTuple):
    """How the job is disturbed; `main` explains each."""

    num_faults: int
    num_processes: int
    num_steps: int
    scene: str
    backend: str
    seed: int
    suspended_seconds: float
    kinds: Sequence[str] = KINDS


def choose_faults(options: Options) -> list[Fault]:
    """The faults in the order of their steps: of each kind asked for, at every process in turn.

    >>> options = Options(3, 2, 80, "", "", 0, 1.0)
    >>> sorted(fault.kind for fault in choose_faults(options))
    ['kill', 'suspend', 'term']
    >>> {fault.kind for fault in choose_faults(options._replace(kinds=("kill",)))}
    {'kill'}
    """
    chance = random.Random(options.seed)
    num_kinds = len(options.kinds)
    kinds = [options.kinds[number % num_kinds] for number in range(options.num_faults)]
    # Each kind meets each process before any combination comes again.
    victims = [
        (number // num_kinds + number % num_kinds) % options.num_processes
        for number in range(options.num_faults)
    ]
    pairs = list(zip(kinds, victims, strict=True))
    chance.shuffle(pairs)
    each = options.num_steps / (options.num_faults + 1)
    steps = [int(each * (number + 0.5 + chance.random())) for number in range(len(pairs))]
    return [Fault(kind, victim, step) for (kind, victim), step in zip(pairs, steps, strict=True)]


class Job:
    """The processes of one start, and what they have printed."""

    def __init__(
        self, processes: Sequence["subprocess.Popen[bytes]"], outputs: Sequence[IO[bytes]]
    ):
        self.processes = processes
        self._outputs = outputs

    @property
    def statuses(self) -> list[int | None]:
        """The exit status of each process; None while it runs."""
        return [process.poll() for process in self.processes]

    def ends(self, seconds: float) -> bool:
        """Whether all processes end within a time."""
        deadline = time.monotonic() + seconds
        for process in self.processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                return False
        return True

    def text(self, number: int) -> str:
        """All that a process has printed."""
        self._outputs[number].seek(0)
        return self._outputs[number].read().decode(errors="replace")


@contextlib.contextmanager
def started(command: Sequence[str], num_processes: int, folder: Path) -> Iterator[Job]:
    """Starts a command in all processes; those that still run at the end are killed.

    Args:
      command: that of all; each process gets its number besides.
      num_processes: how many there are.
      folder: where they run.
    """
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "1",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # faults, not speed
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),  # as users have one
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
    }
    with contextlib.ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(num_processes)]
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for number, output in enumerate(outputs):
                processes.append(
                    subprocess.Popen(
                        [*command, f"--process_id={number}"],
                        cwd=folder,
                        env=environment,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                    )
                )
            yield Job(processes, outputs)
        finally:
            for process in processes:
                if process.poll() is None:
                    process.send_signal(signal.SIGCONT)
                    process.kill()
                process.wait()


def job_command(options: Options, run_dir: Path) -> list[str]:
    """The command of all processes, the same at every start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return [
        *(sys.executable, "-m", "nerf.main", "--mode=train", "--video_frames=0"),
        f"--scene={options.scene}",
        f"--backend={options.backend}",
        f"--run_dir={run_dir}",
        f"--steps={options.num_steps}",
        f"--save_every={SAVE_EVERY}",
        *("--eval_every=0", "--eval_views=1"),
        *(f"--set={setting}" for setting in _SETTINGS),
        f"--coordinator=127.0.0.1:{port}",
        f"--num_processes={options.num_processes}",
    ]


def last_step(run_dir: Path) -> int:
    """The last step that was read; 0 before the first."""
    return max((line["step"] for line in metrics.read(run_dir)), default=0)


def saved_step(run_dir: Path) -> int:
    """The newest step on disk; 0 where there is none."""
    names = (path.name for path in run_dir.glob("checkpoints/*"))
    return max((int(name) for name in names if name.isdigit()), default=0)


def wait_for_step(job: Job, run_dir: Path, step: int) -> None:
    """Returns when a job has reached a step.

    Raises:
      UserError: if a process ends before, or it takes too long.
    """
    deadline = time.monotonic() + MOST_SECONDS_TO_START
    while last_step(run_dir) < step:
        for number, status in enumerate(job.statuses):
            if status is not None:
                raise UserError(
                    f"process {number} ended with status {status} before step {step}: "
                    f"{job.text(number)[-500:]}"
                )
        if time.monotonic() > deadline:
            raise UserError(f"step {step} was not reached within {MOST_SECONDS_TO_START:g} s")
        time.sleep(0.002)


def disturb(job: Job, run_dir: Path, fault: Fault, suspended_seconds: float) -> Outcome:
    """Does what a fault says to a job that has reached its step, and looks at what is left."""
    reached = last_step(run_dir)
    victim = job.processes[fault.victim]
    began = time.monotonic()
    broken: list[str] = []
    if fault.kind == SUSPEND:
        victim.send_signal(signal.SIGSTOP)
        time.sleep(suspended_seconds)
        reached = last_step(run_dir)
        victim.send_signal(signal.SIGCONT)
        began = time.monotonic()
        wait_for_step(job, run_dir, reached + 1)
    else:
        victim.send_signal(_SIGNALS[fault.kind])
        if not job.ends(MOST_SECONDS_TO_END):
            broken.append(f"a process still ran {MOST_SECONDS_TO_END:g} s later")
        else:
            broken += _broken_at_end(job, fault)
    seconds = time.monotonic() - began
    saved = saved_step(run_dir)
    least = reached if fault.kind == TERM else reached - SAVE_EVERY
    if fault.kind != SUSPEND and saved < least:
        broken.append(f"step {reached} was reached, and {saved} is the newest saved")
    return Outcome(fault, reached, saved, seconds, tuple(broken))


def _broken_at_end(job: Job, fault: Fault) -> list[str]:
    """What is wrong with the statuses and the words of processes that have ended."""
    broken = []
    for number, status in enumerate(job.statuses):
        text = job.text(number)
        if fault.kind == TERM and status != _STATUS_AFTER_TERM:
            broken.append(f"process {number} ended with status {status}")
        if fault.kind == KILL and status == 0:
            broken.append(f"process {number} ended as if nothing had happened")
        if _SENTENCES[fault.kind] not in text:
            broken.append(f"process {number} did not say {_SENTENCES[fault.kind]!r}")
        if "Traceback" in text:
            broken.append(f"process {number} printed a traceback")
    return broken


def run_undisturbed(options: Options, folder: Path) -> Path:
    """The run folder of a job that nobody disturbs."""
    run_dir = folder / "calm"
    with started(job_command(options, run_dir), options.num_processes, folder) as job:
        _finish(job)
    return run_dir


def run_disturbed(options: Options, folder: Path) -> tuple[Path, list[Outcome]]:
    """The run folder of a job that meets all faults, and what came of each."""
    run_dir = folder / "disturbed"
    command, outcomes = job_command(options, run_dir), []
    faults = choose_faults(options)
    while True:
        with started(command, options.num_processes, folder) as job:
            while faults:
                fault = faults.pop(0)
                wait_for_step(job, run_dir, fault.step)
                outcomes.append(disturb(job, run_dir, fault, options.suspended_seconds))
                print(_line(len(outcomes), outcomes[-1]), flush=True)
                if fault.kind != SUSPEND:
                    break
            else:
                _finish(job)
                return run_dir, outcomes


def _finish(job: Job) -> None:
    if not job.ends(MOST_SECONDS_TO_START) or set(job.statuses) != {0}:
        raise UserError(f"the job did not end well: {job.statuses}, {job.text(0)[-500:]}")


def _line(number: int, outcome: Outcome) -> str:
    fault = outcome.fault
    lost = "" if fault.kind == SUSPEND else f", saved {outcome.saved}"
    wrong = f"; BROKEN: {listed(outcome.broken)}" if outcome.broken else ""
    what = "on again" if fault.kind == SUSPEND else "all ended"
    return (
        f"{number:>3} {fault.kind:<8} process {fault.victim} at step {outcome.reached}{lost}: "
        f"{what} after {outcome.seconds:.1f} s{wrong}"
    )


def differences(calm: Path, disturbed: Path, backend: str) -> list[str]:
    """In what the run folder of a disturbed job differs from that of an undisturbed one."""
    losses = [
        {line["step"]: line["loss"] for line in metrics.read(folder) if "loss" in line}
        for folder in (calm, disturbed)
    ]
    found = []
    both = losses[0].keys() & losses[1].keys()
    if not both or any(losses[0][step] != losses[1][step] for step in both):
        found.append("the losses of the same steps differ")
    sums = [
        parameters.checksum(parameters.load(folder, backend).params) for folder in (calm, disturbed)
    ]
    if sums[0] != sums[1]:
        found.append(f"the parameters differ (checksums {sums[0]:08x} and {sums[1]:08x})")
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faults", type=int, default=10, help="how many")
    parser.add_argument("--processes", type=int, default=2, help="of the job")
    parser.add_argument("--steps", type=int, default=3000, help="of the run")
    parser.add_argument("--scene", default="procedural:flower@24x18", help="what is trained on")
    parser.add_argument("--backend", default="flax", help="who implements the field")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument("--suspended", type=float, default=5.0, help="seconds of a suspension")
    parser.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=KINDS, help="kinds of faults (all)"
    )
    args = parser.parse_args(argv)
    options = Options(
        args.faults,
        args.processes,
        args.steps,
        args.scene,
        args.backend,
        args.seed,
        args.suspended,
        args.kinds,
    )
    with exit_on_error(), tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        calm = run_undisturbed(options, Path(folder))
        print(f"an undisturbed job took {time.monotonic() - began:.0f} s", flush=True)
        disturbed, outcomes = run_disturbed(options, Path(folder))
        broken = [text for outcome in outcomes for text in outcome.broken]
        broken += differences(calm, disturbed, options.backend)
        ended = [o.seconds for o in outcomes if o.fault.kind != SUSPEND]
        print(
            f"{len(outcomes)} faults in {time.monotonic() - began:.0f} s, seed {options.seed}: all "
            f"processes ended after at most {max(ended, default=0.0):.1f} s"
        )
        if broken:
            fail(f"{len(broken)} promises were broken: {listed(broken)}")
        print("losses and parameters equal those of the undisturbed job, to the bit")


if __name__ == "__main__":
    main()
