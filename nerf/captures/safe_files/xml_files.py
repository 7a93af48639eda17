"""Reading XML files that may be damaged or hostile: limited, and without entities."""

import re
from pathlib import Path
from xml.etree import ElementTree

from nerf.captures.safe_files.reading import check_inside, encoding_of, read_bytes, text_of
from nerf.errors import UserError

_MAX_ELEMENTS = 2_000_000
_HEAD_BYTES = 4096  # in which `xml_root_name` looks for the first element


def read_xml(path: Path, *, follow_links: bool = False) -> ElementTree.Element:
    """Reads an XML file in UTF-8, UTF-16 or an encoding whose letters are single bytes.

    A file that defines entities is refused: a few lines of them can stand for gigabytes of text, or
    name other files. No program that is read here writes any.

    Raises:
      UserError: if it cannot be read, is not valid XML, or defines entities.
    """
    content = read_bytes(path, follow_links=follow_links)
    if encoding_of(content) != "utf-8":
        text = text_of(content).encode("utf-8", errors="replace")
        content = re.sub(rb"^\s*<\?xml[^>]*\?>", b"", text)  # which names the other encoding
    if b"\0" in content or b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise UserError(f"{path} is not plain XML without a DOCTYPE: export it again")
    if content.count(b"<") > _MAX_ELEMENTS:
        raise UserError(f"{path} has more than {_MAX_ELEMENTS:,} elements: export fewer cameras")
    try:
        return ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UserError(f"{path} is not valid XML ({error}): copy or export it again") from error


def head_of(path: Path, *, follow_links: bool = False) -> bytes:
    """The first bytes of a file, to tell what it is.

    They are empty if it cannot be read, or is a link that leads out of its folder and is not
    followed.
    """
    try:
        check_inside(path.parent, path, follow_links=follow_links)
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except (OSError, UserError):
        return b""


def text_head_of(path: Path, *, follow_links: bool = False) -> str:
    """The same of a text file, in whichever encoding of `text_of`."""
    return text_of(head_of(path, follow_links=follow_links))
