"""The command line that all benchmarks share: flags, errors, the file of results.

A benchmark makes its flags with `new_flags` and the `define_*` functions, describes itself in a
`Benchmark`, and hands both to `main`.
"""

import math
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from benchmarks import compare, list_flags, report, results
from nerf import field as field_lib
from nerf.cli.exits import exit_on_error
from nerf.config.settings import PRECISIONS
from nerf.errors import UserError
from nerf.runtime import devices, parallel
from nerf.runtime.interrupts import interrupt_at_once

MAX_RAYS = 2**24
MAX_READINGS = 1_000_000
OUT_OF_MEMORY = "try fewer --rays or --rays_per_microbatch; earlier cases are saved"
Measurements = Iterable[dict[str, Any]]


class Benchmark(NamedTuple):
    """What differs from benchmark to benchmark.

    Attributes:
      name: of its module and in its results.
      cases: the name of the list of cases in its results.
      table: one case as text.
      compare: compares a result with an earlier one, a line for each case that both have.
      file_prefix: of the default name of its files.
      write_chart: draws a result; None if there is no chart.
      heading: of a table that has a row for each case.
    """

    name: str
    cases: str
    table: Callable[[dict[str, Any]], str]
    compare: Callable[[dict[str, Any], dict[str, Any]], list[str]]
    file_prefix: str = ""
    write_chart: Callable[[Path, dict[str, Any]], None] | None = None
    heading: str = ""


def new_flags(
    *, chart: bool = True, out: str = "benchmarks/results/...DEVICE-DATE.json"
) -> flags.FlagValues:
    """The flags of every benchmark: `--out`, `--against`, `--chart`, `--help`.

    They are separate from absl's global ones, so that `nerf.main` can be imported too.

    Args:
      chart: whether the benchmark can draw a chart.
      out: the default of `--out`, for the help.
    """
    defined = flags.FlagValues()
    flags.DEFINE_string("out", None, f"the JSON file to write ({out})", flag_values=defined)
    against = "an earlier JSON file to compare with; files of older versions are read too"
    flags.DEFINE_string("against", None, against, flag_values=defined)
    if chart:
        flags.DEFINE_string("chart", None, "a PNG file to draw the result in", flag_values=defined)
    flags.DEFINE_bool("help", False, "show this help", short_name="h", flag_values=defined)
    return defined


def define_readings(defined: flags.FlagValues, default: int, old_name: str | None = None) -> None:
    """`--readings`, how often everything is timed; `old_name` is an older name of the flag."""
    flags.DEFINE_integer(
        "readings",
        default,
        "how often each contender is timed",
        lower_bound=1,
        upper_bound=MAX_READINGS,
        flag_values=defined,
    )
    if old_name is not None:
        flags.DEFINE_alias(old_name, "readings", flag_values=defined)


def define_window(defined: flags.FlagValues, default: float) -> None:
    """Defines how long a reading lasts."""
    flags.DEFINE_float(
        "window",
        default,
        "seconds that a reading lasts at least, so that it contains several short steps",
        lower_bound=0.0,
        upper_bound=3600.0,
        flag_values=defined,
    )
    require_finite(defined, "window")


def define_precision(defined: flags.FlagValues, *, several: bool) -> None:
    """`--precision` of matrix products: one, or several with commas in between."""
    text = "precision of matrix products"
    if several:
        list_flags.define_choices(defined, "precision", "float32", tuple(PRECISIONS), text)
    else:
        flags.DEFINE_enum("precision", "float32", list(PRECISIONS), text, flag_values=defined)


def define_settings(defined: flags.FlagValues) -> None:
    """`--set` and `--rays_per_microbatch`."""
    text = "one setting by its dotted name, e.g. --set=field.width=32; may be repeated"
    flags.DEFINE_multi_string("set", [], text, flag_values=defined)
    flags.DEFINE_integer(
        "rays_per_microbatch",
        None,
        "the most rays that are computed at once (chosen by device)",
        lower_bound=1,
        upper_bound=MAX_RAYS,
        flag_values=defined,
    )


def define_ceiling(defined: flags.FlagValues) -> None:
    """`--product`, for benchmarks that measure what the device can do at best."""
    flags.DEFINE_integer(
        "product",
        4096,
        "rows of the square matrices whose product is the ceiling",
        lower_bound=1,
        upper_bound=65536,
        flag_values=defined,
    )


def define_backends_and_field(defined: flags.FlagValues) -> None:
    """`--backend`, several, and `--field`, one."""
    list_flags.define_names(defined, "backend", None, "which backends (all that have the field)")
    flags.DEFINE_string("field", "mlp", "which field", flag_values=defined)


