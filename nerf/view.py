"""Shows a trained field in the browser: fly through it, compare it with its photographs.

python -m nerf.view RUN
python -m nerf.view RUN --scene=FOLDER
python -m nerf.view RUN --host=0.0.0.0 --port=9000

RUN is a run folder, as training leaves it. The page is at http://127.0.0.1:8080, which only this
machine can open, until Ctrl-C. Photographs are shown where the scene is found again: those of the
bundled scenes always, others from the folder that --scene names. Camera paths and videos go into
the folder viewer of the run folder, or into --out. Needs viser:
pip install 'nerf-haiku-flax[viewer]'.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags

from nerf.cli import flags as cli_flags
from nerf.cli.commands import run_command
from nerf.cli.console import Console
from nerf.cli.exits import exit_on_error
from nerf.cli.flags import FLAGS
from nerf.cli.modes import SCENE, parser_of
from nerf.cli.run import load_scene_of_flags
from nerf.errors import UserError, listed
from nerf.jobs.load import load_run
from nerf.jobs.trained_field import TrainedField
from nerf.runs import run_folder
from nerf.runtime import compile_cache, devices, parallel
from nerf.runtime.cache_dir import with_home
from nerf.runtime.interrupts import Interrupted, interrupt_at_once, wait_for_interrupt
from nerf.scenes import bundled
from nerf.scenes.names import check_name
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene
from nerf.viewer.server import FOLDER, Viewer, check_viser

flags.adopt_module_key_flags(cli_flags)


def main(argv: Sequence[str]) -> None:
    """Shows a run until Ctrl-C; a user's mistake ends with one sentence and status 1."""
    console = Console()
    with exit_on_error(), interrupt_at_once():
        if len(argv) != 2 or not argv[1]:
            raise UserError("give one run folder: python -m nerf.view RUN (--help lists the flags)")
        check_viser()
        parallel.use_all_cores()
        devices.check_platforms()
        unwritable = compile_cache.enable() if FLAGS.compile_cache else None
        if unwritable is not None:
            console.print(f"note: {unwritable}")
        _show(with_home(argv[1]), console)


def _show(run: Path, console: Console) -> None:
    _check_run(run)
    if not FLAGS["scene"].using_default_value:
        check_name(FLAGS.scene, FLAGS.data_dir)
    trained = load_run(run)
    trained.needed_space()
    folder = Path(FLAGS.out) if FLAGS.out else run / FOLDER
    if folder.exists() and not folder.is_dir():
        raise UserError(f"`out={folder}` is a file: give a folder for camera paths and videos")
    viewer = Viewer(
        trained,
        _photographs(trained, console),
        host=FLAGS.host,
        port=FLAGS.port,
        folder=folder,
        say=lambda text: console.print(f"note: {text}"),
    )
    try:
        for note in viewer.notes:
            console.print(f"note: {note}")
        console.print(f"{run} is at {viewer.address} (Ctrl-C ends the page)")
        wait_for_interrupt()
    except Interrupted as interrupt:
        if not viewer.close():  # a thread compiles, which nothing stops
            os._exit(interrupt.status)
        raise


def _check_run(run: Path) -> None:
    """Raises a UserError, with what to give instead, unless a folder is a complete run folder."""
    if not run.is_dir():
        is_file = "is a file" if run.exists() else "does not exist"
        raise UserError(f"{run} {is_file}: give a run folder, as training leaves it, e.g. in runs/")
    config, scene = run / run_folder.CONFIG_FILE, run / run_folder.SCENE_FILE
    if not config.is_file():
        inside = sorted(path.parent.name for path in run.glob(f"*/{config.name}"))
        more = f"; its folders {listed(inside)} are: give one of them" if inside else ""
        raise UserError(f"{run} is no run folder: it has no {config.name}{more}")
    _check_json(config)
    run_folder.read_config(run)
    if not scene.is_file():
        raise UserError(
            f"{run} has no {scene.name}, which holds the cameras: training of version 0.1.0 did "
            "not write it, and such a run cannot be shown"
        )
    _check_json(scene)


def _check_json(file: Path) -> None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{file} is damaged ({error}): bring it back from a copy, or train the run anew"
        ) from error


def _photographs(trained: TrainedField, console: Console) -> Callable[[], Scene] | None:
    """What loads the images of the run's scene; None where they are not known."""
    record = trained.needed_scene()
    if FLAGS["scene"].using_default_value:
        if record.source != "procedural":
            unread = SCENE - {"data_dir", "offline"}
            if useless := sorted(name for name in unread if FLAGS[name].present):
                raise UserError(
                    f"{listed(f'--{name}' for name in useless)}: no file of the scene is read "
                    "without --scene=FOLDER; add it, or leave the rest out"
                )
            console.print(
                "note: no photographs are shown: --scene=FOLDER names the scene that the run was "
                "trained on"
            )
            return None
        FLAGS["scene"].value = bundled_scene(record)
    return lambda: load_scene_of_flags(console)


def bundled_scene(record: SceneRecord) -> str:
    """The name of a bundled scene at the size that a run was trained on."""
    parsed = bundled.parse_name(record.name)
    cameras = record.cameras
    return f"procedural:{parsed._replace(height=cameras.height, width=cameras.width)}"


def run() -> None:
    """The console script `nerf-view`."""
    run_command(main, __name__, __doc__, parser_of("nerf.view"))


if __name__ == "__main__":
    run()
