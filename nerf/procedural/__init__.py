"""The bundled scenes, ray-traced with exact depth, in LLFF's layout.

`flower` and `room` are seen from the front, `table` and `courtyard` in a 360 capture.
"""

from nerf.procedural.view_cache import cached_views
from nerf.procedural.views import NAMES, ProceduralViews, Traced, render_views, trace

__all__ = ["NAMES", "ProceduralViews", "Traced", "cached_views", "render_views", "trace"]
