"""The run folder: where everything of one run goes; it holds no absolute path, so it can move."""

import contextlib
import json
import math
import os
import platform
import re
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import filelock
import jax

from nerf.config import text as config_text
from nerf.config.settings import Config
from nerf.errors import UserError, listed, printable
from nerf.runs import checkpoints, parameters
from nerf.runs.metrics import METRICS_FILE
from nerf.runtime import atomic

CONFIG_FILE = "config.json"
EVAL_FILE = "eval.json"
SCENE_FILE = "scene.json"
CORRECTIONS_FILE = "corrections.json"
VIDEO_FILE = "video.mp4"
REPORT_FILE = "report.html"
RENDERS_FOLDER = "renders"
FRAMES_FOLDER = "frames"
PROGRESS_FOLDER = "progress"
TENSORBOARD_FOLDER = "tensorboard"
CHART_FILE = "training.png"
CONTACT_SHEET_FILE = "contact_sheet.png"
LOCK_FILE = ".lock"
COLLAPSED, REPLACED = "collapsed", "replaced"
_SAME_TO_RESUME = (
    "backend", "field", "scene", "source", "resolution", "space", "unit_scale", "bounds",
    "init_from", "seed", "precision",
)  # fmt: skip
_SAME_IF_GIVEN = ("sizes",)  # of views that differ in size
_SAME_IF_KNOWN = ("alpha", "used_pixels", "known_depths")  # which older runs do not say
_MAY_DIFFER = ("train.num_steps",)
_MAY_DIFFER_ELSEWHERE = ("backend", "init_from", "seed")
_PACKAGES = ("jax", "jaxlib", "optax", "flax", "dm-haiku", "numpy")


def default_name(scene: str, source: str, backend: str, field: str) -> str:
    """`<scene>-<source>-<backend>-<field>`."""
    return f"{scene}-{source}-{backend}-{field}"


def prepare(run_dir: Path) -> None:
    """Makes the folder and proves that it can be written.

    Raises:
      UserError: if it cannot.
    """
    probe = run_dir / f".probe-{os.getpid()}"
    try:
        str(run_dir.absolute()).encode()
    except UnicodeEncodeError as error:  # for Orbax
        raise UserError(
            f"the run folder {printable(str(run_dir.absolute()))} has a name that is not in UTF-8: "
            "name another with `run_dir`"
        ) from error
    try:
        (run_dir / RENDERS_FOLDER).mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"the run folder {run_dir} cannot be written ({error.strerror}): name another with "
            "`run_dir`"
        ) from error


def holds_training(run_dir: Path) -> bool:
    """Whether a training run has left checkpoints in the folder."""
    folder = run_dir / checkpoints.FOLDER
    return folder.is_dir() and any(child.name.isdecimal() for child in folder.iterdir())


