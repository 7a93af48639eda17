"""The device that JAX computes on, and a warning where the machine has a faster one."""

import contextlib
import os
import re
import shutil
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import jax

IMAGE_MEMORY = 0.5  # the default of `image_memory`, a share of a device's memory
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_PLUGIN = re.compile(
    r"(jax[-_](cuda|rocm|metal|tpu|.*plugin)|libtpu|intel[-_]extension[-_]for[-_]openxla)"
)
_WARNING = "!!! RUNNING ON THE CPU"
_HOW_TO_HIDE = "JAX_PLATFORMS=cpu hides this note"


def default_platform() -> str:
    """The platform that JAX computes on unless told otherwise: `cpu`, `gpu` or `tpu`.

    Functions whose program depends on the platform take it as an argument; this is for their
    callers.
    """
    return jax.default_backend()


def host_memory() -> int:
    """The bytes of memory of the machine, or of the container that limits this process."""
    try:
        sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (AttributeError, OSError, ValueError):  # not a Unix
        return 2**33
    for limit in CGROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # "max" is no limit
            sizes.append(int(Path(limit).read_text(encoding="ascii")))
    return min(sizes)


def device_memory(device: jax.Device) -> int:
    """The bytes of memory that JAX may use on a device; of a CPU, those of the machine."""
    stats = None if device.platform == "cpu" else device.memory_stats()
    return int((stats or {}).get("bytes_limit") or host_memory())


def notes() -> tuple[str, ...]:
    """Warnings if JAX runs on the CPU although the machine has an accelerator, else none.

    There are none either where the user chose the CPU with `JAX_PLATFORMS=cpu`.
    """
    if default_platform() != "cpu" or _user_chose_cpu():
        return ()
    plugins = installed_plugins()
    if plugins:
        return (
            f"{_WARNING} although {', '.join(plugins)} is installed: no accelerator was found, "
            "or its driver did not start (for NVIDIA, nvidia-smi shows it); "
            f"JAX_PLATFORMS=cuda shows the error, {_HOW_TO_HIDE}",
        )
    if _has_nvidia_device():
        return (
            f"{_WARNING} although there is an NVIDIA GPU: JAX needs its CUDA plugin, pip install "
            f"'jax[cuda12]'; {_HOW_TO_HIDE}",
        )
    return ()


def installed_plugins() -> Sequence[str]:
    """Names of the installed packages that let JAX use an accelerator."""
    names = {str(distribution.name or "") for distribution in metadata.distributions()}
    return sorted(name for name in names if _PLUGIN.match(name.lower()))


def processor_info() -> Sequence[str]:
    """The lines of /proc/cpuinfo; none where the system has no such file."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()


def _user_chose_cpu() -> bool:
    chosen = getattr(jax.config, "jax_platforms", None) or os.environ.get("JAX_PLATFORMS", "")
    return bool(chosen.split(",")[0] == "cpu")  # further back in the list it is the fallback


def _has_nvidia_device() -> bool:
    return os.path.exists("/dev/nvidia0") or shutil.which("nvidia-smi") is not None
