"""The list of the formats of captures, and which of them a folder has.

All that depends on a format is in its record, a `nerf.captures.format_record.Format`, with which
the module of its reader ends. The first format of the list whose files are in a folder is read,
unless the user chooses another.
"""

from pathlib import Path

from nerf.captures.format_record import Format
from nerf.captures.readers import (
    blender,
    bundler,
    colmap,
    gaussian_splatting,
    llff,
    metashape,
    polycam,
    realitycapture,
    record3d,
    scanner_app,
    trajectory,
    transforms,
)

_IN_ORDER = (
    llff.FORMAT,
    blender.FORMAT,
    transforms.FORMAT,
    colmap.FORMAT,
    record3d.FORMAT,
    polycam.FORMAT,
    scanner_app.FORMAT,
    metashape.FORMAT,
    realitycapture.FORMAT,
    bundler.FORMAT,
    trajectory.FORMAT,
    gaussian_splatting.FORMAT,
)
FORMATS: dict[str, Format] = {format.name: format for format in _IN_ORDER}


def formats_in(folder: Path, *, follow_links: bool = False) -> list[str]:
    """The names of the formats whose files are in a folder, in the order of `FORMATS`.

    If there are none, the first format that may be meant. Links that lead out of the folder are
    opened only with `follow_links`.
    """
    formats = FORMATS.values()
    found = [each.name for each in formats if each.is_in(folder, follow_links=follow_links)]
    if found:
        return found
    for each in formats:
        if each.may_be_in is not None and each.may_be_in(folder, follow_links=follow_links):
            return [each.name]
    return []


def pose_suffixes() -> set[str]:
    """The endings of the files of poses of all formats, in lower case."""
    return {suffix for each in FORMATS.values() for suffix in each.names.suffixes}
