"""Feeds broken captures to the readers, and reports whatever is not one clear sentence.

python -m tools.fuzz_captures --num=100000 --seed=0

Small captures in every format are broken in one to three places. Bytes are flipped, cut, doubled,
or overwritten with counts, NaN and infinity. In JSON files values are replaced by values of other
types, in text files numbers by words. Files are removed, emptied, swapped, or replaced by links
that lead out of the capture. Each input depends on its number alone, so that any input can be made
again: `--first=N --num=1 --keep=FOLDER`.

A reader must return a scene or raise a UserError of one line. Anything else is a fault and is
reported with the input's number: another exception, a warning, more than 10 seconds, more than
512 MiB, or access to a file outside the capture and the cache. The exit status is 1 if there was a
fault.
"""

import argparse
import codecs
import json
import os
import re
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nerf.captures import survey
from nerf.captures.safe_files.reading import IMAGE_SUFFIXES
from nerf.errors import UserError
from nerf.runtime.devices import CGROUP_LIMITS
from nerf.scenes.describe import describe_scene
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tools.capture_seeds import Files, make_seeds

codecs.lookup("unicode_escape")  # a module that would else be opened while an input is read

MAX_SECONDS = 10
_MAX_WAIT = 10 * MAX_SECONDS  # of the clock
MAX_BYTES = 2**29
SECRET = b"nobody may read this"
T = TypeVar("T")
_WORDS = (
    *("", "nan", "-inf", "1e999", "0", "-1", "1e-320", str(2**63), str(-(2**70)), "9" * 5000),
    *("../../secret", "/etc/passwd", "a\0b", "x" * 3000, "\ud7ff", "[", "{}", "true", "OPENCV"),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1e308, -1e308, 1e-320, 2**31, 2**63, 2**100, 10**400),
    *(float("nan"), float("inf"), "", "images", "../secret.png", "/etc/passwd", "a\0b", "x" * 3000),
    *([], [[]], {}, [None], [[1, 2], [3]], {"a": {}}, "OPENCV_FISHEYE", [[0] * 4] * 4),
)


class Links(dict[str, str]):
    """Symbolic links of an input: the target by the name of the link."""


def break_files(rng: np.random.Generator, seed: Files) -> tuple[Files, Links]:
    """Breaks a capture's files in one to three places."""
    files, links = dict(seed), Links()
    for _ in range(rng.integers(1, 4)):
        name = _pick(rng, _weighed(files))
        _break_one(rng, files, links, name)
    return files, links


def _weighed(files: Files) -> list[str]:
    """Names of files; those that are not images appear four times."""
    return [n for n in files for _ in range(1 if n.endswith(IMAGE_SUFFIXES) else 4)] or [""]


def _pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    return items[int(rng.integers(len(items)))]


def _break_one(rng: np.random.Generator, files: Files, links: Links, name: str) -> None:
    content = files.get(name, b"")
    kind = int(rng.integers(12))
    if name.endswith(".json") and rng.random() < 0.7:
        files[name] = _break_json(rng, content)
    elif name.endswith((".txt", ".csv", ".xml", ".xmp")) and rng.random() < 0.6:
        files[name] = _break_text(rng, content)
    elif kind < 3:
        files[name] = _flip_bits(rng, content)
    elif kind == 3:
        files[name] = content[: int(rng.integers(len(content) + 1))]
    elif kind < 7:
        files[name] = _overwrite(rng, content)
    elif kind == 7:
        start, end = sorted(int(x) for x in rng.integers(len(content) + 1, size=2))
        files[name] = content[:end] + content[start:]
    elif kind == 8:
        files.pop(name, None)
        if rng.random() < 0.5:
            links[name] = _pick(rng, ("../secret", "/etc/passwd", ".", name, "images"))
    elif kind == 9:
        files[name] = files.get(_pick(rng, list(files) or [name]), b"")
    elif kind == 10:
        files[name] = rng.bytes(int(rng.integers(64)))
    else:
        files[f"{name}/inside"] = files.pop(name, b"")


def _flip_bits(rng: np.random.Generator, content: bytes) -> bytes:
    if not content:
        return content
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _overwrite(rng: np.random.Generator, content: bytes) -> bytes:
    """Overwrites a few bytes with a number as headers and tables contain, often near the start."""
    number = _pick(rng, (0, 1, 2**16, 2**31 - 1, 2**32 - 1, 2**40, 2**63, 2**64 - 1))
    value = _pick(rng, (float("nan"), float("inf"), -1.0, 0.0, 1e300, 1e-300))
    replacement = _pick(
        rng,
        (
            struct.pack("<Q", number),
            struct.pack("<I", number & 0xFFFFFFFF),
            struct.pack(">I", number & 0xFFFFFFFF),
            struct.pack("<d", value),
            str(number).encode(),
        ),
    )
    limit = len(content) if rng.random() < 0.5 else min(len(content), 160)
    at = int(rng.integers(limit + 1))
    return content[:at] + replacement + content[at + len(replacement) :]