def define_backend(defined: flags.FlagValues) -> None:
    """`--backend`, one."""
    flags.DEFINE_string("backend", "flax", "which backend", flag_values=defined)


def require_finite(defined: flags.FlagValues, name: str) -> None:
    """Refuses NaN, which passes absl's bounds."""

    def is_finite(value: float | None) -> bool:
        return value is None or math.isfinite(value)

    flags.register_validator(name, is_finite, "must be finite", flag_values=defined)


def backends(defined: flags.FlagValues) -> tuple[str, ...]:
    """The backends that `--backend` names, by default all that have `--field`.

    Raises:
      UserError: if one does not have the field, or none has.
    """
    known = field_lib.backends()
    names: tuple[str, ...] = defined.backend or tuple(
        name for name in known if field_lib.has(name, defined.field)
    )
    for name in names or known:
        field_lib.check_names(name, defined.field)
    return names


def main(
    argv: Sequence[str],
    defined: flags.FlagValues,
    doc: str,
    benchmark: Benchmark,
    prepare: Callable[[], tuple[dict[str, Any], Callable[[], Measurements]]],
) -> None:
    """Runs a benchmark; a user's mistake ends with one sentence and status 1.

    Every case is printed, and the file is written anew, as soon as the case is measured.

    Args:
      argv: the command line.
      defined: the benchmark's flags.
      doc: its help.
      benchmark: what it is.
      prepare: checks the flags, before JAX is used. Returns the settings, for the file, and the
        function that measures one case after the other.
    """
    run(argv, defined, doc, lambda: _measure(defined, benchmark, prepare))


def run(
    argv: Sequence[str],
    defined: flags.FlagValues,
    doc: str,
    work: Callable[[], None],
    *,
    resume_command: str | None = None,
) -> None:
    """Reads the flags and calls `work`; a mistake of the user ends with one sentence and status 1.

    Args:
      argv: the command line.
      defined: the benchmark's flags.
      doc: its help, which `--help` shows instead.
      work: reports what it measures.
      resume_command: a benchmark that resumes says so after an interrupt: its name for Python's -m.
    """
    again = resume_command and shlex.join(["python", "-m", resume_command, *argv[1:]])
    with (
        exit_on_error(out_of_memory=OUT_OF_MEMORY, resume_command=again, defined=defined),
        interrupt_at_once(),
    ):
        _parse(argv, defined)
        if defined.help:
            print(f"{doc}\n{defined.get_help()}")
        else:
            try:
                work()
            except (RuntimeError, AssertionError):
                devices.check_platforms()  # which may explain it in a sentence
                raise


def _measure(
    defined: flags.FlagValues,
    benchmark: Benchmark,
    prepare: Callable[[], tuple[dict[str, Any], Callable[[], Measurements]]],
) -> None:
    """See `main`."""
    settings, measure = prepare()
    earlier = read_earlier(defined, benchmark.name)
    parallel.use_all_cores()
    result = results.new(benchmark.name, benchmark.cases, settings)
    default = results.default_path(benchmark.file_prefix, result)
    out = Path(defined.out) if defined.out else default
    results.check_writable(out, "out")
    chart = _chart(defined)
    print(report.header(result))
    gap = "\n"
    if benchmark.heading:
        print("\n" + benchmark.heading)
        gap = ""
    for case in measure():
        result[benchmark.cases].append(case)
        print(gap + benchmark.table(case), flush=True)
        results.write(out, result)
    print(f"\nresults: {out}")
    if earlier is not None:
        print(compare.against(earlier, benchmark.compare(result, earlier)))
    if chart is not None and benchmark.write_chart is not None:
        benchmark.write_chart(chart, result)
        print(f"chart: {chart}")


def read_earlier(defined: flags.FlagValues, benchmark: str) -> dict[str, Any] | None:
    """The result that `--against` names.

    Raises:
      UserError: if it is not a result of this benchmark.
    """
    if not defined.against:
        return None
    try:
        return results.read(Path(defined.against), benchmark)
    except UserError as error:
        raise UserError(f"--against: {error}") from error


def _chart(defined: flags.FlagValues) -> Path | None:
    path = Path(defined.chart) if "chart" in defined and defined.chart else None
    if path is not None:
        results.check_writable(path, "chart")
    return path


def _parse(argv: Sequence[str], defined: flags.FlagValues) -> None:
    try:
        rest = defined(argv)
    except flags.Error as error:
        raise UserError(f"{' '.join(str(error).split())} (--help lists the flags)") from error
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}: everything is a --flag=value")
