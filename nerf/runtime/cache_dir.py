"""The user's cache folder: downloads, ray-traced views, scaled images, compiled programs."""

import os
from pathlib import Path

import pooch


def default_cache_dir() -> Path:
    """`$NERF_CACHE_DIR`, else the operating system's folder for caches."""
    chosen = os.environ.get("NERF_CACHE_DIR")
    return Path(chosen).expanduser() if chosen else Path(pooch.os_cache("nerf-haiku-flax"))
