"""The bundled scenes `flower` and `room`: ray-traced, with exact depth, in LLFF's layout."""

from nerf.procedural.view_cache import cached_views
from nerf.procedural.views import NAMES, ProceduralViews, Traced, trace, views

__all__ = ["NAMES", "ProceduralViews", "Traced", "cached_views", "trace", "views"]
