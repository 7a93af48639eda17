"""Reading `.npy` files that may be damaged or hostile."""

import io
import math
import tokenize
from pathlib import Path

import numpy as np

from nerf.captures.capture import Array
from nerf.captures.safe_files.reading import read_bytes
from nerf.errors import UserError


def read_array(path: Path, max_bytes: int, *, follow_links: bool = False) -> Array:
    """Reads an array of real numbers.

    Args:
      path: a .npy file.
      max_bytes: the largest file that is read.
      follow_links: whether a link that leads out of its folder is followed.

    Returns:
      The array, float64.

    Raises:
      UserError: if the file cannot be read, is larger, or contains something else.
    """
    content = read_bytes(path, max_bytes, follow_links=follow_links)
    try:
        with io.BytesIO(content) as file:
            _check_size(file)
            array = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, tokenize.TokenError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"cannot read {path} as an array of numbers ({reason}): copy or make it again"
        ) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        found = getattr(array, "dtype", type(array).__name__)
        raise UserError(f"{path} must contain an array of real numbers, not {found}: make it again")
    return array.astype(np.float64)


def _check_size(file: io.BytesIO) -> None:
    """Raises a ValueError if the array is larger than the file, by its header."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
        version, np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(file)
    num_bytes = math.prod(shape) * dtype.itemsize
    if num_bytes > len(file.getbuffer()):
        raise ValueError(
            f"its header says {num_bytes:,} bytes, and it has {len(file.getbuffer()):,}"
        )
    file.seek(0)
