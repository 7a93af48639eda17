"""Views of the bundled scenes, kept in the user's cache folder: tracing them takes seconds."""

import hashlib
from pathlib import Path

import numpy as np

from nerf.procedural.views import ProceduralViews, views
from nerf.runtime.array_cache import Arrays, cached_arrays


def cached_views(folder: Path, name: str, *, height: int, width: int) -> ProceduralViews:
    """`pictures.views`, read where they were traced before with the same code, else traced.

    A file that cannot be read or written is passed over.

    Args:
      folder: where they are kept.
      name: which scene.
      height, width: of the pictures, in pixels.
    """
    path = folder / f"{name}-{width}x{height}-{_version()}.npz"

    def fits(kept: Arrays) -> bool:
        images, poses_bounds = kept["images"], kept["poses_bounds"]
        fields = set(kept) == set(ProceduralViews._fields)
        return bool(fields and images.shape[:3] == (len(poses_bounds), height, width))

    def trace() -> Arrays:
        return views(name, height=height, width=width)._asdict()

    return ProceduralViews(**cached_arrays(path, trace, fits))


def _version() -> str:
    """Changes with the code that traces, and with NumPy's, which may round otherwise."""
    digest = hashlib.sha256(np.__version__.encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
