"""The bundled ray-traced scenes as scenes; see `nerf.procedural`.

flower              126x94, the default size
flower@252x188      WIDTHxHEIGHT
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
_SIZE = re.compile(r"([1-9][0-9]{0,6})x([1-9][0-9]{0,6})", re.IGNORECASE)


class BundledName(NamedTuple):
    """A bundled scene and the size of its images in pixels."""

    scene: str
    height: int
    width: int

    def __str__(self) -> str:
        """The name, with the size unless it is the default.

        >>> str(BundledName("flower", 188, 252)), str(BundledName("flower", 94, 126))
        ('flower@252x188', 'flower')
        """
        is_default = (self.height, self.width) == (DEFAULT_HEIGHT, DEFAULT_WIDTH)
        return self.scene if is_default else f"{self.scene}@{self.width}x{self.height}"


def scene_names() -> tuple[str, ...]:
    """The names of all bundled scenes, without sizes."""
    from nerf import procedural

    return tuple(procedural.NAMES)


def parse_name(name: str) -> BundledName:
    """Splits `NAME` or `NAME@WIDTHxHEIGHT`.

    Raises:
      UserError: if there is no such scene, or the size is not valid.

    >>> parse_name("flower@252x188")
    BundledName(scene='flower', height=188, width=252)
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
    return BundledName(scene, height, width)


def load(name: str, cache_dir: Path) -> Scene:
    """Ray-traces a bundled scene, or reads its views from the cache.

    Args:
      name: `NAME` or `NAME@WIDTHxHEIGHT`.
      cache_dir: ray-traced views are cached in its folder `traced`.

    Raises:
      UserError: if there is no such scene, or the size is not valid.
    """
    from nerf import procedural

    parsed = parse_name(name)
    views = procedural.cached_views(
        cache_dir / "traced", parsed.scene, height=parsed.height, width=parsed.width
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
