"""Docstrings of this project as Markdown, for the API reference that `make docs` builds.

Three habits of the source need help: an example has no heading, one entry may describe several
arguments ("near, far: ..."), and a full name in backticks (`nerf.field.register`) should be a link,
so that the build fails when the name is gone.
"""

import re
from collections.abc import Iterator

_SECTION = re.compile(r"(Args|Attributes|Raises):$")
# A member of a class has no separate anchor, so its link leads to the class.
_NAME = re.compile(r"(?<!`)`((nerf(?=\.)(?:\.[a-z_]\w*)*(?:\.[A-Z]\w*)?)(?:\.\w+)?)`(?!`)")
_ENTRY = re.compile(r"(?P<indent> +)(?P<names>\w+(, \w+)+): (?P<text>.*)$")


def to_markdown(docstring: str) -> str:
    r"""Turns examples into code blocks, full names into links, and splits entries of several names.

    Args:
      docstring: without the indentation of its source, as `inspect.cleandoc` returns it.
    """
    linked = _NAME.sub(r"[`\1`][\2]", docstring)
    return "\n".join(_fence_examples(_split_entries(linked.splitlines())))


def _fence_examples(lines: list[str]) -> Iterator[str]:
    inside = False
    for line in lines:
        if not inside and line.startswith(">>> "):
            inside = True
            yield "```pycon"
        elif inside and not line:
            inside = False
            yield "```"
        yield line
    if inside:
        yield "```"


def _split_entries(lines: list[str]) -> list[str]:
    result: list[str] = []
    in_section = False
    while lines:
        line, *lines = lines
        if line and not line.startswith(" "):
            in_section = _SECTION.match(line) is not None
        entry = _ENTRY.match(line) if in_section else None
        if entry is None:
            result.append(line)
            continue
        deeper = entry["indent"] + " "
        rest = 0
        while rest < len(lines) and lines[rest].startswith(deeper):
            rest += 1
        for name in entry["names"].split(", "):
            result.append(f"{entry['indent']}{name}: {entry['text']}")
            result.extend(lines[:rest])
        lines = lines[rest:]
    return result
