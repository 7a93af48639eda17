"""The exception for mistakes of the user, and how messages list things."""

import unicodedata
from collections.abc import Iterable

_MAX_LISTED = 8
_MAX_LISTED_SHORTLY = 3


class UserError(Exception):
    """A mistake of the user, or something wrong with files, network or devices.

    The message is one sentence that says what is wrong, where, and what to do. It names parameters
    in backticks, e.g. "give `near` and `far`". The commands print it without a traceback, with
    flags in the place of parameters (`nerf.cli.messages`), and exit with status 1. Names in it may
    come from anywhere, so what no terminal shows becomes an escape.
    """

    def __init__(self, message: str = ""):
        super().__init__(printable(message))


def listed(items: Iterable[object]) -> str:
    """Lists up to eight items for a message, and says how many more there are."""
    return _listed(items, _MAX_LISTED)


def listed_shortly(items: Iterable[object]) -> str:
    """Lists up to three items for a message, and says how many more there are."""
    return _listed(items, _MAX_LISTED_SHORTLY)


def _listed(items: Iterable[object], limit: int) -> str:
    texts = [printable(str(item)) for item in items]
    more = [f"and {len(texts) - limit} more"] if len(texts) > limit else []
    return ", ".join(texts[:limit] + more)


def counted(number: int, one: str, several: str | None = None) -> str:
    """A count and what is counted, in the singular or the plural.

    >>> (
    ...     counted(1, "image"),
    ...     counted(2000, "image"),
    ...     counted(1, "pose has", "poses have"),
    ... )
    ('1 image', '2,000 images', '1 pose has')
    """
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def printable(text: str) -> str:
    r"""A name for a message: characters that terminals do not show, e.g. line ends, become escapes.

    >>> printable("Säule 1.png"), printable("a\nb")
    ('Säule 1.png', 'a\\nb')
    """
    if text.isprintable():
        return text
    hidden = ("Cc", "Cs", "Zl", "Zp")  # control characters, surrogates, ends of lines
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in hidden else c
        for c in text
    )
