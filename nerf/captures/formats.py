"""The formats of captures, and reading a folder of any format as a scene.

    format       its file
    llff         poses_bounds.npy
    blender      transforms_train.json
    nerfstudio   transforms.json (nerfstudio, instant-ngp)
    colmap       sparse/0 or colmap/sparse/0

The first format whose file is found is read, unless the user chooses another.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from nerf.captures import colmap, image_files, llff, transforms
from nerf.captures.capture import Capture, Problems, check_cameras, with_rotations
from nerf.captures.image_sizes import check_lenses, load_pixels, match_sizes, target_size
from nerf.errors import UserError
from nerf.scenes.download import default_cache_dir
from nerf.scenes.normalize import DEFAULT, NormalizeOptions, make_scene
from nerf.scenes.scene import Scene, Source

MAX_SIZE = 1008  # pixels of the longer side of an image, by default
_MIN_TRANSPARENT_FRACTION = 0.001  # of all pixels, for the images to count as transparent


class Reader(Protocol):
    def __call__(self, folder: Path, factor: int | None = None, /) -> Capture:
        """Reads the capture in a folder, with the images of `images_N` if `factor` is N.

        Raises:
          UserError: for what is missing or impossible.
        """


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
      format: one of `FORMATS`; None chooses it by the files.
      factor: how many times smaller than the originals the images are; None leaves it to
        `max_size`, and chooses the smallest images of an LLFF folder.
      max_size: the longest allowed side of an image in pixels; 0 for no limit.
      normalization: space, bounds and background.
    """

    format: str | None = None
    factor: int | None = None
    max_size: int = MAX_SIZE
    normalization: NormalizeOptions = DEFAULT


DEFAULT_CAPTURE_OPTIONS = CaptureOptions()


class LoadedScene(NamedTuple):
    """A scene and where it comes from.

    Attributes:
      scene: the scene.
      capture: the capture of which it was made.
      notes: notes for the user, those of the capture first.
      upright: `[num_views]`, which images were turned by their EXIF orientation.
    """

    scene: Scene
    capture: Capture
    notes: tuple[str, ...]
    upright: tuple[bool, ...]


def formats_in(folder: Path) -> list[str]:
    """The formats whose files are in a folder, in the order of `FORMATS`."""
    found = {
        "llff": (folder / llff.POSES_FILE).exists(),
        "blender": (folder / transforms.BLENDER_FILE).exists(),
        "nerfstudio": (folder / transforms.NERFSTUDIO_FILE).exists(),
        "colmap": colmap.find_model(folder) is not None,
    }
    return [name for name in FORMATS if found[name]]


def read_capture(folder: Path, options: CaptureOptions = DEFAULT_CAPTURE_OPTIONS) -> Capture:
    """Reads poses and lenses of a folder, but no pixels.

    Args:
      folder: the folder.
      options: how it is read.

    Raises:
      UserError: if there is no such folder, it has no known format, or its files are damaged or
        describe impossible cameras.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give the folder of a scene")
    if options.format is not None and options.format not in FORMATS:
        raise UserError(f"unknown format {options.format!r}: choose one of {', '.join(FORMATS)}")
    found = formats_in(folder)
    if options.format is None and not found:
        raise UserError(
            f"no scene in {folder}: it must contain {llff.POSES_FILE} (LLFF), "
            f"{transforms.BLENDER_FILE} (Blender), {transforms.NERFSTUDIO_FILE} (nerfstudio, "
            "instant-ngp) or sparse/0 (COLMAP); docs/captures.md says how to make them from "
            "photographs"
        )
    chosen = options.format or found[0]
    capture = FORMATS[chosen](folder, options.factor)
    problems = check_cameras(capture)
    if problems:
        raise Problems(problems)
    capture = with_rotations(capture)
    others = [name for name in found if name != chosen]
    if others and options.format is None:
        note = f'read as {chosen}; `format="{others[0]}"` reads the other files in the folder'
        capture = dataclasses.replace(capture, notes=(*capture.notes, note))
    return capture


def load_folder(
    folder: Path,
    options: CaptureOptions = DEFAULT_CAPTURE_OPTIONS,
    *,
    name: str | None = None,
    source: Source = "photographs",
    cache_dir: Path | None = None,
) -> LoadedScene:
    """Reads a folder as a scene: `read_capture`, then `load_capture`; see there."""
    capture = read_capture(Path(folder), options)
    return load_capture(capture, options, name=name, source=source, cache_dir=cache_dir)


def load_capture(
    capture: Capture,
    options: CaptureOptions = DEFAULT_CAPTURE_OPTIONS,
    *,
    name: str | None = None,
    source: Source = "photographs",
    cache_dir: Path | None = None,
) -> LoadedScene:
    """Reads the images of a capture and makes a scene.

    Args:
      capture: from `read_capture`.
      options: how the images are read and the scene is normalised.
      name: the name of the scene; None means the folder's name.
      source: whether the images are photographs.
      cache_dir: where scaled images are cached; None means the user's cache folder.

    Raises:
      UserError: if an image is missing, unreadable or does not fit its lens, or if the cameras do
        not admit the space that is asked for.
    """
    capture, sizes, upright = match_sizes(capture)
    height, width, notes = target_size(capture, sizes, options.factor, options.max_size)
    notes += check_lenses(capture, height, width)
    scaled_dir = (cache_dir or default_cache_dir()) / "scaled"
    background = options.normalization.background or "white"
    pixels, alpha = np.empty((0, height, width, 3), np.float32), None
    for index, image in enumerate(
        load_pixels(capture.files, sizes, upright, height, width, scaled_dir)
    ):
        if index == 0:  # only after an image was decoded: a header may claim any size
            pixels = np.empty((capture.num_views, height, width, 3), np.float32)
        if image.shape[-1] == 4 and (image[..., 3] < 1).any():
            alpha = np.ones(pixels.shape[:3], np.float32) if alpha is None else alpha
            alpha[index] = image[..., 3]
        pixels[index] = image_files.over(image, background)
    if alpha is not None:
        fraction = float(np.mean(alpha < 1))
        if fraction < _MIN_TRANSPARENT_FRACTION:
            alpha = None
        else:
            notes.append(
                f"{fraction:.0%} of the pixels are transparent: they are taken for empty space"
            )
    scene = make_scene(
        capture,
        pixels,
        name=capture.folder.resolve().name if name is None else name,
        source=source,
        origin=f"{capture.format}, {capture.files[0].parent}",
        options=options.normalization,
        alpha=alpha,
    )
    return LoadedScene(scene, capture, (*capture.notes, *notes), tuple(upright))
