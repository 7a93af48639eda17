"""Numbers and matrices in JSON that may be damaged."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from nerf.captures.capture import Array
from nerf.errors import UserError


class Numbers:
    """Looks up finite numbers in the values of a frame or of the whole file.

    A missing value is a UserError, unless there is a default.
    """

    def __init__(self, values: Mapping[str, Any], where: str):
        self._values, self._where = values, where

    def __call__(self, key: str, default: float | None = None) -> float:
        if default is not None and self._values.get(key) is None:
            return default
        value = self._values.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UserError(f"{self._where}: {key} must be a number, not {str(value)[:50]!r}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise UserError(f"{self._where}: {key} must be finite")
        return number


def matrix_in(rows: Any, where: str) -> Array:
    """A matrix `[3, 4]` from the rows of a 3x4 or 4x4 matrix in JSON. `where` is for messages."""
    advice = "it must be a 4x4 camera-to-world matrix"
    if not isinstance(rows, list) or len(rows) not in (3, 4):
        raise UserError(f"{where} is missing or does not have 4 rows: {advice}")
    if not all(isinstance(row, list) and len(row) == 4 for row in rows):
        raise UserError(f"{where} has rows that do not have 4 numbers: {advice}")
    flat = [value for row in rows for value in row]
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in flat):
        raise UserError(f"{where} contains something other than numbers: {advice}")
    try:
        matrix = np.array(flat, np.float64).reshape(-1, 4)
    except OverflowError as error:
        raise UserError(f"{where} contains a number that is too large: {advice}") from error
    if not np.isfinite(matrix).all():
        raise UserError(f"{where} contains NaN or infinity: make the poses again")
    return matrix[:3]
