"""Compiled programs, kept between runs in the user's cache folder."""

import hashlib
import platform
from pathlib import Path

import jax

from nerf.runtime import devices
from nerf.scenes.download import default_cache_dir

_MIN_COMPILE_SECONDS = 0.5


def enable() -> None:
    """Lets JAX keep what takes long to compile; a folder that is chosen already stays."""
    if getattr(jax.config, "jax_compilation_cache_dir", None) is None:
        jax.config.update("jax_compilation_cache_dir", str(folder()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_COMPILE_SECONDS)


def folder() -> Path:
    """One for each kind of processor, since a CPU's programs do not run on every other CPU."""
    kind = hashlib.sha256(_instructions().encode()).hexdigest()[:16]
    return default_cache_dir() / "compiled" / kind


def _instructions() -> str:
    """What the processor can do, where the system tells; at least what it is called."""
    told = [
        line
        for line in devices.processor_info()
        if line.startswith(("model name", "flags", "Features"))
    ]
    return "\n".join(sorted(set(told))) or f"{platform.machine()} {platform.processor()}"
