"""Atomic writes: a file is either the old one or the new one, never half of one."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Replaces a file when the block ends; if the block fails, the old file stays as it was.

        with replacing(path) as partial:
            image.save(partial)

    Args:
      path: the file to replace or to create; its folder exists.
      shared: whether other processes may write the same file at the same time. Each then writes a
        file of its own, and the last to finish wins.

    Yields:
      A path in the same folder with the same suffix. It is removed if the block fails; if the
      process is killed, it stays until the next write of the same file.

    Raises:
      OSError: if the file cannot be written. Its `filename` is `path`.
    """
    owner = f".{os.getpid()}" if shared else ""
    partial = path.with_name(f".{path.stem}{owner}.partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(partial)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file as a whole.

    Raises:
      OSError: if it cannot be written; an older file stays as it was.
    """
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Writes a file as a whole, in UTF-8.

    Raises:
      OSError: if it cannot be written; an older file stays as it was.
    """
    write_bytes(path, text.encode())
