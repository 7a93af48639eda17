"""Values of JSON files, which may be anything: numbers, matrices, bounds."""

import contextlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from nerf.captures.capture import Array
from nerf.errors import UserError

Values = Mapping[str, Any]


class Numbers:
    """Looks up finite numbers in the values of a frame or of the whole file.

    A missing value is a UserError, unless there is a default.
    """

    def __init__(self, values: Values, where: str):
        self._values, self._where = values, where

    def __call__(self, key: str, default: float | None = None) -> float:
        if default is not None and self._values.get(key) is None:
            return default
        return finite(self._values.get(key), f"{self._where}: {key}")


def finite(value: Any, what: str) -> float:
    """A finite number from JSON, perhaps as a word.

    Raises:
      UserError: if it is something else; `what` is for the message.
    """
    value = _read_word(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UserError(f"{what} must be a number, not {str(value)[:50]!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UserError(f"{what} must be finite")
    return number


def _read_word(value: Any) -> Any:
    """The number that a word stands for; any other value is returned as it is."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def near_and_far(values: Values, where: str) -> tuple[float, float] | None:
    """near and far; NaN where one is not finite, which `check_cameras` judges."""
    if not {"near", "far"} <= set(values):
        return None
    near, far = (_number(values[key], f"{where}: {key}") for key in ("near", "far"))
    return near, far


def _number(value: Any, what: str) -> float:
    value = _read_word(value)
    if isinstance(value, float) and not math.isfinite(value):
        return math.nan
    return finite(value, what)


def pose_matrix(rows: Any, where: str) -> Array:
    """A matrix `[3, 4]` from a 3x4 or 4x4 matrix in JSON, as rows or one list of numbers.

    `where` is for messages.
    """
    advice = "it must be a 4x4 camera-to-world matrix"
    if isinstance(rows, list) and len(rows) in (12, 16) and not any(map(_is_list, rows)):
        rows = [rows[at : at + 4] for at in range(0, len(rows), 4)]
    if not isinstance(rows, list) or len(rows) not in (3, 4):
        raise UserError(f"{where} is missing or does not have 4 rows: {advice}")
    if not all(isinstance(row, list) and len(row) == 4 for row in rows):
        raise UserError(f"{where} has rows that do not have 4 numbers: {advice}")
    flat = [_read_word(value) for row in rows for value in row]
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in flat):
        raise UserError(f"{where} contains something other than numbers: {advice}")
    try:
        matrix = np.array(flat, np.float64).reshape(-1, 4)
    except OverflowError as error:
        raise UserError(f"{where} contains a number that is too large: {advice}") from error
    if not np.isfinite(matrix).all():
        raise UserError(f"{where} contains NaN or infinity: make the poses again")
    if len(matrix) == 4 and _is_transposed(matrix):
        raise UserError(f"{where} has the position in its last row: transpose it, {advice}")
    if len(matrix) == 4 and not np.allclose(matrix[3], (0.0, 0.0, 0.0, 1.0), atol=1e-3):
        raise UserError(f"{where} has a last row that is not 0, 0, 0, 1: {advice}")
    return matrix[:3]


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_transposed(matrix: Array) -> bool:
    """Whether the last column, not the last row, is that of a transform."""
    last = np.array([0.0, 0.0, 0.0, 1.0])
    return bool(np.allclose(matrix[:, 3], last) and not np.allclose(matrix[3], last))
