"""The user's folders: the home in a path, and the cache of downloads, views, images, programs."""

import os
from pathlib import Path

import pooch

from nerf.errors import UserError


def default_cache_dir() -> Path:
    """`$NERF_CACHE_DIR`, else the operating system's folder for caches.

    Raises:
      UserError: if the user has no home folder.
    """
    chosen = os.environ.get("NERF_CACHE_DIR")
    if chosen:
        return with_home(chosen)
    folder = Path(pooch.os_cache("nerf-haiku-flax"))
    if not folder.is_absolute():  # the system has left `~` as it is
        raise UserError(
            "this user has no home folder: set NERF_CACHE_DIR to a folder for the cache"
        )
    return folder


def with_home(path: str) -> Path:
    """A path whose `~` or `~user` becomes a home folder.

    Raises:
      UserError: if there is no such user, or no home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"the home folder in {path} is not known: write the whole path") from error


def unwritable(folder: Path) -> str | None:
    """Why nothing can be written into a folder that is made where it is missing; None if it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return error.strerror or str(error)
    return None if os.access(folder, os.W_OK) else "Permission denied"