def has_lost_states(run_dir: Path) -> bool:
    """Whether a training run has left metrics and parameters in the folder, but no checkpoints."""
    left = (run_dir / METRICS_FILE, run_dir / parameters.FILE_NAME)
    return not holds_training(run_dir) and all(path.is_file() for path in left)


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Writes a JSON file; a number that is not finite, which JSON cannot hold, becomes null."""
    atomic.write_text(path, json.dumps(_finite(values), indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Reads what `write_json` wrote.

    Raises:
      UserError: if it is missing, or not a JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        params = path.parent / parameters.FILE_NAME
        hint = f", with `init_from={params}` to keep the parameters" if params.is_file() else ""
        text = f"{path} cannot be read ({reason}); give another `run_dir`{hint}"
        raise UserError(text) from error
    if not isinstance(values, dict):
        raise UserError(f"{path} does not hold a JSON object; give another `run_dir`")
    return values


def read_config(run_dir: Path) -> dict[str, Any]:
    """Reads `config.json`, which makes a folder a run folder.

    Raises:
      UserError: if it is missing, damaged, or was not written by a run.
    """
    path = run_dir / CONFIG_FILE
    if not path.is_file():
        raise UserError(f"{run_dir} is no run folder: it has no {CONFIG_FILE}")
    values = read_json(path)
    if not isinstance(values.get("scene"), str) or not isinstance(values.get("config"), dict):
        raise UserError(
            f"{run_dir} is no run folder: its {CONFIG_FILE} was not written by a run, since "
            "it has no settings (config) or no scene; give the folder of a run"
        )
    return values


@contextlib.contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Keeps other processes out of a run folder; the lock ends with the process, however it ends.

    Raises:
      UserError: if another process is in it.
    """
    # One lock for the process, which may take it again.
    lock = filelock.FileLock(run_dir / LOCK_FILE, timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise UserError(
            f"another process is using the run folder {run_dir}: wait for it, or name another "
            "with `run_dir`"
        ) from None
    try:
        yield
    finally:
        lock.release()


def set_aside(run_dir: Path, label: str) -> Path:
    """Moves the contents of a run folder into a new folder in it, so that a new run can start.

    Args:
      run_dir: the run folder.
      label: COLLAPSED or REPLACED; with REPLACED also what collapsed before is moved.

    Returns:
      `<run_dir>/<label>-<number>`.
    """
    stays = {COLLAPSED: (COLLAPSED, REPLACED), REPLACED: (REPLACED,)}[label]
    children = [
        child
        for child in sorted(run_dir.iterdir())
        if child.name != LOCK_FILE and not _is_set_aside(child, stays)
    ]
    folder = run_dir / f"{label}-{num_set_aside(run_dir, label) + 1}"
    folder.mkdir()
    for child in children:
        child.rename(folder / child.name)
    return folder


def num_set_aside(run_dir: Path, label: str) -> int:
    """How many folders `set_aside` has made with a label."""
    return sum(_is_set_aside(child, (label,)) for child in run_dir.iterdir())


def _is_set_aside(path: Path, labels: Sequence[str]) -> bool:
    return re.fullmatch(f"({'|'.join(labels)})-[0-9]+", path.name) is not None


def check_same_training(run_dir: Path, now: dict[str, Any], *, elsewhere: bool = False) -> None:
    """Refuses to resume a training run with other settings.

    Args:
      run_dir: holds a training run.
      now: what `config.json` would hold.
      elsewhere: whether it is resumed in another folder; then backend, seed and origin may
        differ, since they have had their effect.

    Raises:
      UserError: with the settings that differ.
    """
    path = run_dir / CONFIG_FILE
    before = read_json(path)
    names = [n for n in _SAME_TO_RESUME if not (elsewhere and n in _MAY_DIFFER_ELSEWHERE)]
    if not set(before) >= {*names, "config"} or not isinstance(before["config"], dict):
        raise UserError(f"{path} lacks settings of the training run; give another `run_dir`")
    # An older version's settings lack those that came later, whose defaults it had.
    try:
        settings = config_text.to_json(config_text.from_json(before["config"], before.get("field")))
    except UserError as error:
        raise UserError(
            f"{path} has settings that this version does not know ({error}): resume with the "
            "version that wrote it, or train anew with another `run_dir` or `resume=False`"
        ) from error
    names += [name for name in _SAME_IF_GIVEN if name in before or name in now]
    names += [name for name in _SAME_IF_KNOWN if name in before]
    old = {name: before.get(name) for name in names} | config_text.flatten(settings)
    new = {name: now.get(name) for name in names} | config_text.flatten(now["config"])
    different = [
        f"{name} was {old.get(name)!r} and is now {new.get(name)!r}"
        for name in dict.fromkeys([*old, *new])
        if name not in _MAY_DIFFER and old.get(name) != new.get(name)
    ]
    if different:
        advice = (
            f"`init_from={run_dir / parameters.FILE_NAME}` to start anew from its parameters alone"
            if elsewhere
            else "another `run_dir` or `resume=False` to start anew"
        )
        raise UserError(
            f"{run_dir} holds a training run with other settings: {listed(different)}; "
            f"give the same settings to resume, or {advice}"
        )


def settings_to_resume(run_dir: Path, config: Config) -> tuple[Config | None, list[str]]:
    """Settings under which the training run in a folder resumes.

    Some follow from the images or came with a later version, and are not what a user asks for:
    there, the run keeps its own (`config_text.SETTINGS_OF_RUN`).

    Args:
      run_dir: a run folder.
      config: the settings that are asked for.

    Returns:
      The settings, and what the run keeps that was asked for differently. None where the folder
      holds no training run, or a record that cannot be read, which `check_same_training` explains.
    """
    try:
        if not holds_training(run_dir):
            return None, []
        before = read_json(run_dir / CONFIG_FILE)
        return config_text.with_run_settings(config, before["config"], before.get("field"))
    except (UserError, KeyError, OSError):
        return None, []


def preview_file(run_dir: Path, step: int) -> Path:
    """Where the held-out view of a step is, as it was drawn during training."""
    return run_dir / PROGRESS_FOLDER / f"step_{step:07d}.png"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a run computes."""
    installed = {name: _version(name) for name in _PACKAGES}
    return {"python": platform.python_version()} | {k: v for k, v in installed.items() if v}


def device_name() -> str:
    """The device that computes, as its runtime calls it, e.g. `cpu` or `NVIDIA H100`."""
    device = jax.devices()[0]
    return str(device.device_kind)


def _finite(values: Any) -> Any:
    if isinstance(values, dict):
        return {name: _finite(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [_finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
