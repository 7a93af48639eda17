"""The run folder: where everything of one run goes; it holds no absolute path, so it can move."""

import json
import math
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from nerf.errors import UserError, listed
from nerf.training import checkpoint

CONFIG_FILE = "config.json"
EVAL_FILE = "eval.json"
VIDEO_FILE = "video.mp4"
RENDERS_FOLDER = "renders"
FRAMES_FOLDER = "frames"
_SAME_TO_GO_ON = (
    "backend", "field", "scene", "source", "resolution", "init_from", "seed", "precision",
)  # fmt: skip
_MAY_DIFFER = ("train.num_steps",)
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
        (run_dir / RENDERS_FOLDER).mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"the run folder {run_dir} cannot be written ({error.strerror}): name another with "
            "--run_dir"
        ) from error


def holds_training(run_dir: Path) -> bool:
    """Whether a training run has left checkpoints in the folder."""
    folder = run_dir / checkpoint.FOLDER
    return folder.is_dir() and any(child.name.isdigit() for child in folder.iterdir())


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Writes a JSON file; a number that is not finite, which JSON cannot say, becomes null."""
    _replace(path, json.dumps(_finite(values), indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Reads what `write_json` wrote.

    Raises:
      UserError: if it is missing, or not a JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); give another --run_dir") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} does not hold a JSON object; give another --run_dir")
    return values


def cut_metrics(path: Path, last_step: int) -> None:
    """Drops the lines of steps after `last_step`, which a run that was stopped did not save."""
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    kept = "".join(f"{line}\n" for line in text.splitlines() if _step(line) <= last_step)
    if kept != text:
        _replace(path, kept)


def check_same_training(run_dir: Path, now: dict[str, Any]) -> None:
    """Refuses to go on with a training run under other settings.

    Args:
      run_dir: holds a training run.
      now: what `config.json` would hold.

    Raises:
      UserError: with the settings that differ.
    """
    path = run_dir / CONFIG_FILE
    before = read_json(path)
    if not set(before) >= set(now) or not isinstance(before["config"], dict):
        raise UserError(f"{path} lacks settings of the training run; give another --run_dir")
    old = {name: before[name] for name in _SAME_TO_GO_ON} | _flatten(before["config"])
    new = {name: now[name] for name in _SAME_TO_GO_ON} | _flatten(now["config"])
    different = [
        f"{name} was {old.get(name)!r} and is now {new.get(name)!r}"
        for name in dict.fromkeys([*old, *new])
        if name not in _MAY_DIFFER and old.get(name) != new.get(name)
    ]
    if different:
        raise UserError(
            f"{run_dir} holds a training run with other settings: {listed(different)}; "
            "give the same settings to go on, or another --run_dir to start anew"
        )


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a run computes."""
    installed = {name: _version(name) for name in _PACKAGES}
    return {"python": platform.python_version()} | {k: v for k, v in installed.items() if v}


def device_name() -> str:
    """The device that computes, as its runtime calls it, e.g. `cpu` or `NVIDIA H100`."""
    device = jax.devices()[0]
    return str(device.device_kind)


def _replace(path: Path, text: str) -> None:
    """Writes a file so that it is either the old one or the new one, never half of one."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _finite(values: Any) -> Any:
    if isinstance(values, dict):
        return {name: _finite(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [_finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def _flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one whose keys are dotted names."""
    if not isinstance(values, dict):
        return {prefix.rstrip("."): values}
    return {k: v for name in values for k, v in _flatten(values[name], f"{prefix}{name}.").items()}


def _step(line: str) -> float:
    """The step of a line of metrics; of half a line, which a killed run leaves, infinity."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
