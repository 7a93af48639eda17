"""A disk that is nearly full, as far as this process can tell."""

import contextlib
import math
import resource

import jax

CACHED_FROM = "jax_persistent_cache_min_compile_time_secs"


@contextlib.contextmanager
def full_disk(num_bytes=64):
    """No file may grow beyond `num_bytes`; JAX's cache is not written, whose files would be cut."""
    limits, cached_from = (
        resource.getrlimit(resource.RLIMIT_FSIZE),
        getattr(jax.config, CACHED_FROM),
    )
    jax.config.update(CACHED_FROM, math.inf)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        jax.config.update(CACHED_FROM, cached_from)
