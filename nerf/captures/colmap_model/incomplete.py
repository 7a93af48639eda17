"""Folders that have some of the files of a COLMAP model; only the names of files are looked at."""

from collections.abc import Iterator
from pathlib import Path

from nerf.captures.safe_files.reading import file_named
from nerf.errors import listed

_FOLDERS = ("sparse/0", "colmap/sparse/0", "sparse", "colmap/sparse", "colmap", ".")
_PARTS = ("cameras", "images")  # without which a model is not read


def missing_parts(folder: Path) -> Iterator[str]:
    """Sentences on the models of a capture that lack a file."""
    for name in _FOLDERS:
        yield from _of_model(folder / name)


def _of_model(model: Path) -> Iterator[str]:
    """The files of a COLMAP model that a folder has."""
    if not model.is_dir():
        return
    parts = (*_PARTS, "points3D")
    found = {
        part: path.suffix[1:].lower()
        for part in parts
        for path in [file_named(model, f"{part}.bin", f"{part}.txt")]
        if path is not None
    }
    if not found or (model.parts[-1:] and len(found) == 1 and not model.name.isdecimal()):
        return
    suffix = next(iter(found.values()))
    missing = [f"{part}.{suffix}" for part in _PARTS if found.get(part) != suffix]
    if missing:
        there = listed(f"{part}.{form}" for part, form in found.items())
        yield (
            f"{model} has {there} of a COLMAP model, but no {' and no '.join(missing)}: copy "
            f"{'it' if len(missing) == 1 else 'them'} there, or run COLMAP again"
        )
