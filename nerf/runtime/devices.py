"""What a user must be told about the device before hours are spent on the wrong one."""

import os
import re
import shutil
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import jax

_PLUGIN = re.compile(
    r"(jax[-_](cuda|rocm|metal|tpu|.*plugin)|libtpu|intel[-_]extension[-_]for[-_]openxla)"
)
_LOUD = "!!! RUNNING ON THE CPU"
_HIDE = "JAX_PLATFORMS=cpu hides this remark"


def notices() -> tuple[str, ...]:
    """Remarks on a device that is slower than it might be, one sentence each; mostly none."""
    if jax.default_backend() != "cpu" or _cpu_was_asked_for():
        return ()
    plugins = installed_plugins()
    if plugins:
        return (
            f"{_LOUD} although {', '.join(plugins)} is installed, which is for an accelerator: "
            "none was found, or its driver did not start (for NVIDIA, nvidia-smi tells); "
            f"JAX_PLATFORMS=cuda shows the error, {_HIDE}",
        )
    if _has_nvidia_device():
        return (
            f"{_LOUD} although there is an NVIDIA GPU: JAX needs its CUDA plugin, pip install "
            f"'jax[cuda12]'; {_HIDE}",
        )
    return ()


def installed_plugins() -> Sequence[str]:
    """Names of the installed packages that let JAX use an accelerator."""
    names = {str(distribution.name or "") for distribution in metadata.distributions()}
    return sorted(name for name in names if _PLUGIN.match(name.lower()))


def processor_info() -> Sequence[str]:
    """What the system tells of its processor, line by line; nothing where it does not."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()


def _cpu_was_asked_for() -> bool:
    asked = getattr(jax.config, "jax_platforms", None) or os.environ.get("JAX_PLATFORMS", "")
    return bool(asked.split(",")[0] == "cpu")  # later in the list it is what is fallen back on


def _has_nvidia_device() -> bool:
    return os.path.exists("/dev/nvidia0") or shutil.which("nvidia-smi") is not None
