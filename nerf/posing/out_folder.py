"""The folder that poses are written into: it is new, empty, or an earlier result of the same kind.

images/       copies of the images, or frames of the video
sparse/0/     COLMAP's model
poses.json    what was found
work/         features and matches of a run that has not ended; the next run continues there
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nerf.errors import UserError
from nerf.runtime import atomic

IMAGES, SPARSE, RESULT, WORK = "images", "sparse", "poses.json", "work"
_SETTINGS, _RECORDED_IMAGES = "settings.json", "images.json"
_OURS = {IMAGES, SPARSE, RESULT, WORK}


class OutFolder(NamedTuple):
    """The folder and its parts.

    Attributes:
      path: the folder.
    """

    path: Path

    @property
    def images(self) -> Path:
        return self.path / IMAGES

    @property
    def work(self) -> Path:
        return self.path / WORK

    @property
    def model(self) -> Path:
        return self.path / SPARSE / "0"

    def recorded_images(self) -> dict[str, Any] | None:
        """The images that an interrupted run recorded; None if it stopped before that."""
        return _read(self.work / _RECORDED_IMAGES)

    def record_images(self, values: Mapping[str, Any]) -> None:
        """Records that all images are in `images`."""
        atomic.write_text(self.work / _RECORDED_IMAGES, json.dumps(values))


def open_out(
    path: Path, source: Path, settings: Mapping[str, Any], *, overwrite: bool
) -> OutFolder:
    """Makes the folder ready.

    Args:
      path: the folder.
      source: a folder of images, or a video.
      settings: those that features and matches depend on. An interrupted run with the same
        settings continues; one with others starts anew.
      overwrite: whether a finished result is replaced.

    Raises:
      UserError: if the folder is in `source`, or holds something else or a finished result.
    """
    inner, outer = path.resolve(), source.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise UserError(
            f"the results would go into {path}, and the images are in {source}: give `out`, a "
            "folder outside of it"
        )
    out = OutFolder(path)
    try:
        found = {item.name for item in path.iterdir()} if path.exists() else set()
    except OSError as error:
        raise UserError(f"{path} cannot be used as a folder: {error.strerror or error}") from error
    if found:
        is_ours = (path / RESULT).is_file() or _read(out.work / _SETTINGS) is not None
        if not is_ours or found - _OURS:
            others = sorted(found - _OURS) or sorted(found)
            raise UserError(
                f"{path} holds other files ({', '.join(others[:3])}): give another `out`, which "
                "is new or empty"
            )
        if (path / RESULT).is_file() and not overwrite:
            raise UserError(
                f"{path} already holds poses, ready to train on: give another `out`, or "
                "`overwrite=True` to replace them"
            )
        if (path / RESULT).is_file() or _read(out.work / _SETTINGS) != dict(settings):
            clear(path)
    out.images.mkdir(parents=True, exist_ok=True)
    out.work.mkdir(exist_ok=True)
    atomic.write_text(out.work / _SETTINGS, json.dumps(dict(settings)))
    return out


def clear(path: Path) -> None:
    """Removes what an earlier run has written."""
    (path / RESULT).unlink(missing_ok=True)
    for name in (SPARSE, IMAGES, WORK):
        if (path / name).exists():
            shutil.rmtree(path / name)


def remove(path: Path) -> None:
    """Removes what a run has written, and the folder if nothing else is in it."""
    clear(path)
    if not any(path.iterdir()):
        path.rmdir()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
