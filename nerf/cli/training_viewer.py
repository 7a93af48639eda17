"""`--viewer`: the page that shows a field while it is trained."""

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path

from nerf.cli.console import Console
from nerf.cli.flags import FLAGS
from nerf.cli.options import WatchFn
from nerf.jobs.trained_field import TrainedField
from nerf.scenes.scene import Scene

_LONGEST_COMPILATION = 60.0  # seconds


def check_viewer() -> None:
    """Raises a UserError if `--viewer` asks for a page and its package is missing."""
    if FLAGS.viewer:
        from nerf.viewer.server import check_viser  # see below

        check_viser()


@contextlib.contextmanager
def training_viewer(
    console: Console, scene: Scene, fresh: TrainedField, folder: Path
) -> Iterator[WatchFn]:
    """Serves the page within the block if `--viewer` asks for it.

    Args:
      console: says where the page is.
      scene: whose photographs are shown.
      fresh: the field before training.
      folder: the run folder.

    Yields:
      What training gives its parameters to, see `TrainOptions.watch`.

    Raises:
      UserError: see `nerf.viewer.server.Viewer`.
    """
    if not FLAGS.viewer:
        yield lambda params, step: None
        return
    from nerf.viewer.server import FOLDER, Viewer  # not needed, and maybe not installed, otherwise

    again = f"python -m nerf.view {shlex.quote(str(folder))}"
    viewer = Viewer(
        fresh,
        lambda: scene,
        host=FLAGS.host,
        port=FLAGS.port,
        folder=folder / FOLDER,
        in_training=True,
        at_end=f"**Training has ended**, and this page with it: `{again}` shows the field again.",
    )
    try:
        for note in viewer.notes:
            console.print(f"note: {note}")
        console.print(f"the field is at {viewer.address} while it is trained")
        yield viewer.watch
    finally:
        viewer.close(_LONGEST_COMPILATION)
        console.print(f"the page is closed; again: {again}")