def _break_text(rng: np.random.Generator, content: bytes) -> bytes:
    """Replaces a word; what separates words stays."""
    words = re.split(r"([\s,<>=\"]+)", content.decode("utf-8", "replace"))
    words[2 * int(rng.integers((len(words) + 1) // 2))] = _pick(rng, _WORDS)
    return "".join(words).encode("utf-8", "replace")


def _break_json(rng: np.random.Generator, content: bytes) -> bytes:
    """Replaces or removes values at any depth; rarely, nests lists very deeply."""
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return content
    if rng.random() < 0.02:
        return b"[" * 200_000
    places: list[tuple[Any, Any]] = []

    def collect(node: Any) -> None:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        for key in keys:
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                collect(node[key])

    if isinstance(tree, (dict, list)):
        collect(tree)
    for _ in range(int(rng.integers(1, 4))):
        if not places:
            break
        node, key = _pick(rng, places)
        try:
            if rng.random() < 0.2:
                del node[key]
            else:
                node[key] = _pick(rng, _VALUES)
        except (KeyError, IndexError):
            continue
    try:
        return json.dumps(tree).encode("utf-8", "surrogatepass")
    except ValueError:  # a number too long to be written
        return content


def write(folder: Path, files: Files, links: Links) -> None:
    """Writes an input; files whose names the system refuses are left out."""
    for name, content in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except (OSError, ValueError):
            continue
    for name, target in links.items():
        try:
            (folder / name).symlink_to(target)
        except (OSError, ValueError):
            continue


class _Guard:
    """Records files that are opened outside the allowed folders."""

    def __init__(self, allowed: list[Path]):
        self._allowed = tuple(os.path.realpath(path) for path in allowed)
        self.is_on = False
        self.opened: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on or event not in ("open", "os.listdir", "os.scandir", "os.remove"):
            return
        path = arguments[0]
        if isinstance(path, (str, bytes, os.PathLike)):
            real = os.path.realpath(os.fsdecode(path))
            if not real.startswith(self._allowed):
                self.opened.append(real)


def try_one(folder: Path, cache: Path, guard: _Guard) -> str:
    """The outcome of an input: "scene", "refused" or "FAULT: ..."."""

    def stop(*_: Any) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.signal(signal.SIGPROF, stop)
    signal.alarm(_MAX_WAIT)
    signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)  # of this process, on a busy machine too
    guard.opened.clear()
    guard.is_on = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # users must not see warnings either
            loaded = load_folder(folder, CaptureOptions(max_size=0), cache_dir=cache)
            for _ in (*survey.describe_capture(loaded.capture), *describe_scene(loaded.scene, 2)):
                pass
        arrays = (
            *loaded.scene.images,
            loaded.scene.cameras.camtoworlds,
            loaded.scene.cameras.bounds,
        )
        outcome = "scene"
        if not all(np.isfinite(array).all() for array in arrays):
            outcome = "FAULT: a scene with NaN or infinity"
    except UserError as error:
        outcome = "refused"
        if "\n" in str(error) or not str(error) or "MemoryError" in str(error):
            outcome = f"FAULT: not one clear sentence: {str(error)[:300]!r}"
        elif SECRET.decode() in str(error):
            outcome = "FAULT: the message reveals a secret"
    except TimeoutError:
        outcome = f"FAULT: more than {MAX_SECONDS} s"
    except BaseException as error:  # any other exception is a fault
        guard.is_on = False
        where = traceback.extract_tb(error.__traceback__)[-1]
        outcome = f"FAULT: {type(error).__name__}: {str(error)[:200]} ({where.name}:{where.lineno})"
    finally:
        guard.is_on = False
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
    if guard.opened:
        outcome = f"FAULT: opened {guard.opened[0]}"
    return outcome


def run(first: int, num: int, seed: int, keep: Path | None = None) -> Counter[str]:
    """Tries inputs and prints faults as they occur; returns the count of each outcome."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="nerf-fuzz-") as made:
        home = Path(made)
        seeds = make_seeds(home / "seeds")
        (home / "secret").write_bytes(SECRET)
        cache = home / "cache"
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.monotonic()
        inputs = home / "inputs"
        guard = watch(home, seeds)
        for number in range(first, first + num):
            rng = np.random.default_rng([seed, number])
            files, links = break_files(rng, _pick(rng, seeds))
            folder = inputs / "scene"
            folder.mkdir(parents=True)
            write(folder, files, links)
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                write(keep, files, links)
            outcome = try_one(folder, cache, guard)
            found[outcome] += 1
            if outcome.startswith("FAULT") and found[outcome] <= 3:
                print(f"input {number} of seed {seed}: {outcome}", flush=True)
            remove(folder)
            if (number - first + 1) % 10_000 == 0:
                rate = (number - first + 1) / (time.monotonic() - start)
                print(f"{number - first + 1:,} inputs, {rate:.0f} a second", flush=True)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        if grown > MAX_BYTES:
            found["FAULT: memory"] += 1
            print(f"memory grew by {grown / 2**20:.0f} MiB")
    return found


def watch(home: Path, seeds: list[Files]) -> "_Guard":
    """A guard that allows the folders `inputs` and `cache`, Python's files and this project's."""
    for number, files in enumerate(seeds):  # so that what JAX reads on first use is not a fault
        write(home / "whole" / str(number), files, Links())
        load_folder(
            home / "whole" / str(number), CaptureOptions(max_size=0), cache_dir=home / "cache"
        )
    prefixes = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[1]]
    limits = map(Path, CGROUP_LIMITS)  # of the machine's memory, which no input names
    return _Guard([home / "inputs", home / "cache", *prefixes, *limits])


def remove(folder: Path) -> None:
    """Removes a folder without following links."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    folder.rmdir()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--num", type=int, default=1000, help="number of inputs")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="also write the input to this folder")
    options = parser.parse_args()
    found = run(options.first, options.num, options.seed, options.keep)
    for outcome, count in found.most_common():
        print(f"{count:>8,}  {outcome}")
    sys.exit(any(outcome.startswith("FAULT") for outcome in found))


if __name__ == "__main__":
    main()
