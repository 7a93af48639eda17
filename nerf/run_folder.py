"""The run folder: where everything of one run goes; it holds no absolute path, so it can move."""

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from nerf.errors import UserError
from nerf.training import checkpoint

CONFIG_FILE = "config.json"
EVAL_FILE = "eval.json"
VIDEO_FILE = "video.mp4"
RENDERS_FOLDER = "renders"
FRAMES_FOLDER = "frames"
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
    """Writes a JSON file so that it is either the old one or the new one, never half of one."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)


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


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a run computes."""
    installed = {name: _version(name) for name in _PACKAGES}
    return {"python": platform.python_version()} | {k: v for k, v in installed.items() if v}


def device_name() -> str:
    """The device that computes, as its runtime calls it, e.g. `cpu` or `NVIDIA H100`."""
    device = jax.devices()[0]
    return str(device.device_kind)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
