"""Tables of poses in CSV files: separated by commas, semicolons or tabs, with names of columns.

Spreadsheets of some languages write commas as decimal points. These are read where something else
separates the values, and refused where commas do.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from nerf.errors import UserError, listed

_DELIMITERS = (",", ";", "\t")
_DECIMAL_COMMA = re.compile(r"\s*[+-]?[0-9]+,[0-9]+(e[+-]?[0-9]+)?\s*", re.I)
# Columns of lenses and rotations: what they say changes rays, so they are not passed over.
_OF_RAYS = re.compile(
    r"omega|phi|kappa|yaw|pitch|roll|heading|q[wxyz]|[rt]_?[0-9]{1,2}|m_?[0-9]{2}|[kpstb]_?[0-9]|"
    r"f|f_?[xy]|fl_[xy]|c_?[xy]|p[xy]|skew|aspect(_?ratio)?|focal.*|(h|v|x_|y_)?fov|"
    r"camera_angle_[xy]|camera_model|fisheye|is_fisheye|distortion.*",
)


class TableHeader(NamedTuple):
    """The names of the columns of a table.

    Attributes:
      line: the index of its line in the file.
      columns: the names in small letters; empty without such a line.
      delimiter: what separates values.
    """

    line: int
    columns: tuple[str, ...]
    delimiter: str


def find_header(
    lines: Sequence[str], needed: Sequence[str], other_names: Mapping[str, str], within: int = 2
) -> TableHeader:
    """The line with the names of the columns, which may follow another line.

    Args:
      lines: of the file.
      needed: names that it must have.
      other_names: other names of columns, and what each means.
      within: how many lines are looked at.
    """
    for number, line in enumerate(lines[:within]):
        delimiter = max(_DELIMITERS, key=line.count)  # the first of several
        words = [word.strip().strip('"').lower() for word in line.lstrip("#").split(delimiter)]
        columns = _renamed(words, other_names)
        if set(needed) <= set(columns):
            return TableHeader(number, columns, delimiter)
    return TableHeader(0, (), ",")


def _renamed(words: Sequence[str], other_names: Mapping[str, str]) -> tuple[str, ...]:
    """Names of columns; a synonym becomes the usual name, unless that is there as well."""
    found = list(words)
    for at, word in enumerate(words):
        if word in other_names and other_names[word] not in found:
            found[at] = other_names[word]
    return tuple(found)


def rows_of(
    path: Path, lines: Sequence[str], header: TableHeader
) -> Iterator[tuple[int, list[str]]]:
    """The number of each line below the header, and its values; comments are left out.

    Numbers get decimal points in place of decimal commas.

    Raises:
      UserError: if a column is there twice, it is not a CSV file, or values are separated by the
        commas of numbers.
    """
    columns = [name for name in header.columns if name]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise UserError(f"{path} has several columns {listed(twice)}: remove all but one of each")
    try:
        rows = list(csv.reader(lines[header.line + 1 :], delimiter=header.delimiter))
    except csv.Error as error:
        raise UserError(f"{path} is not valid CSV ({error}): export it again") from error
    for number, words in enumerate(rows, header.line + 2):
        if not any(word.strip() for word in words) or words[0].lstrip().startswith("#"):
            continue
        if any(word.strip() for word in words[len(header.columns) :]):
            raise UserError(
                f"{path}, line {number} has {len(words)} values for {len(header.columns)} columns: "
                "if its numbers have decimal commas, export them with decimal points"
            )
        if header.delimiter != ",":
            words = [w.replace(",", ".") if _DECIMAL_COMMA.fullmatch(w) else w for w in words]
        yield number, words


def note_on_columns(
    path: Path, header: TableHeader, known: Sequence[str], rows: Sequence[Sequence[str]]
) -> list[str]:
    """A note on columns that are not read.

    Raises:
      UserError: if such a column changes rays.
    """
    unread = []
    for at, name in enumerate(header.columns):
        values = [row[at].strip() for row in rows if len(row) > at]
        if name and name not in known and any(_says_anything(value) for value in values):
            unread.append(name)
    wrong = [name for name in unread if changes_rays(name)]
    if wrong:
        are = "column {} is not read, and changes" if len(wrong) == 1 else (
            "columns {} are not read, and change"
        )  # fmt: skip
        raise UserError(
            f"{path}: the {are.format(listed(wrong))} the rays: export the file without, or write "
            "a transforms.json, which has keys for lenses of all images"
        )
    if not unread:
        return []
    return [
        f"columns of {path.name} that are not known, and are ignored: {listed(unread)}; if they "
        "describe lenses or poses, the rays are wrong"
    ]


def changes_rays(name: str) -> bool:
    """Whether a column or a key with this name describes a lens or a rotation."""
    return _OF_RAYS.fullmatch(name.lower()) is not None


def has_decimal_commas(words: Sequence[str]) -> bool:
    """Whether words that spaces separate are numbers with decimal commas.

    >>> has_decimal_commas(["0,5", "1", "2,25"]), has_decimal_commas(["0.5,1,2"])
    (True, False)
    """
    with_comma = [word for word in words if "," in word]
    return bool(with_comma) and all(_DECIMAL_COMMA.fullmatch(word) for word in with_comma)


def _says_anything(value: str) -> bool:
    try:
        return float(value.replace(",", ".")) != 0
    except ValueError:
        return bool(value)
