"""Compares runs: settings, time and scores in a table, and their views on a page.

python -m nerf.compare RUN RUN ...
python -m nerf.compare runs/* --sort=psnr --csv=runs.csv --json=runs.json
python -m nerf.compare RUN RUN --out=compare.html

The folders are not changed. An unfinished run is listed as such. Where a file of a run is damaged,
the status is 1, and what is known is shown and written all the same.
"""

from collections.abc import Sequence

from absl import flags

from nerf.cli.commands import run_command
from nerf.cli.console import Console
from nerf.cli.exits import exit_on_error, fail
from nerf.cli.flags import FLAGS
from nerf.cli.modes import parser_of
from nerf.cli.path_flags import define_path
from nerf.errors import UserError
from nerf.jobs.compare import SORT_KEYS, compare_runs
from nerf.runtime.cache_dir import with_home

_HELP = {"out": "also write a page with the table and the views here, a .html file"}

define_path("csv", None, "also write the table here, as CSV")
define_path("json", None, "also write the table here, as JSON")
flags.DEFINE_enum("sort", None, SORT_KEYS, "the best run first (default: in the order given)")
flags.declare_key_flag("out")


def main(argv: Sequence[str]) -> None:
    """Prints the table, and writes what is asked for; a mistake ends with one sentence."""
    with exit_on_error():
        _run(argv)


def _run(argv: Sequence[str]) -> None:
    if len(argv) < 2:
        raise UserError(
            "give two run folders or more: python -m nerf.compare RUN RUN (--help lists the flags)"
        )
    if FLAGS.out is not None and not FLAGS.out.lower().endswith((".html", ".htm")):
        raise UserError(f"--out={FLAGS.out} must end with .html: it is one page for a browser")
    console = Console()
    found = compare_runs([with_home(folder) for folder in argv[1:]])
    if FLAGS.sort is not None:
        found = found.sorted_by(FLAGS.sort)
    console.print(found.table())
    for note in found.notes:
        console.print(f"note: {note}")
    found.write(csv=FLAGS.csv, json=FLAGS.json, page=FLAGS.out)
    for name in ("csv", "json", "out"):
        if FLAGS[name].value is not None:
            console.print(f"written: {FLAGS[name].value}")
    if found.faults:
        fail("; ".join(found.faults))


def run() -> None:
    """The console script `nerf-compare`."""
    run_command(main, __name__, __doc__, parser_of("nerf.compare"), _HELP)


if __name__ == "__main__":
    run()
