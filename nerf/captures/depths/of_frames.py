"""The depth images that a transforms.json names.

    key                file                       the value 1                    source
    `depth_file_path`  PNG or .npy                `depth_unit_scale_factor`,     nerfstudio
                                                  0.001 if it is missing
    `depth_path`       PNG                        `integer_depth_scale`          instant-ngp

Depth is along the viewing axis. Its unit is that of the poses before `applied_scale`. Whether it is
is checked when a scene is made, see `nerf.scenes.depth_alignment`.

Source: nerfstudio's "Data conventions", `depth_dataset.py` and `nerfstudio_dataparser.py`;
instant-ngp's `nerf_loader.cu`.
"""

import itertools
from collections import ChainMap
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from nerf.captures.depths.images import DEPTH_SUFFIXES
from nerf.captures.depths.known import DepthFile
from nerf.captures.images.names import ImageMatches
from nerf.captures.json_files.values import Numbers
from nerf.captures.safe_files.reading import check_inside, folder_at, is_file, path_inside
from nerf.errors import UserError, counted, listed_shortly

_MILLIMETRE = 1e-3
_KEYS = (("depth_file_path", "depth_unit_scale_factor"), ("depth_path", "integer_depth_scale"))


def depth_of_frames(
    path: Path, content: Mapping[str, Any], names: Sequence[str], images: ImageMatches
) -> tuple[tuple[DepthFile | None, ...], list[str]]:
    """The depth images of frames, and notes on those that cannot be used.

    Args:
      path: the file.
      content: what it holds.
      names: `[num_views]`, each frame's `file_path`.
      images: the images of these names.

    Returns:
      `[num_views]`, None for a frame without a depth image; empty if no frame has one.
    """
    entries = {
        entry.get("file_path"): ChainMap(entry, dict(content))
        for entry in content["frames"]
        if isinstance(entry, dict) and isinstance(entry.get("file_path"), str)
    }
    found: list[DepthFile | None] = []
    problems: list[str] = []
    missing: list[str] = []
    for name in names:
        values = entries.get(name, ChainMap({}))
        try:
            depth = _depth_of(path, values, images)
        except UserError as problem:
            problems.append(str(problem))
            depth = None
        if depth is not None and not is_file(depth.file):
            missing.append(depth.file.relative_to(images.folder).as_posix())
            depth = None
        found.append(depth)
    notes = []
    if missing:
        some = counted(len(missing), "depth image")
        notes.append(f"{some} that {path.name} names are missing: {listed_shortly(missing)}")
    if problems:
        rest = f", and {len(problems) - 1} more like it" if len(problems) > 1 else ""
        notes.append(f"a depth image is not used: {problems[0]}{rest}")
    return tuple(found) if any(found) else (), notes


def _depth_of(path: Path, values: Mapping[str, Any], images: ImageMatches) -> DepthFile | None:
    """The depth image of a frame, which may be missing; None if the frame does not name one.

    Raises:
      UserError: if its name or its unit cannot be used.
    """
    for key, unit_key in _KEYS:
        name = values.get(key)
        if not name:
            continue
        if not isinstance(name, str):
            raise UserError(f"{path.name}: {key} must be a name, not {str(name)[:50]!r}")
        file = _find(tuple(dict.fromkeys((path.parent, images.folder))), name)
        if file is None:
            raise UserError(
                f"{path.name}: {key} {name[:100]!r} leads out of the folder: copy the file into it"
            )
        check_inside(images.folder, file, follow_links=images.follow_links)
        if is_file(file) and file.suffix.lower() not in DEPTH_SUFFIXES:
            raise UserError(
                f"{path.name}: {key} {name[:100]!r} is none of {', '.join(DEPTH_SUFFIXES)}: "
                "convert it"
            )
        numbers = Numbers(values, path.name)
        unit = numbers(unit_key, _MILLIMETRE) * numbers("applied_scale", 1.0)
        if not unit > 0:
            raise UserError(f"{path.name}: {unit_key} must be more than 0: give the unit of depth")
        return DepthFile(file, unit)
    return None


def _find(folders: Sequence[Path], name: str) -> Path | None:
    """The file that a name refers to, in one of several folders.

    The name is tried as it is given, then without its first folders, each time also with the
    suffixes of depth images and with folders in other capitals. The last part of a path is not
    tried by itself, since the colour image often has the same name.

    Returns:
      The file. If none exists, the path as it is given, or None if that leads out of the folder.
    """
    parts = [
        p for p in PurePosixPath(name.replace("\\", "/")).parts if p.strip("/.") and ":" not in p
    ]
    for folder, start in itertools.product(folders, range(max(1, len(parts) - 1))):
        place = folder_at(folder, "/".join(parts[start:-1])).joinpath(*parts[-1:])
        for suffix in ("", *DEPTH_SUFFIXES):
            file = place.with_name(place.name + suffix)
            if is_file(file):
                return file
    for folder in folders:
        relative = path_inside(folder, name, what="depth image")
        if relative is not None:
            return folder / relative
    return None
