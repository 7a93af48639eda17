"""The one exception that stands for a user's mistake, and how its sentence names things."""

from collections.abc import Iterable

_MAX_LISTED = 8


class UserError(Exception):
    """Something outside the program is not as it must be; the message is one clear sentence.

    The message says what was looked for, where, and what to do. `nerf.main` prints it without a
    traceback and exits with a non-zero status.
    """


def listed(items: Iterable[object]) -> str:
    """A few items separated by commas, and how many more there are."""
    texts = [str(item) for item in items]
    more = [f"and {len(texts) - _MAX_LISTED} more"] if len(texts) > _MAX_LISTED else []
    return ", ".join(texts[:_MAX_LISTED] + more)
