"""Kills one training run again and again, with `kill -9`, and looks at what is left each time.

    python -m tests.support.kill_harness --kills=30 --backend=haiku --seed=0

Two kills in three come at random steps, the others at random moments of the start-up. After each of
them the newest state on disk must be whole and no more than one interval old; in the end the run
must be equal, bit for bit, to one that nobody disturbed. `test_kill.py` is its short form.
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from nerf.runs import metrics, parameters
from tests.support.command_line import TINY, start, write_scene

SAVE_EVERY = 20
STARTUP_SECONDS = 6.0


class Kill(NamedTuple):
    """One kill: the last step seen before, and the newest state on disk after."""

    reached: int
    saved: int


class Report(NamedTuple):
    """All kills, and the checksums of the disturbed and the undisturbed run."""

    kills: list[Kill]
    disturbed: int
    undisturbed: int
    steps: list[int]  # of the readings
    output: str

    @property
    def most_lost(self):
        return max(kill.reached - kill.saved for kill in self.kills)


def _flags(scene, run_dir, backend, num_steps):
    return (
        "--mode=train",
        f"--backend={backend}",
        f"--scene={scene}",
        f"--run_dir={run_dir}",
        f"--steps={num_steps}",
        f"--save_every={SAVE_EVERY}",
        f"--eval_every={2 * SAVE_EVERY + 1}",
        "--video_frames=0",
        *TINY,
    )


def _last_step(run_dir):
    """The last step that the metrics tell of; a process may be writing them."""
    try:
        line = (run_dir / metrics.METRICS_FILE).read_bytes().split(b"\n")[-2]
        return json.loads(line)["step"]
    except (OSError, IndexError, ValueError):
        return 0


def _saved_step(run_dir):
    steps = [int(path.name) for path in run_dir.glob("checkpoints/*") if path.name.isdigit()]
    return max(steps, default=0)


def _finish(process):
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return out


def _wait_for_step(process, run_dir, step):
    """Returns when a run is `step` steps on; whether it still runs."""
    while _last_step(run_dir) < step:
        if process.poll() is not None:
            return False
        time.sleep(0.001)
    return True


def disturb(folder, backend, num_kills, num_steps, seed):
    """Trains twice, once undisturbed, and reports."""
    chance = random.Random(seed)
    scene = write_scene(folder / "meadow")
    calm = folder / "calm"
    _finish(start(*_flags(scene, calm, backend, num_steps), cwd=folder))
    run_dir = folder / "disturbed"
    flags = _flags(scene, run_dir, backend, num_steps)
    in_steps = [n for n in range(num_kills) if n % 3]
    targets = sorted(chance.randrange(1, num_steps) for _ in in_steps)
    kills, output = [], ""
    for number in range(num_kills):
        process = start(*flags, cwd=folder, writes_cache=False)
        if number in in_steps:
            assert _wait_for_step(process, run_dir, targets[in_steps.index(number)]), "it ended"
            time.sleep(chance.random() * 0.05)
        else:
            time.sleep(chance.random() * STARTUP_SECONDS)
        process.kill()
        out, err = process.communicate()
        output += out + err
        kills.append(Kill(_last_step(run_dir), _saved_step(run_dir)))
        print(
            f"kill {number + 1}: at step {kills[-1].reached}, saved {kills[-1].saved}", flush=True
        )
    output += _finish(start(*flags, cwd=folder))
    readings = [line["step"] for line in metrics.read(run_dir) if "loss" in line]
    return Report(kills, _checksum(run_dir, backend), _checksum(calm, backend), readings, output)


def _checksum(run_dir, backend):
    return parameters.checksum(parameters.load(run_dir, backend).params)


def verify(report, num_steps):
    """Raises AssertionError unless every promise was kept."""
    assert report.most_lost <= SAVE_EVERY
    assert "damaged" not in report.output
    assert "Traceback" not in report.output
    assert report.steps == sorted(set(report.steps))
    assert report.steps[-1] == num_steps
    assert report.disturbed == report.undisturbed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--backend", default="flax")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = disturb(Path(folder), args.backend, args.kills, args.steps, args.seed)
    verify(report, args.steps)
    print(
        f"{len(report.kills)} kills over {args.steps} steps, seed {args.seed}, {args.backend}: at "
        f"most {report.most_lost} steps lost of {SAVE_EVERY} promised, every state was whole, and "
        f"the parameters equal those of an undisturbed run (checksum {report.disturbed:08x})"
    )


if __name__ == "__main__":
    main()
