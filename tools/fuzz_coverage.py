"""Fuzzes the readers of captures, guided by code coverage (atheris, libFuzzer).

python -m tools.fuzz_coverage --seconds=120

An input replaces one file of a small capture; its first two bytes choose the capture and the file.
A fault is what `tools.fuzz_captures` calls a fault. atheris is not a dependency of the project,
because it cannot be installed everywhere: `pip install atheris`.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=int, default=60, help="how long to fuzz")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris")
    with atheris.instrument_imports(include=["nerf.captures", "nerf.scenes"]):
        from tools import capture_seeds
        from tools import fuzz_captures as fuzz
    home = Path(tempfile.mkdtemp(prefix="nerf-fuzz-"))
    seeds = capture_seeds.make_seeds(home / "seeds")
    corpus = home / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        for index, content in enumerate(sorted(seed)):
            (corpus / f"{number}-{index}").write_bytes(bytes([number, index]) + seed[content])
    guard = fuzz.watch(home, seeds)

    def try_input(data: bytes) -> None:
        if len(data) < 2:
            return
        seed = seeds[data[0] % len(seeds)]
        name = sorted(seed)[data[1] % len(seed)]
        folder = home / "inputs" / "scene"
        folder.mkdir(parents=True)
        fuzz.write(folder, {**seed, name: data[2:]}, fuzz.Links())
        outcome = fuzz.try_one(folder, home / "cache", guard)
        fuzz.remove(folder)
        if outcome.startswith("FAULT"):
            raise RuntimeError(f"{name}: {outcome}")

    arguments: list[Any] = [sys.argv[0], str(corpus), f"-max_total_time={options.seconds}"]
    arguments += [f"-seed={options.seed}", "-max_len=4096", f"-artifact_prefix={home}/"]
    atheris.Setup(arguments, try_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
