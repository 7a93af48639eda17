"""Neural radiance fields in JAX: one `RadianceField` interface, a Haiku and a Flax implementation.

Importing this package loads neither Haiku nor Flax; a backend is imported when it is asked for
(see `nerf.field.make_field`).
"""

import time

STARTED = time.monotonic()  # as good as when the process did
__version__ = "0.1.0"
