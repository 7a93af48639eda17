"""A small process that prints a message if the process that started it dies silently.

JAX ends the processes of a job at once when one of them is lost, and `kill -9` leaves no time for a
message either; so another process prints it. It is run as a file, without any package, and reads
lines from its standard input: each replaces the message to print, and an empty one clears it.
"""

import contextlib
import os
import subprocess
import sys
from typing import IO


class ExitReport:
    """The message that is printed if this process ends without `close`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        with contextlib.suppress(OSError):  # a system that starts no process: nothing is printed
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", os.path.abspath(__file__)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C in a terminal is not for it
            )

    def set_message(self, message: str) -> None:
        """Sets the message, one line; an empty one prints nothing."""
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(OSError):
            self._process.stdin.write(" ".join(message.split()) + "\n")
            self._process.stdin.flush()

    def close(self) -> None:
        """Ends the small process, which then prints nothing."""
        self.set_message("")
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self._process.wait()
        self._process = None


def print_last_message(lines: IO[str], output: IO[str]) -> None:
    """Reads messages to the end of the input, and prints the last one unless it is empty."""
    message = ""
    for line in lines:
        message = line.strip()
    if message:
        with contextlib.suppress(OSError):  # whoever reads may be gone as well
            print(message, file=output, flush=True)


if __name__ == "__main__":
    print_last_message(sys.stdin, sys.stderr)
