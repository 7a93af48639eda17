"""What a format of captures is: a record of all that depends on the format, see `Format`.

The reader of a format ends with its record, and `nerf.captures.formats` lists the records.
"""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from nerf.captures.capture import Capture
from nerf.captures.safe_files.reading import file_named

Sentences = Callable[[Path], Iterable[str]]


class Reader(Protocol):
    def __call__(
        self,
        folder: Path,
        factor: int | None = None,
        /,
        *,
        poses: Path | None = None,
        follow_links: bool = False,
    ) -> Capture:
        """Reads the capture in a folder, with the images of `images_N` if `factor` is N.

        The files of poses are in the folder itself, or in `poses` below it. Symbolic links that
        lead out of the folder are followed only with `follow_links`.

        Raises:
          UserError: for what is missing or impossible.
        """


class Detector(Protocol):
    def __call__(self, folder: Path, /, *, follow_links: bool = False) -> bool:
        """Whether a folder has the files of a format, told by their names and first bytes.

        Links that lead out of the folder are opened only with `follow_links`.
        """


class Names(NamedTuple):
    """Names of files and folders, which the messages about a folder without a scene look for.

    Attributes:
      files: the usual names of the files of poses, in lower case.
      suffixes: the endings of the files of poses, in lower case.
      scene: paths in the folder of a scene; any of them shows that it is one, and no file is opened
        to know it.
      parts: the names of the folders that a scene has, in lower case.
    """

    files: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    scene: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


class HandWritten(NamedTuple):
    """The poses of a format whose files people write themselves, so that axes may be wrong.

    Attributes:
      matrix: what a message calls the matrix of a pose.
      uses_opencv: whether its axes are OpenCV's: right, down, forward.
    """

    matrix: str = "transform_matrix"
    uses_opencv: bool = False


class LensAdvice(NamedTuple):
    """What to do about a lens that is impossible.

    Attributes:
      focal: if the focal length is.
      principal_point: if the principal point is.
    """

    focal: str
    principal_point: str


CORRECT_CAMERA = LensAdvice("correct the camera", "correct the camera")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
    """A format of captures.

    Attributes:
      name: what `format` is to choose it, and `Capture.format`.
      files_in_words: its files, for the list of what a folder must contain to be a scene; empty for
        a format that nobody makes from photographs.
      read: reads a folder.
      is_in: whether a folder has its files.
      names: the names of its files and folders.
      may_be_in: whether a folder may have its files, under other names or incomplete; asked only
        if no format is found. None if this cannot be.
      opens_files: whether files are opened for these answers; else only their names are looked at.
      missing: gives sentences on what a folder lacks that has other files of the format.
      guesses: gives sentences on files that may be meant as those of the format; asked last.
      by_hand: how people write its poses themselves; None if only programs do, which leave no
        choice of axes.
      lens_advice: what to do about an impossible lens.
    """

    name: str
    files_in_words: str
    read: Reader
    is_in: Detector
    names: Names
    may_be_in: Detector | None = None
    opens_files: bool = True
    missing: Sentences | None = None
    guesses: Sentences | None = None
    by_hand: HandWritten | None = None
    lens_advice: LensAdvice = CORRECT_CAMERA


def has_file(name: str) -> Detector:
    """A function that tells whether a folder has a file of a name. It opens no file."""

    def is_in(folder: Path, /, *, follow_links: bool = False) -> bool:
        return file_named(folder, name) is not None

    return is_in
