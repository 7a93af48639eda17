"""The bundled scenes `flower` and `room`: ray-traced, with exact depth, in LLFF's layout."""

from nerf.scenes.procedural.kept import views_kept_in
from nerf.scenes.procedural.pictures import NAMES, ProceduralViews, Traced, trace, views

__all__ = ["NAMES", "ProceduralViews", "Traced", "trace", "views", "views_kept_in"]
