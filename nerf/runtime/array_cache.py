"""Arrays that take long to make, kept in the user's cache folder."""

import contextlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nerf.runtime import atomic

Arrays = dict[str, Any]  # NumPy's, by name


def cached_arrays(path: Path, make: Callable[[], Arrays], fits: Callable[[Arrays], bool]) -> Arrays:
    """Reads arrays where they were kept before, else makes and keeps them.

    A file that cannot be read, whose arrays do not fit, or that cannot be written, is passed over.

    Args:
      path: an .npz file, whose name tells all that the arrays depend on.
      make: makes them.
      fits: whether those that were read can be what is made; a KeyError says that they cannot.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            kept = {name: found[name] for name in found.files}
        if fits(kept):
            return kept
    made = make()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(path, shared=True) as partial:
            np.savez(partial, **made)
    return made
