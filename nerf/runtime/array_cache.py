"""Arrays that take long to compute, cached as .npz files in the user's cache folder."""

import contextlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nerf.runtime import atomic

Arrays = dict[str, Any]  # NumPy arrays by name


def cached_arrays(path: Path, make: Callable[[], Arrays], fits: Callable[[Arrays], bool]) -> Arrays:
    """Reads arrays from the cache, or computes and caches them.

    The cache never causes an error: a file that cannot be read, or whose arrays do not fit, is
    computed again, and one that cannot be written is left out.

    Args:
      path: an .npz file. Its name depends on everything that the arrays depend on.
      make: computes the arrays.
      fits: whether arrays from the file can be what `make` would compute (their names, shapes and
        types). A KeyError means that they cannot.

    Returns:
      The arrays, from the file or from `make`.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            cached = {name: found[name] for name in found.files}
        if fits(cached):
            return cached
    made = make()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(path, shared=True) as partial:
            np.savez(partial, **made)
    return made
