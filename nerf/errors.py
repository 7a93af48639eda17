"""The one exception that stands for a user's mistake."""


class UserError(Exception):
    """Something outside the program is not as it must be; the message is one clear sentence.

    The message says what was looked for, where, and what to do. `nerf.main` prints it without a
    traceback and exits with a non-zero status.
    """
