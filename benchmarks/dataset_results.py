"""The results of a suite on disk: read to resume, written anew after each run."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import dataset_table, results
from benchmarks.dataset_table import Run
from benchmarks.suites import Suite
from nerf.errors import UserError
from nerf.runs import run_folder
from nerf.runtime import atomic


class Table:
    """The runs so far, in a JSON and a Markdown file, which are written again after each run.

    Args:
      benchmark: its name.
      out: the JSON file; runs that are in it are kept.
      suite: the protocol.
      settings: of all its runs.

    Raises:
      UserError: if the file holds no results of this benchmark, or those of other settings.
    """

    def __init__(self, benchmark: str, out: Path, suite: Suite, settings: dict[str, Any]):
        earlier = _earlier_runs(benchmark, out, settings)
        self._out, self._suite = out, suite
        self._result = {**results.new(benchmark, "runs", settings), "runs": earlier}
        self._write()

    @property
    def runs(self) -> list[Run]:
        """See `benchmarks.dataset_table`."""
        return list(self._result["runs"])

    @property
    def result(self) -> dict[str, Any]:
        """What the JSON file holds."""
        return self._result | dataset_table.summary(self.runs)

    @property
    def markdown(self) -> str:
        """What the Markdown file holds."""
        return dataset_table.markdown(self.result, self._suite)

    def find(self, scene: str, seed: int) -> Run | None:
        """The run of a scene and seed, if there is one."""
        return dataset_table.find(self.runs, scene, seed)

    def put(self, run: Run) -> None:
        """Adds a run, in place of an earlier one of the same scene and seed."""
        self._result["runs"] = dataset_table.with_run(self.runs, run)
        self._write()

    def _write(self) -> None:
        results.write(self._out, self.result)
        atomic.write_text(self._out.with_suffix(".md"), self.markdown)


def _earlier_runs(benchmark: str, out: Path, settings: Mapping[str, Any]) -> list[Run]:
    """The runs in the file; see `Table` for what is refused."""
    if not out.exists():
        return []
    earlier = results.read(out, benchmark)
    before = earlier["settings"]
    different = [
        f"{name} was {before.get(name)!r} and is now {value!r}"
        for name, value in settings.items()
        if before.get(name) != value
    ]
    if different:
        raise UserError(
            f"{out} holds results of other settings: {', '.join(different)}; give the same to "
            "resume, or name another file with --out"
        )
    runs: list[Run] = earlier["runs"]
    return runs


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keeps other processes from a file of results and from its run folders.

    Raises:
      UserError: if another process is writing them.
    """
    folder = out.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(run_folder.locked(folder))
        except UserError as error:
            raise UserError(
                f"another process is writing {out}: wait for it, or name another file with --out"
            ) from error
        yield
