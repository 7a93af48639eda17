"""Trying the advice of docs/captures.md: a case makes a fault, then does what the page says.

A case is a generator. It yields a capture at fault, or several of them, and at last the capture
that the advice has made of it. A capture is a folder, a folder with options, or a function that
returns notes.
"""

import glob
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from nerf import inspect  # which defines all flags of captures
from nerf.captures.capture import InvalidCapture
from nerf.cli.messages import as_flags
from nerf.errors import UserError
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions

Attempt = Path | tuple[Path, dict[str, object]] | Callable[[], list[str]]
Case = Callable[[Path, pytest.MonkeyPatch], Iterator[Attempt]]
CASES: dict[str, Case] = {}  # by the first message of their row in "Error messages"
PAGE = Path(inspect.__file__).parents[1] / "docs" / "captures.md"


class Outcome(NamedTuple):
    """What a capture ended with."""

    is_read: bool
    sentences: list[str]


def advises(row: str) -> Callable[[Case], Case]:
    """Makes a function the case of the row whose first message this is."""

    def register(case: Case) -> Case:
        assert row not in CASES, row
        CASES[row] = case
        return case

    return register


def try_out(attempt: Attempt) -> Outcome:
    """Loads a capture; the sentences are as the command line prints them."""
    try:
        is_read, sentences = True, _notes(attempt)
    except InvalidCapture as error:
        is_read, sentences = False, list(error.problems)
    except UserError as error:
        is_read, sentences = False, [str(error)]
    return Outcome(is_read, [as_flags(text, inspect.FLAGS) for text in sentences])


def _notes(attempt: Attempt) -> list[str]:
    if callable(attempt):
        return attempt()
    folder, options = attempt if isinstance(attempt, tuple) else (attempt, {})
    return list(load_folder(folder, CaptureOptions(**options)).notes)


def sentence(attempt: Attempt) -> str:
    """The first sentence of a capture that is not read."""
    outcome = try_out(attempt)
    assert not outcome.is_read, outcome
    return outcome.sentences[0]


def table_of(heading: str) -> list[list[str]]:
    """The cells of the rows of the table below a heading of the page."""
    section = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2]
    rows = re.findall(r"^\| (.*)\|$", section.partition("\n## ")[0], re.M)
    return [[cell.strip() for cell in row.split("|")] for row in rows[2:]]


def messages_in(cell: str) -> list[str]:
    """The messages in backticks of a cell; flags alone are none."""
    return re.findall(r"`(--\w+=\w+ [^`]+|[^`-][^`]*)`", cell)


def has_message(message: str, outcome: Outcome) -> bool:
    """Whether a message of the page is in what was said; N and ... stand for anything."""
    parts = re.split(r"\.\.\.|\bN\b", message)
    pattern = re.compile(".*".join(map(re.escape, parts)))
    return any(map(pattern.search, outcome.sentences))


def run_command_of(text: str, cwd: Path) -> None:
    """Runs the commands in backticks of a message: `mkdir`, and what we use of `mogrify`."""
    (commands,) = re.findall(r"`((?:mkdir|mogrify) [^`]*)`", text)
    for command in commands.split("; "):
        program, *words = shlex.split(command)
        if program == "mkdir":
            (cwd / words[0]).mkdir()
        else:
            _mogrify(words, cwd)


def _mogrify(words: list[str], cwd: Path) -> None:
    options = dict(zip(words[:-1:2], words[1:-1:2], strict=True))
    assert options.keys() <= {"-format", "-path", "-resize"}, options
    for name in glob.glob(str(cwd / words[-1])):
        file = Path(name)
        with Image.open(file) as opened:
            image = opened.convert("RGB")
        if "-resize" in options:
            image = image.reduce(round(100 / float(options["-resize"].removesuffix("%"))))
        out = cwd / options["-path"] / file.name if "-path" in options else file
        image.save(out.with_suffix(f".{options['-format']}") if "-format" in options else out)
