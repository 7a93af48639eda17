"""The exception for mistakes of the user, and how messages list things."""

from collections.abc import Iterable

_MAX_LISTED = 8


class UserError(Exception):
    """A mistake of the user, or something wrong with files, network or devices.

    The message is one sentence that says what is wrong, where, and what to do. It names parameters
    in backticks, e.g. "give `near` and `far`". The commands print it without a traceback, with
    flags in the place of parameters (`nerf.cli.messages`), and exit with status 1.
    """


def listed(items: Iterable[object]) -> str:
    """Lists up to eight items for a message, and says how many more there are."""
    texts = [str(item) for item in items]
    more = [f"and {len(texts) - _MAX_LISTED} more"] if len(texts) > _MAX_LISTED else []
    return ", ".join(texts[:_MAX_LISTED] + more)
