"""A disk that is nearly full, as far as this process can tell."""

import contextlib
import resource


@contextlib.contextmanager
def full_disk(num_bytes=64):
    """No file may grow beyond `num_bytes`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
