"""A data set by the protocol of its papers: every scene trained and scored, one table.

    python -m benchmarks.datasets --suite=llff --data=data/nerf_llff_data --train_seconds=900
    python -m benchmarks.datasets --suite=blender --data=data/nerf_synthetic --seeds=0,1,2
    python -m benchmarks.datasets --suite=FOLDER --steps=2000     # each subfolder is a capture

Each scene and seed is one training run from scratch, without previews, in a run folder beside the
results. Its seconds count from the start of training, compilation included, without reading the
images before and scoring after it. The table is written after each run, as JSON and as Markdown.
The same command resumes: what is complete is not run again. A scene that fails is a row with the
reason; the others go on, and the exit status is then 1.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

import nerf
from benchmarks import (
    command_line,
    compare,
    dataset_results,
    dataset_table,
    finished_run,
    list_flags,
    machine,
    report,
    results,
    suites,
)
from benchmarks.dataset_table import Run
from nerf import field as field_lib
from nerf.cli import exits
from nerf.cli.console import Console
from nerf.config import presets, text
from nerf.config.settings import compute_dtype
from nerf.errors import UserError, listed
from nerf.runtime import devices, parallel

NAME = "datasets"
_MAX_SEED = 2**31 - 1

FLAGS = command_line.new_flags(chart=False, out="runs/SUITE-BACKEND-FIELD.json")
command_line.define_precision(FLAGS, several=False)
command_line.define_settings(FLAGS)
command_line.define_backend(FLAGS)
flags.DEFINE_string(
    "suite", None, "llff, blender, or a folder whose subfolders are captures", flag_values=FLAGS
)
flags.DEFINE_string("data", None, "for llff and blender: the scenes' folder", flag_values=FLAGS)
list_flags.define_names(FLAGS, "scene", None, "which subfolders (all)")
flags.DEFINE_string("field", "planes", "which field", flag_values=FLAGS)
flags.DEFINE_string("preset", None, "which preset (the field's first)", flag_values=FLAGS)
list_flags.define_integers(
    FLAGS, "seeds", "0", "seeds of training; a run for each", low=0, high=_MAX_SEED
)
flags.DEFINE_integer(
    "steps",
    None,
    "training steps of a run (the preset's)",
    lower_bound=1,
    upper_bound=_MAX_SEED,
    flag_values=FLAGS,
)
flags.DEFINE_float(
    "train_seconds",
    None,
    "how long each run trains",
    lower_bound=0.001,
    upper_bound=1e7,
    flag_values=FLAGS,
)
command_line.require_finite(FLAGS, "train_seconds")


class Plan(NamedTuple):
    """What is measured.

    Attributes:
      suite: the protocol.
      folders: of the scenes.
      preset: the name of a preset.
      overrides: settings by dotted name, as text or as they are.
      settings: for the file of results; runs of one file have the same.
      seeds: see the flag's help.
      out: the JSON file of results; the Markdown file and the run folders have the same name.
    """

    suite: suites.Suite
    folders: tuple[Path, ...]
    preset: str
    overrides: dict[str, Any]
    settings: dict[str, Any]
    seeds: tuple[int, ...]
    out: Path

    def run_dir(self, scene: str, seed: int) -> Path:
        """The run folder of a scene and seed."""
        return self.out.with_suffix("") / f"{scene}-seed{seed}"


def main(argv: Sequence[str]) -> None:
    """Measures what the flags ask for."""
    command_line.run(argv, FLAGS, __doc__ or "", _measure, resume_command=f"benchmarks.{NAME}")


def make_plan() -> Plan:
    """What the flags ask for.

    Raises:
      UserError: for a name, a setting or a folder that does not exist.
    """
    field_lib.check_names(FLAGS.backend, FLAGS.field)
    preset = presets.preset_of(FLAGS.field, FLAGS.preset)
    text.override(preset, *FLAGS.set)
    given = {
        name.strip(): value for name, value in (assigned.split("=", 1) for assigned in FLAGS.set)
    }
    suite, data = _suite_and_data()
    for name, value in suite.overrides.items():
        if name in given:
            raise UserError(
                f"--suite={FLAGS.suite} means {name}={value}: leave out --set={name}, or name the "
                f"folder as the suite, --suite={data}"
            )
    names = ("suite", "backend", "field", "precision", "steps", "train_seconds")
    settings = {name: FLAGS[name].value for name in (*names, "rays_per_microbatch")}
    default = f"runs/{suite_name(FLAGS.suite)}-{FLAGS.backend}-{FLAGS.field}.json"
    out = Path(FLAGS.out or default)
    if out.suffix != ".json":
        raise UserError(f"--out={out}: name a .json file")
    return Plan(
        suite,
        suites.scene_folders(data, FLAGS.scene),
        preset.preset,
        {"field.compute_dtype": compute_dtype(FLAGS.precision), **suite.overrides, **given},
        {**settings, "preset": preset.preset, "set": list(FLAGS.set)},
        FLAGS.seeds,
        out,
    )


def suite_name(suite: str) -> str:
    """A suite's name for a file: that of its folder.

    >>> suite_name("llff"), suite_name("data/captures/")
    ('llff', 'captures')
    """
    return suite if suite in suites.SUITES else Path(suite).resolve().name


def _suite_and_data() -> tuple[suites.Suite, Path]:
    """The protocol, and the folder of the scenes."""
    known = ", ".join(suites.SUITES)
    if not FLAGS.suite:
        raise UserError(f"--suite is missing: name one of {known}, or a folder of captures")
    suite = suites.SUITES.get(FLAGS.suite)
    if suite is None:
        if FLAGS.data:
            raise UserError(f"--data is for the suites {known}; --suite={FLAGS.suite} is a folder")
        return suites.FOLDER, Path(FLAGS.suite)
    if not FLAGS.data:
        raise UserError(f"--suite={FLAGS.suite} needs --data, the folder that holds its scenes")
    return suite, Path(FLAGS.data)


def _measure() -> None:
    """Measures every scene and seed that the file of results lacks."""
    plan = make_plan()
    against = command_line.read_earlier(FLAGS, NAME)
    parallel.use_all_cores()
    results.check_writable(plan.out, "out")
    with dataset_results.locked(plan.out):
        table = dataset_results.Table(NAME, plan.out, plan.suite, plan.settings)
        print(report.header(table.result))
        console = Console(defined=FLAGS)
        for note in devices.notes():
            console.print(f"note: {note}")
        work = _Work(plan, table, console)
        for number, folder in enumerate(plan.folders, 1):
            console.print(f"\nscene {number} of {len(plan.folders)}: {folder.name}")
            work.scene(folder)
    print(f"\n{table.markdown}\nresults: {plan.out}")
    if against is not None:
        print(compare.against(against, compare.datasets(table.result, against)))
    if failed := dataset_table.failures(table.runs):
        raise UserError(f"not everything could be measured, see the table: {listed(failed)} failed")


class _Work(NamedTuple):
    """What the measurement of a scene needs.

    Attributes:
      plan: what is measured.
      table: receives the runs.
      console: receives what the library reports.
    """

    plan: Plan
    table: dataset_results.Table
    console: Console

    def scene(self, folder: Path) -> None:
        """Measures one scene with every seed that is not scored yet."""
        before = {seed: self.table.find(folder.name, seed) for seed in self.plan.seeds}
        pending = [seed for seed, run in before.items() if not run or run["state"] != "scored"]
        if not pending:
            self.console.print("complete")
            return
        with self._failures(folder.name, None):
            scene = self.plan.suite.load(folder, self.console)
            config = nerf.fit_config(self.plan.preset, scene, **self.plan.overrides)
            for seed in pending:
                with self._failures(folder.name, seed):
                    self._run(scene, config, folder.name, seed, before[seed])

    def _run(
        self, scene: nerf.Scene, config: nerf.Config, name: str, seed: int, before: Run | None
    ) -> None:
        """Trains, unless that is done, and scores."""
        run_dir = self.plan.run_dir(name, seed)
        self.console.print(f"{name} (seed {seed}), in {run_dir}")
        run: Run = {"scene": name, "seed": seed}
        if before is not None and before["state"] == "trained":
            trained = nerf.load_run(run_dir, backend=FLAGS.backend)
        else:
            trained = self._train(scene, config, seed, run_dir)
            self.table.put({**run, "state": "trained"})
        nerf.evaluate(trained, scene, folder=run_dir, callback=self.console)
        run |= finished_run.read(run_dir, FLAGS.backend) | run
        run |= {"state": "scored", "date": results.now(), "machine": machine.describe()}
        self.table.put(run)
        self.console.print(dataset_table.line(run))

    def _train(
        self, scene: nerf.Scene, config: nerf.Config, seed: int, run_dir: Path
    ) -> nerf.TrainedField:
        return nerf.train(
            scene,
            config,
            backend=FLAGS.backend,
            steps=FLAGS.steps,
            seconds=FLAGS.train_seconds,
            seed=seed,
            run_dir=run_dir,
            callback=self.console,
            options=nerf.TrainOptions(
                eval_every=0,
                precision=FLAGS.precision,
                rays_per_microbatch=FLAGS.rays_per_microbatch,
            ),
        )

    @contextlib.contextmanager
    def _failures(self, scene: str, seed: int | None) -> Iterator[None]:
        """Turns an error that a user can understand into a row of the table."""
        try:
            yield
        except Exception as error:
            advice = command_line.OUT_OF_MEMORY
            sentence = exits.error_message(error, out_of_memory=advice, defined=FLAGS)
            if sentence is None:
                raise
            run = {"scene": scene, "seed": seed, "state": "failed", "error": sentence}
            self.console.print(dataset_table.line(run))
            self.table.put(run)


if __name__ == "__main__":
    main(sys.argv)
