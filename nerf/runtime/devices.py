"""The device that JAX computes on, and a warning where the machine has a faster one."""

import contextlib
import os
import platform
import re
import shutil
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from nerf.errors import UserError

IMAGE_MEMORY = 0.5  # the default of `image_memory`, a share of a device's memory
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_PLUGIN = re.compile(
    r"(jax[-_](cuda|rocm|metal|tpu|.*plugin)|libtpu|intel[-_]extension[-_]for[-_]openxla)"
)
_WARNING = "!!! RUNNING ON THE CPU"
_HOW_TO_HIDE = "JAX_PLATFORMS=cpu hides this note"
_INSTALL = {  # what lets JAX use a platform, by its name in JAX_PLATFORMS
    "cuda": "pip install 'jax[cuda12]'",
    "gpu": "pip install 'jax[cuda12]'",
    "tpu": "pip install 'jax[tpu]'",
    "rocm": "install JAX's plugin for ROCm",
    "metal": "pip install jax-metal",
}
_MAX_REASON = 200  # characters of an error of JAX


def default_platform() -> str:
    """The platform that JAX computes on unless told otherwise: `cpu`, `gpu` or `tpu`.

    Functions whose program depends on the platform take it as an argument; this is for their
    callers.
    """
    return jax.default_backend()


def check_platforms() -> None:
    """Checks that JAX has the platform that JAX_PLATFORMS names; call it before JAX is used.

    Raises:
      UserError: in one sentence, where JAX would end with a traceback.
    """
    chosen = _chosen_platforms()
    if not chosen:
        return
    try:
        jax.devices()
    except Exception as error:  # an AssertionError for cuda, a RuntimeError for others
        raise UserError(_platform_message(chosen, _available_platforms(), str(error))) from error


def _available_platforms() -> list[str]:
    """The platforms that JAX has if nothing is chosen."""
    from jax.extend import backend

    jax.config.update("jax_platforms", None)
    backend.clear_backends()
    return sorted(backend.backends())


def _platform_message(chosen: str, available: Sequence[str], reason: str) -> str:
    """What is wrong with a value of JAX_PLATFORMS.

    Args:
      chosen: the value.
      available: the platforms that JAX has.
      reason: JAX's own error.
    """
    plain = [item.strip().lower() for item in chosen.split(",") if item.strip()]
    known = [item for item in plain if item in available]
    if plain and known == plain:
        return (
            f"JAX_PLATFORMS={chosen!r} must have names in lower case, separated by commas alone: "
            f"set JAX_PLATFORMS={','.join(plain)}, or unset it"
        )
    missing = next((item for item in plain if item not in available), chosen)
    advice = "unset it"
    libraries = ("cuda", "rocm") if missing == "gpu" else (missing,)
    plugins = [p for p in installed_plugins() if any(name in p.lower() for name in libraries)]
    if plugins:
        detail = " ".join(reason.split())[:_MAX_REASON] or "nothing about the reason"
        advice += f"; {', '.join(plugins)} is installed, but JAX cannot start it and says: {detail}"
    elif missing in _INSTALL:
        advice += f", or {_INSTALL[missing]}"
    else:
        advice += f", or set it to {' or '.join(available)}"
    return (
        f"JAX_PLATFORMS={chosen} names a device that this JAX does not have (it has "
        f"{', '.join(available)}): {advice}"
    )


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


def machine() -> dict[str, Any]:
    """What computes, for the record of a run; nothing in it says whose machine it is."""
    found = [line.partition(":")[2].strip() for line in processor_info() if "model name" in line]
    return {
        "platform": default_platform(),
        "devices": jax.local_device_count(),
        "processor": found[0] if found else platform.processor() or platform.machine(),
        "cpu_cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _user_chose_cpu() -> bool:
    return _chosen_platforms().split(",")[0] == "cpu"  # further back in the list: the fallback


def _chosen_platforms() -> str:
    """The value of JAX_PLATFORMS, or what the program has told JAX; empty for no choice."""
    chosen = getattr(jax.config, "jax_platforms", None) or os.environ.get("JAX_PLATFORMS", "")
    return str(chosen)


def _has_nvidia_device() -> bool:
    return os.path.exists("/dev/nvidia0") or shutil.which("nvidia-smi") is not None
