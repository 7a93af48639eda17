"""A small process that prints a sentence if the process that started it dies silently.

JAX ends the processes of a job at once when one of them is lost, and `kill -9` leaves no time for a
sentence either; so another process says it. It is run as a file, without any package, and reads
lines from its standard input: each replaces the sentence to print, and an empty one clears it.
"""

import contextlib
import os
import subprocess
import sys
from typing import IO


class LastWords:
    """The sentence that is said if this process ends without `close`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        with contextlib.suppress(OSError):  # a system that starts no process: nothing is said
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", os.path.abspath(__file__)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C in a terminal is not for it
            )

    def say_at_end(self, sentence: str) -> None:
        """Sets the sentence, one line; an empty one prints nothing."""
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(OSError):
            self._process.stdin.write(" ".join(sentence.split()) + "\n")
            self._process.stdin.flush()

    def close(self) -> None:
        """Ends the small process, which then prints nothing."""
        self.say_at_end("")
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self._process.wait()
        self._process = None


def listen(lines: IO[str], output: IO[str]) -> None:
    """Reads sentences to the end, and says the last one if there is one."""
    sentence = ""
    for line in lines:
        sentence = line.strip()
    if sentence:
        with contextlib.suppress(OSError):  # whoever reads may be gone as well
            print(sentence, file=output, flush=True)


if __name__ == "__main__":
    listen(sys.stdin, sys.stderr)
