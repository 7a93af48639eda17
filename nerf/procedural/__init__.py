"""The bundled scenes `flower` and `room`: ray-traced, with exact depth, in LLFF's layout."""

from nerf.procedural.view_cache import views_kept_in
from nerf.procedural.views import NAMES, ProceduralViews, Traced, trace, views

__all__ = ["NAMES", "ProceduralViews", "Traced", "trace", "views", "views_kept_in"]
