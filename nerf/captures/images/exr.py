"""One channel of an OpenEXR image: scan lines without loss, by run lengths or by ZIP.

Source: the OpenEXR project, "OpenEXR File Layout".
"""

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.captures.safe_files.reading import read_bytes
from nerf.errors import UserError, listed

_MAX_BYTES = 2**28
_MAX_PIXELS = 2**26
_MAGIC = b"\x76\x2f\x31\x01"
_NOT_SCAN_LINES = 0x200 | 0x800 | 0x1000  # tiles, deep data, several parts
_DTYPES: Mapping[int, np.dtype[Any]] = {0: np.dtype("<u4"), 1: np.dtype("<f2"), 2: np.dtype("<f4")}
_LINES = {0: 1, 1: 1, 2: 1, 3: 16}  # of a block, by compression: none, run lengths, ZIPS, ZIP
_RUN_LENGTHS = 1


class _ExrHeader(NamedTuple):
    """The values of the header.

    Attributes:
      channels: names and types, in the order of the data.
      compression: a key of `_LINES`.
      top: the number of the first line.
      height, width: in pixels.
      end: where the header ends in the file.
    """

    channels: tuple[tuple[str, np.dtype[Any]], ...]
    compression: int
    top: int
    height: int
    width: int
    end: int


def read_channel(
    path: Path, names: Sequence[str], *, follow_links: bool = False
) -> npt.NDArray[np.float32]:
    """Reads a channel of an image.

    Args:
      path: an .exr file.
      names: of channels; the first that is there is read, or the only channel.
      follow_links: whether a link that leads out of its folder is followed.

    Returns:
      `[height, width]`.

    Raises:
      UserError: if the file is damaged, compressed in another way, or has none of the channels.
    """
    content = read_bytes(path, _MAX_BYTES, follow_links=follow_links)
    try:
        header = _header(content, path)
        known = [name for name, _ in header.channels]
        wanted = known[0] if len(known) == 1 else next((n for n in names if n in known), None)
        if wanted is None:
            raise UserError(
                f"{path} has the channels {listed(known)}, and none of {listed(names)}: export it "
                "again"
            )
        return _pixels(content, header, wanted)
    except (struct.error, zlib.error, ValueError, KeyError, IndexError, OverflowError) as error:
        raise UserError(
            f"{path} is not an OpenEXR image, or is damaged "
            f"({error or type(error).__name__}): copy or "
            "export it again"
        ) from error


def _header(content: bytes, path: Path) -> _ExrHeader:
    if content[:4] != _MAGIC:
        raise ValueError("its first bytes are not those of OpenEXR")
    (version,) = struct.unpack_from("<I", content, 4)
    values, end = _attributes(content, 8)
    left, top, right, bottom = struct.unpack("<4i", values["dataWindow"])
    height, width = bottom - top + 1, right - left + 1
    if not (height > 0 and width > 0 and height * width <= _MAX_PIXELS):
        raise ValueError(f"its size is {width} x {height}")
    compression = values["compression"][0]
    if version & _NOT_SCAN_LINES or compression not in _LINES:
        raise UserError(
            f"{path} has tiles, or a compression that is not read: write it as scan lines with ZIP "
            "or no compression"
        )
    return _ExrHeader(tuple(_channels(values["channels"])), compression, top, height, width, end)


def _attributes(content: bytes, at: int) -> tuple[Mapping[str, bytes], int]:
    """The attributes by their names, and the offset of their end."""
    values = {}
    while content[at] != 0:
        name_end = content.index(b"\0", at)
        type_end = content.index(b"\0", name_end + 1)
        (size,) = struct.unpack_from("<i", content, type_end + 1)
        start = type_end + 5
        if not 0 <= size <= len(content) - start:
            raise ValueError("an attribute ends too late")
        values[content[at:name_end].decode("latin-1")] = content[start : start + size]
        at = start + size
    return values, at + 1


def _channels(data: bytes) -> list[tuple[str, np.dtype[Any]]]:
    found: list[tuple[str, np.dtype[Any]]] = []
    at = 0
    while data[at] != 0:
        end = data.index(b"\0", at)
        kind, _, across, down = struct.unpack_from("<4i", data, end + 1)
        if (across, down) != (1, 1):
            raise ValueError("a channel has fewer pixels than the others")
        found.append((data[at:end].decode("latin-1"), _DTYPES[kind]))
        at = end + 17
    return found


def _pixels(content: bytes, header: _ExrHeader, channel: str) -> npt.NDArray[np.float32]:
    lines = _LINES[header.compression]
    num_blocks = -(-header.height // lines)
    offsets = struct.unpack_from(f"<{num_blocks}Q", content, header.end)
    line_bytes = header.width * sum(dtype.itemsize for _, dtype in header.channels)
    before = 0
    for name, dtype in header.channels:
        if name == channel:
            break
        before += header.width * dtype.itemsize
    image = np.zeros((header.height, header.width), np.float32)
    for offset in offsets:
        number, size = struct.unpack_from("<2i", content, offset)
        first = number - header.top
        count = min(lines, header.height - first)
        if first < 0 or count <= 0 or size < 0:
            raise ValueError("a block is not in the image")
        data = _unpacked(
            content[offset + 8 : offset + 8 + size], header.compression, count * line_bytes
        )
        rows = np.frombuffer(data, np.uint8).reshape(count, line_bytes)
        chosen = np.ascontiguousarray(rows[:, before : before + header.width * dtype.itemsize])
        image[first : first + count] = chosen.view(dtype).astype(np.float32)
    return image


def _unpacked(data: bytes, compression: int, size: int) -> bytes:
    """The `size` bytes of a block."""
    if compression == 0 or len(data) == size:  # what compression would make longer is stored
        plain = data
    else:
        packed = _runs(data, size) if compression == _RUN_LENGTHS else _inflated(data, size)
        steps = np.frombuffer(packed, np.uint8).astype(np.int64)
        steps[1:] -= 128
        values = np.cumsum(steps).astype(np.uint8)
        half = (len(values) + 1) // 2
        joined = np.empty_like(values)
        joined[0::2], joined[1::2] = values[:half], values[half:]
        plain = joined.tobytes()
    if len(plain) != size:
        raise ValueError(f"a block has {len(plain):,} bytes, not {size:,}")
    return plain


def _inflated(data: bytes, size: int) -> bytes:
    return zlib.decompressobj().decompress(data, size)


def _runs(data: bytes, size: int) -> bytes:
    """A count of at least 0 repeats the next byte once more often; a negative one copies bytes."""
    found, at = bytearray(), 0
    while at < len(data) and len(found) < size:
        count = data[at] - 256 if data[at] > 127 else data[at]
        if count < 0:
            found += data[at + 1 : at + 1 - count]
            at += 1 - count
        else:
            found += data[at + 1 : at + 2] * (count + 1)
            at += 2
    return bytes(found)
