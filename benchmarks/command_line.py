"""What the benchmarks' command lines share: flags that are checked, one sentence for a mistake."""

import datetime
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from absl import flags

from benchmarks import machine, report
from nerf import field as field_lib
from nerf.cli.messages import as_flags
from nerf.config.settings import PRECISIONS
from nerf.errors import UserError
from nerf.runs import run_folder
from nerf.runtime import parallel

RESULTS = Path(__file__).parent / "results"
Ranges = Mapping[str, tuple[float, float]]


class Benchmark(NamedTuple):
    """What tells one benchmark from another, once it has measured.

    Attributes:
      name: in its results.
      cases: what its cases are called in its results.
      table: prints one case.
      seconds: of a result, by a name of what was measured; what `--against` compares.
      write_chart: draws a result.
    """

    name: str
    cases: str
    table: Callable[[dict[str, Any]], str]
    seconds: Callable[[dict[str, Any]], dict[str, float]]
    write_chart: Callable[[Path, dict[str, Any]], None]


Measurements = Iterable[dict[str, Any]]


def new_flags() -> flags.FlagValues:
    """Flags that every benchmark has; its own, so that `nerf.main` can be imported beside it."""
    defined = flags.FlagValues()  # type: ignore[no-untyped-call]
    flags.DEFINE_list(
        "precision", ["float32"], "of matrix products: float32, tf32, bfloat16", flag_values=defined
    )
    flags.DEFINE_integer(
        "rays_per_microbatch",
        None,
        "at most so many rays go through at once (a device's own choice)",
        flag_values=defined,
    )
    flags.DEFINE_multi_string(
        "set",
        [],
        "one setting by its dotted name, e.g. --set=field.width=32",
        flag_values=defined,
    )
    flags.DEFINE_string(
        "out", None, "the JSON file (benchmarks/results/...DEVICE-DATE.json)", flag_values=defined
    )
    flags.DEFINE_string("chart", None, "a PNG file for a chart of the result", flag_values=defined)
    flags.DEFINE_string(
        "against", None, "an earlier JSON file: ratios to it are printed", flag_values=defined
    )
    flags.DEFINE_bool("help", False, "show this", short_name="h", flag_values=defined)
    return defined


def define_product(defined: flags.FlagValues) -> None:
    """The flag of benchmarks that measure the ceiling."""
    flags.DEFINE_integer(
        "product", 4096, "rows of the ceiling's square matrices", flag_values=defined
    )


def main(
    argv: Sequence[str],
    defined: flags.FlagValues,
    doc: str,
    benchmark: Benchmark,
    prepare: Callable[[], tuple[dict[str, Any], Callable[[], Measurements]]],
    *,
    prefix: str = "",
) -> None:
    """Runs a benchmark; a user's mistake ends with one sentence and status 1.

    Every case is printed and the file is written as soon as the case is known.

    Args:
      argv: the command line.
      defined: the benchmark's flags.
      doc: its help.
      benchmark: what it is.
      prepare: checks the flags, before JAX is used, and returns the settings, for the record, and
        what measures one case after the other.
      prefix: of the file's name, where none is given.
    """
    try:
        _parse(argv, defined)
        if defined.help:
            print(f"{doc}\n{defined.get_help()}")
            return
        settings, measure = prepare()
        earlier = _read_earlier(defined, benchmark.name)
        parallel.use_all_cores()
        date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        name = prefix + machine.file_name(run_folder.device_name(), date[:10])
        out = Path(defined.out) if defined.out else RESULTS / name
        _check_writable(out, "out")
        if defined.chart:
            _check_writable(Path(defined.chart), "chart")
        result: dict[str, Any] = {
            "benchmark": benchmark.name,
            "date": date,
            **machine.describe(),
            "settings": settings,
            benchmark.cases: [],
        }
        print(report.header(result), flush=True)
        for case in measure():
            result[benchmark.cases].append(case)
            print("\n" + benchmark.table(case), flush=True)
            run_folder.write_json(out, result)
        print(f"\nwritten to {out}")
        if earlier is not None:
            print(report.against(result, earlier, benchmark.seconds))
        if defined.chart:
            benchmark.write_chart(Path(defined.chart), result)
            print(f"chart: {defined.chart}")
    except UserError as error:
        _fail(as_flags(str(error), defined))
    except KeyboardInterrupt:
        _fail("stopped", status=130)
    except OSError as error:
        _fail(f"{error.filename or 'a file'} cannot be read or written: {error.strerror}")
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        _fail("out of memory: try fewer --rays or --rays_per_microbatch; earlier cases are saved")


def check_ranges(defined: flags.FlagValues, ranges: Ranges) -> None:
    """Raises a UserError unless each flag that is given lies in its range."""
    for name, (smallest, largest) in ranges.items():
        value = defined[name].value
        if value is not None and not smallest <= value <= largest:
            raise UserError(f"--{name} must be from {smallest} to {largest}, not {value}")


def entries(defined: flags.FlagValues, name: str) -> tuple[str, ...]:
    """The different entries of a list flag, in the order in which they are given."""
    values = tuple(dict.fromkeys(entry.strip() for entry in defined[name].value or ()))
    if not all(values) or not values:
        raise UserError(f"--{name} needs one value, or several with commas in between")
    return values


def precisions(defined: flags.FlagValues) -> tuple[str, ...]:
    """The entries of --precision, checked."""
    names = entries(defined, "precision")
    for name in names:
        if name not in PRECISIONS:
            raise UserError(f"unknown precision {name!r}: choose one of {', '.join(PRECISIONS)}")
    return names


def backends(defined: flags.FlagValues) -> tuple[str, ...]:
    """The entries of --backend, checked to have --field; by default all that have it.

    Raises:
      UserError: if one does not have it, or none has.
    """
    if defined.backend is not None:
        names = entries(defined, "backend")
    else:
        known = field_lib.backends()
        names = tuple(name for name in known if field_lib.has(name, defined.field)) or known
    for name in names:
        field_lib.check_names(name, defined.field)
    return names


def _read_earlier(defined: flags.FlagValues, benchmark: str) -> dict[str, Any] | None:
    """The result that --against names.

    Raises:
      UserError: if it is no result of this benchmark.
    """
    if not defined.against:
        return None
    path = Path(defined.against)
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"--against={path} is no result that can be read: {error}") from error
    if not isinstance(earlier, dict) or earlier.get("benchmark") != benchmark:
        raise UserError(f"--against={path} is no result of {benchmark}: name a file it has written")
    return earlier


def _parse(argv: Sequence[str], defined: flags.FlagValues) -> None:
    try:
        rest = defined(argv)
    except flags.Error as error:
        raise UserError(f"{' '.join(str(error).split())} (--help lists the flags)") from error
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}: everything is a --flag=value")


def _check_writable(path: Path, flag: str) -> None:
    """Finds out before the measurement whether its result can be kept."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = path.with_name(f".{path.name}.probe")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): name another --{flag}"
        ) from error
    if path.is_dir():
        raise UserError(f"{path} is a folder: --{flag} names a file")


def _fail(sentence: str, status: int = 1) -> None:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(status)
