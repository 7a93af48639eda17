"""Kinds of image files, told by their first bytes, and what to do about those that are not read.

The name of a file says nothing here: a HEIC image may be called `.jpg`. Only the kinds that have
decoders below are ever decoded, each by its own decoder: Pillow knows many more, and some of its
decoders start other programs.

Sources: the file signatures in the specifications of the formats; ISO/IEC 14496-12 for `ftyp`.
"""

import functools
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import features

from nerf.captures.safe_files.reading import ALWAYS_READ
from nerf.errors import UserError

HEAD_BYTES = 512  # that `kind_of` looks at
_MAX_NAMED = 3  # files of one fault
_VIDEO = "ffmpeg -i VIDEO -vf fps=3 -qscale:v 2 images/%04d.jpg"


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
      name: what follows "which is" in a message.
      decoders: Pillow's names of the decoders that read it; none if it is not read.
      advice: what to do with it if it is not read; empty for what can be converted to PNG.
    """

    name: str
    decoders: tuple[str, ...] = ()
    advice: str = ""

    @property
    def convertible(self) -> bool:
        """Whether it is an image that is not read, and another program could convert it."""
        return not (self.decoders or self.advice or self.name == "of no known kind")


_PNG = Kind("PNG", ("PNG",))
_JPEG = Kind("JPEG", ("JPEG", "MPO"))  # MPO is a JPEG file with more images after the first
_WEBP = Kind("WebP", ("WEBP",))
TIFF = Kind("TIFF", ("TIFF",))
_BMP = Kind("BMP", ("BMP",))
_AVIF = Kind("AVIF", ("AVIF",))
_HEIC = Kind("HEIC", ("HEIF",))
RAW = Kind("camera raw")
_ANIMATION = Kind("GIF")
_VIDEO_FILE = Kind("video", advice=f"take frames of {{it}}, e.g. `{_VIDEO}`")
_TEXT = Kind("text, not an image", advice="copy {it} again")
_UNKNOWN = Kind("of no known kind")

_SIGNATURES: tuple[tuple[bytes, Kind], ...] = (
    (b"\x89PNG\r\n\x1a\n", _PNG),
    (b"\xff\xd8\xff", _JPEG),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"II+\0", TIFF),
    (b"MM\0+", TIFF),
    (b"BM", _BMP),
    (b"GIF8", _ANIMATION),
    (b"\x76\x2f\x31\x01", Kind("OpenEXR")),
    (b"#?RADIANCE", Kind("Radiance HDR")),
    (b"#?RGBE", Kind("Radiance HDR")),
    (b"\xff\x0a", Kind("JPEG XL")),
    (b"\0\0\0\x0cJXL ", Kind("JPEG XL")),
    (b"\0\0\0\x0cjP  ", Kind("JPEG 2000")),
    (b"\xff\x4f\xff\x51", Kind("JPEG 2000")),
    (b"8BPS", Kind("Photoshop's PSD")),
    (b"qoif", Kind("QOI")),
    (b"DDS ", Kind("DDS")),
    *((b"P%d%c" % (n, c), Kind("PNM")) for n in range(1, 8) for c in b" \t\r\n"),
    (b"PF\n", Kind("PFM")),
    (b"Pf\n", Kind("PFM")),
    (b"FUJIFILMCCD-RAW", RAW),
    (b"IIRO", RAW),
    (b"IIRS", RAW),
    (b"MMOR", RAW),
    (b"IIU\0", RAW),
    (b"FOVb", RAW),
    (b"\0MRM", RAW),
    (b"\x1a\x45\xdf\xa3", _VIDEO_FILE),
    (b"\0\0\x01\xba", _VIDEO_FILE),
    (b"\0\0\x01\xb3", _VIDEO_FILE),
    (b"%!PS", Kind("PostScript")),
    (b"%PDF", Kind("PDF")),
    (b"\x93NUMPY", Kind("NumPy's .npy", advice="write {it} as PNG")),
    (b"PK\x03\x04", Kind("zipped", advice="unpack {it}")),
    (b"\x1f\x8b", Kind("compressed with gzip", advice="unpack {it}")),
    (
        b"version https://git-lfs",
        Kind("what Git LFS has in place of content", advice="run `git lfs pull` in the clone"),
    ),
)  # fmt: skip
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), _AVIF),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), _HEIC),
    **dict.fromkeys((b"mif1", b"msf1"), _HEIC),
    b"crx ": RAW,
}


def kind_of(head: bytes) -> Kind:
    """The kind of a file.

    Args:
      head: its first `HEAD_BYTES`, or all that it has.

    >>> (
    ...     kind_of(b"BM....").name,
    ...     kind_of(bytes(4) + b"ftypheic").name,
    ...     kind_of(b"hello").name,
    ... )
    ('BMP', 'HEIC', 'text, not an image')
    """
    if not head:
        return Kind("empty", advice="copy {it} again")
    if not head.strip(b"\0"):
        return Kind("full of zeros", advice="copy {it} again")
    if head[:4] == b"RIFF":
        return _WEBP if head[8:12] == b"WEBP" else _VIDEO_FILE
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    if head[:4] in (b"II*\0", b"MM\0*") and head[8:10] == b"CR":
        return RAW  # of Canon
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free"):  # QuickTime before `ftyp` existed
        return _VIDEO_FILE
    return _TEXT if _is_text(head) else _UNKNOWN


def _of_brands(head: bytes) -> Kind:
    """The kind of a file of ISO's base media format: by its major brand, else by the others."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[start : start + 4] for start in range(16, size - 3, 4))]
    if brands[0] in (b"mif1", b"msf1"):  # these say only that it contains an image
        brands = [*brands[1:], brands[0]]
    return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), _VIDEO_FILE)


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # a character may be cut at the end
            return False
        text = head[: error.start].decode("utf-8")
    return bool(text) and all(letter.isprintable() or letter in "\t\r\n\f" for letter in text)


