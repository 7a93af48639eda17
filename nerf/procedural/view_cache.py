"""A cache of the bundled scenes' views: ray tracing takes seconds, reading does not."""

import hashlib
from pathlib import Path

import numpy as np

from nerf.procedural.views import ProceduralViews, render_views
from nerf.runtime.array_cache import Arrays, cached_arrays


def cached_views(
    folder: Path, name: str, *, height: int, width: int, num_views: int | None = None
) -> ProceduralViews:
    """The views of a bundled scene, from the cache if the same code has rendered them before.

    A file that cannot be read or written is ignored.

    Args:
      folder: of the cache.
      name: of the scene.
      height, width: of the images, in pixels.
      num_views: see `nerf.procedural.render_views`.
    """
    views = "" if num_views is None else f"x{num_views}"
    path = folder / f"{name}-{width}x{height}{views}-{_version()}.npz"

    def fits(cached: Arrays) -> bool:
        images, poses_bounds = cached["images"], cached["poses_bounds"]
        fields = set(cached) == set(ProceduralViews._fields)
        return bool(fields and images.shape[:3] == (len(poses_bounds), height, width))

    def render() -> Arrays:
        return render_views(name, height=height, width=width, num_views=num_views)._asdict()

    return ProceduralViews(**cached_arrays(path, render, fits))


def _version() -> str:
    """A hash of this package's code and of NumPy's version, which may change how it rounds."""
    digest = hashlib.sha256(np.__version__.encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
