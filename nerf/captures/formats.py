"""From a folder to a scene, whatever format it is in.

    llff         poses_bounds.npy
    blender      transforms_train.json
    nerfstudio   transforms.json; instant-ngp's is the same
    colmap       sparse/0 or colmap/sparse/0

The first that is found is taken, unless a format is asked for.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from nerf.captures import colmap, image_files, llff, transforms
from nerf.captures.capture import Capture, Problems, check_numbers, with_rotations
from nerf.captures.image_sizes import check_lenses, load_pixels, match_sizes, target_size
from nerf.errors import UserError
from nerf.scenes.download import default_cache_dir
from nerf.scenes.normalize import DEFAULT, NormalizeOptions, make_scene
from nerf.scenes.scene import Scene, Source

MAX_SIZE = 1008  # of a picture's longer side, unless the user says otherwise
_LEAST_TRANSPARENT = 0.001  # share of the pixels; of fewer none counts


class Reader(Protocol):
    def __call__(self, folder: Path, factor: int | None = None, /) -> Capture:
        """The capture in a folder, with pictures `factor` times smaller where there are some."""


FORMATS: dict[str, Reader] = {
    "llff": llff.read_llff,
    "blender": transforms.read_blender,
    "nerfstudio": transforms.read_nerfstudio,
    "colmap": colmap.read_colmap,
}


@dataclasses.dataclass(frozen=True)
class CaptureOptions:
    """How a folder is read.

    Attributes:
      format: one of `FORMATS`; None looks which one it is.
      factor: how many times smaller than the originals the pictures are to be; None leaves it to
        `max_size`, and in an LLFF folder takes the smallest pictures that are there.
      max_size: of the longer side in pixels; 0 for no limit.
      normalization: space, bounds and background.
    """

    format: str | None = None
    factor: int | None = None
    max_size: int = MAX_SIZE
    normalization: NormalizeOptions = DEFAULT


DEFAULT_CAPTURE_OPTIONS = CaptureOptions()


class LoadedScene(NamedTuple):
    """A scene, what it was made of, one-line remarks, and which pictures were turned upright."""

    scene: Scene
    capture: Capture
    notes: tuple[str, ...]
    upright: tuple[bool, ...]


def formats_in(folder: Path) -> list[str]:
    """The formats whose files a folder has."""
    found = {
        "llff": (folder / llff.POSES_FILE).exists(),
        "blender": (folder / transforms.BLENDER_FILE).exists(),
        "nerfstudio": (folder / transforms.NERFSTUDIO_FILE).exists(),
        "colmap": colmap.find_model(folder) is not None,
    }
    return [name for name in FORMATS if found[name]]


def read_capture(folder: Path, reading: CaptureOptions = DEFAULT_CAPTURE_OPTIONS) -> Capture:
    """Reads what a folder says, but no pixel.

    Raises:
      UserError: if it is no folder, holds no known format, or what it says is impossible.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give the folder of a scene")
    if reading.format is not None and reading.format not in FORMATS:
        raise UserError(f"unknown format {reading.format!r}: choose one of {', '.join(FORMATS)}")
    found = formats_in(folder)
    if reading.format is None and not found:
        raise UserError(
            f"no scene in {folder}: {llff.POSES_FILE} (LLFF), {transforms.BLENDER_FILE} (Blender), "
            f"{transforms.NERFSTUDIO_FILE} (nerfstudio, instant-ngp) and sparse/0 (COLMAP) are "
            "looked for; docs/captures.md says how to make them from photographs"
        )
    chosen = reading.format or found[0]
    capture = FORMATS[chosen](folder, reading.factor)
    problems = check_numbers(capture)
    if problems:
        raise Problems(problems)
    capture = with_rotations(capture)
    others = [name for name in found if name != chosen]
    if others and reading.format is None:
        note = f'read as {chosen}; `format="{others[0]}"` would take the other files that are there'
        capture = dataclasses.replace(capture, notes=(*capture.notes, note))
    return capture


def load_folder(
    folder: Path,
    reading: CaptureOptions = DEFAULT_CAPTURE_OPTIONS,
    *,
    name: str | None = None,
    source: Source = "photographs",
    cache_dir: Path | None = None,
) -> LoadedScene:
    """Reads a scene: `read_capture`, then `load_capture`, which says what the arguments are."""
    capture = read_capture(Path(folder), reading)
    return load_capture(capture, reading, name=name, source=source, cache_dir=cache_dir)


def load_capture(
    capture: Capture,
    reading: CaptureOptions = DEFAULT_CAPTURE_OPTIONS,
    *,
    name: str | None = None,
    source: Source = "photographs",
    cache_dir: Path | None = None,
) -> LoadedScene:
    """Reads the pictures of a capture and makes a scene of both.

    Args:
      capture: from `read_capture`.
      reading: how.
      name: what to call the scene; None takes the folder's name.
      source: what to say about the pictures' origin.
      cache_dir: where pictures that were made smaller are kept; None means the user's.

    Raises:
      UserError: if anything is missing, unreadable or inconsistent.
    """
    capture, sizes, upright = match_sizes(capture)
    height, width, remarks = target_size(capture, sizes, reading.factor, reading.max_size)
    remarks += check_lenses(capture, height, width)
    kept = (cache_dir or default_cache_dir()) / "scaled"
    background = reading.normalization.background or "white"
    pixels, alpha = np.empty((0, height, width, 3), np.float32), None
    for index, picture in enumerate(
        load_pixels(capture.files, sizes, upright, height, width, kept)
    ):
        if index == 0:  # not before one was decoded: a header can announce anything
            pixels = np.empty((capture.num_views, height, width, 3), np.float32)
        if picture.shape[-1] == 4 and (picture[..., 3] < 1).any():
            alpha = np.ones(pixels.shape[:3], np.float32) if alpha is None else alpha
            alpha[index] = picture[..., 3]
        pixels[index] = image_files.over(picture, background)
    if alpha is not None:
        share = float(np.mean(alpha < 1))
        if share < _LEAST_TRANSPARENT:
            alpha = None
        else:
            remarks.append(f"{share:.0%} of the pixels are transparent: nothing is behind them")
    scene = make_scene(
        capture,
        pixels,
        name=capture.folder.resolve().name if name is None else name,
        source=source,
        origin=f"{capture.format}, {capture.files[0].parent}",
        wanted=reading.normalization,
        alpha=alpha,
    )
    return LoadedScene(scene, capture, (*capture.notes, *remarks), tuple(upright))
