"""JAX's cache of compiled programs, in the user's cache folder: a second run starts faster."""

import hashlib
import platform
from pathlib import Path

import jax

from nerf.runtime import devices
from nerf.runtime.cache_dir import default_cache_dir, unwritable

_MIN_COMPILE_SECONDS = 0.5


def enable() -> str | None:
    """Makes JAX cache programs that take long to compile.

    A cache folder that is set already stays.

    Returns:
      A note if the cache folder cannot be written; JAX then caches nothing.
    """
    if getattr(jax.config, "jax_compilation_cache_dir", None) is not None:
        return None
    reason = unwritable(folder())
    if reason is not None:
        return (
            f"the cache folder {default_cache_dir()} cannot be written ({reason}), so nothing is "
            "cached: set NERF_CACHE_DIR to another folder"
        )
    jax.config.update("jax_compilation_cache_dir", str(folder()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_COMPILE_SECONDS)
    return None


def folder() -> Path:
    """The cache folder of this kind of processor: a program for one CPU may not run on another."""
    kind = hashlib.sha256(_processor_features().encode()).hexdigest()[:16]
    return default_cache_dir() / "compiled" / kind


def _processor_features() -> str:
    """Model and instruction sets of the processor, where the system lists them; else its name."""
    lines = [
        line
        for line in devices.processor_info()
        if line.startswith(("model name", "flags", "Features"))
    ]
    return "\n".join(sorted(set(lines))) or f"{platform.machine()} {platform.processor()}"