class UnreadableImage(UserError):
    """An image file that cannot be read.

    Attributes:
      file: the file.
      fault: what is wrong, with `{is}` and `{it}` where one file or several are meant.
      advice: what to do, likewise.
      kind: equal for faults that one sentence tells of.
    """

    def __init__(self, file: Path, fault: str, advice: str, kind: str = ""):
        self.file, self.fault, self.advice = file, fault, advice
        self.kind = kind or fault
        super().__init__(f"cannot read the image {file}, which {self._words('is', 'it')}")

    def _words(self, verb: str, pronoun: str) -> str:
        text = f"{self.fault}: {self.advice}"
        return text.replace("{is}", verb).replace("{it}", pronoun)

    def of_mask(self) -> str:
        """The sentence for the file of a mask; a smaller `max_size` would not help."""
        advice = 'make {it} smaller, or leave masks out with `masks="ignore"`'
        if not isinstance(self, TooLargeImage):
            advice = f'{self.advice}, or leave masks out with `masks="ignore"`'
        text = f"{self.fault}: {advice}".replace("{is}", "is").replace("{it}", "it")
        return f"cannot read the mask {self.file}, which {text}"

    def of_several(self, files: Sequence[Path]) -> str:
        """The sentence for more than one file with this fault."""
        names = ", ".join(file.name for file in files[:_MAX_NAMED])
        more = f" and {len(files) - _MAX_NAMED} more" if len(files) > _MAX_NAMED else ""
        return (
            f"cannot read {len(files)} images in {self.file.parent} ({names}{more}), which "
            f"{self._words('are', 'them')}"
        )


class TooLargeImage(UnreadableImage):
    """An image with too many pixels."""


def messages_on_unreadable(errors: Sequence[UserError]) -> list[str]:
    """One sentence for each kind of fault, in the order of the first files that have it."""
    groups: dict[tuple[object, ...], list[UserError]] = {}
    for error in errors:
        key: tuple[object, ...] = (str(error),)
        if isinstance(error, UnreadableImage):
            key = (error.file.parent, error.kind, error.advice)
        groups.setdefault(key, []).append(error)
    return [_message(group) for group in groups.values()]


def _message(group: Sequence[UserError]) -> str:
    first = group[0]
    files = [error.file for error in group if isinstance(error, UnreadableImage)]
    if isinstance(first, UnreadableImage) and len(files) > 1:
        return first.of_several(files)
    return str(first)


def conversion(file: Path) -> str:
    """What to convert a file to, and the command that does so with all like it in its folder.

    A file that is called `.jpg` and is something else becomes JPEG: poses know it by that name.
    """
    folder = shlex.quote(str(file.parent))
    if file.suffix.lower() in ALWAYS_READ:
        form = file.suffix[1:].lower()
        return f"what the name says, e.g. `mogrify -format {form} {folder}/*{file.suffix}`"
    return f"PNG, e.g. `mogrify -format png {folder}/*{file.suffix}`"


def not_read(file: Path, kind: Kind) -> UnreadableImage:
    """The error for a file of a kind that is not read, or that has no decoder here."""
    fault = f"{{is}} {kind.name}"
    convert = f"convert {{it}} to {conversion(file)}"
    if kind is _HEIC:
        return UnreadableImage(
            file, fault, f"install its decoder, `pip install pillow-heif`, or {convert}"
        )
    if kind is _AVIF:
        return UnreadableImage(
            file, fault, f"install its decoder, `pip install -U 'pillow>=11.3'`, or {convert}"
        )
    return UnreadableImage(file, fault, kind.advice or convert)


def decoders_of(kind: Kind) -> tuple[str, ...]:
    """Pillow's decoders for a kind that are installed; loads the one for HEIC if there is one."""
    if kind is _HEIC and not _load_heic_decoder():
        return ()
    if kind in (_AVIF, _WEBP) and kind.name.lower() not in _optional_decoders():
        return ()
    return kind.decoders


@functools.cache
def _optional_decoders() -> tuple[str, ...]:
    """The optional decoders that this installation of Pillow contains."""
    return tuple(features.get_supported())


def _load_heic_decoder() -> bool:
    """Whether the extra `heic` is installed; its decoder is then known to Pillow."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True
