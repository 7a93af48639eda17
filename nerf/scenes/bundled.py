"""The bundled ray-traced scenes as scenes; see `nerf.procedural`.

flower              126x94, the default size
flower@252x188      WIDTHxHEIGHT
table@800x800x100   WIDTHxHEIGHTxVIEWS, another number of views in the same arrangement
"""

import dataclasses
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nerf.errors import UserError
from nerf.scenes.llff_arrays import build_scene
from nerf.scenes.scene import Scene

DEFAULT_HEIGHT, DEFAULT_WIDTH = 94, 126
MAX_PIXELS = 2**22  # of an image
MIN_VIEWS, MAX_VIEWS = 2, 1000
_SIZE = re.compile(r"([1-9][0-9]{0,6})x([1-9][0-9]{0,6})(?:x([1-9][0-9]{0,6}))?", re.IGNORECASE)


class BundledName(NamedTuple):
    """A bundled scene, the size of its images in pixels, and the number of its views.

    `num_views` is None for the scene's own number.
    """

    scene: str
    height: int
    width: int
    num_views: int | None = None

    def __str__(self) -> str:
        """The name, with what is not the default.

        >>> str(BundledName("flower", 188, 252)), str(BundledName("flower", 94, 126))
        ('flower@252x188', 'flower')
        >>> str(BundledName("table", 800, 800, 100))
        'table@800x800x100'
        """
        views = "" if self.num_views is None else f"x{self.num_views}"
        is_default = (self.height, self.width) == (DEFAULT_HEIGHT, DEFAULT_WIDTH)
        is_plain = is_default and not views
        return self.scene if is_plain else f"{self.scene}@{self.width}x{self.height}{views}"


def scene_names() -> tuple[str, ...]:
    """The names of all bundled scenes, without sizes."""
    from nerf import procedural

    return tuple(procedural.NAMES)


def parse_name(name: str) -> BundledName:
    """Splits `NAME`, `NAME@WIDTHxHEIGHT` or `NAME@WIDTHxHEIGHTxVIEWS`.

    Raises:
      UserError: if there is no such scene, or the size or the number of views is not valid.

    >>> parse_name("table@800x800x100")
    BundledName(scene='table', height=800, width=800, num_views=100)
    """
    scene, at, size = name.partition("@")
    if scene not in scene_names():
        raise UserError(f"no bundled scene {scene!r}: choose one of {', '.join(scene_names())}")
    if not at:
        return BundledName(scene, DEFAULT_HEIGHT, DEFAULT_WIDTH)
    match = _SIZE.fullmatch(size)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < height * width <= MAX_PIXELS:
        raise UserError(
            f"procedural:{name} has no valid size: write WIDTHxHEIGHT, e.g. "
            f"procedural:{scene}@252x188, with at most {MAX_PIXELS:,} pixels"
        )
    num_views = int(match[3]) if match and match[3] else None
    if num_views is not None and not MIN_VIEWS <= num_views <= MAX_VIEWS:
        raise UserError(
            f"procedural:{name} has no valid number of views: write WIDTHxHEIGHTxVIEWS, e.g. "
            f"procedural:{scene}@{width}x{height}x100, with {MIN_VIEWS} to {MAX_VIEWS:,} views"
        )
    return BundledName(scene, height, width, num_views)


def load(name: str, cache_dir: Path) -> Scene:
    """Ray-traces a bundled scene, or reads its views from the cache.

    Args:
      name: see `parse_name`.
      cache_dir: ray-traced views are cached in its folder `traced`.

    Raises:
      UserError: see `parse_name`.
    """
    from nerf import procedural

    parsed = parse_name(name)
    views = procedural.cached_views(
        cache_dir / "traced",
        parsed.scene,
        height=parsed.height,
        width=parsed.width,
        num_views=parsed.num_views,
    )
    scene = build_scene(
        views.images,
        views.poses_bounds,
        name=str(parsed),
        source="procedural",
        origin=f"bundled procedural scene {parsed.scene}",
        transparent=views.images.shape[-1] == 4,
    )
    depth = (views.depth * scene.unit_scale).astype(np.float32)
    return dataclasses.replace(scene, depth=depth)
