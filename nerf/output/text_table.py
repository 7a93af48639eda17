"""A table of text for a terminal."""

from collections.abc import Sequence


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[bool]) -> str:
    """A table in columns that are as wide as they need.

    Args:
      head: the name of each column.
      rows: the text of each cell.
      numbers: whether a column holds numbers, which end at its right.

    >>> print(
    ...     text_table(
    ...         ["run", "PSNR"], [["a", "9.50"], ["longer", "31.20"]], [False, True]
    ...     )
    ... )
    run      PSNR
    ------  -----
    a        9.50
    longer  31.20
    """
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    cells = [
        [
            text.rjust(width) if is_number else text.ljust(width)
            for text, width, is_number in zip(line, widths, numbers, strict=True)
        ]
        for line in lines
    ]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(line).rstrip() for line in cells)
