"""Loading a folder as a scene: reads the capture, loads its images, and normalises it."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nerf.captures import image_files
from nerf.captures.capture import Capture
from nerf.captures.formats import read_capture
from nerf.captures.image_sizes import check_lenses, load_pixels, match_sizes, target_size
from nerf.runtime.cache_dir import default_cache_dir
from nerf.runtime.events import Callback, log_event
from nerf.scenes.normalize import DEFAULT, NormalizeOptions, make_scene
from nerf.scenes.scene import Scene, Source

MAX_SIZE = 1008  # pixels of the longer side of an image, by default
_MIN_TRANSPARENT_FRACTION = 0.001  # of all pixels, for the images to count as transparent


@dataclasses.dataclass(frozen=True)
class CaptureOptions:
    """How a folder is read.

    Attributes:
      format: a name of `nerf.captures.formats.FORMATS`; None chooses it by the files.
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
      turned: `[num_views]`, which images were turned by their EXIF orientation.
    """

    scene: Scene
    capture: Capture
    notes: tuple[str, ...]
    turned: tuple[bool, ...]


def load_folder(
    folder: Path,
    options: CaptureOptions = DEFAULT_CAPTURE_OPTIONS,
    *,
    name: str | None = None,
    source: Source = "photographs",
    cache_dir: Path | None = None,
    callback: Callback = log_event,
) -> LoadedScene:
    """Reads a folder as a scene: `read_capture`, then `load_capture`; see there."""
    capture = read_capture(Path(folder), format=options.format, factor=options.factor)
    return load_capture(
        capture, options, name=name, source=source, cache_dir=cache_dir, callback=callback
    )


def load_capture(
    capture: Capture,
    options: CaptureOptions = DEFAULT_CAPTURE_OPTIONS,
    *,
    name: str | None = None,
    source: Source = "photographs",
    cache_dir: Path | None = None,
    callback: Callback = log_event,
) -> LoadedScene:
    """Reads the images of a capture and makes a scene.

    Args:
      capture: from `read_capture`.
      options: how the images are read and the scene is normalised.
      name: the name of the scene; None means the folder's name.
      source: whether the images are photographs.
      cache_dir: where scaled images are cached; None means the user's cache folder.
      callback: receives the progress of scaling.

    Raises:
      UserError: if an image is missing, unreadable or does not fit its lens, or if the cameras do
        not admit the space that is asked for.
    """
    capture, sizes, turned = match_sizes(capture)
    height, width, notes = target_size(capture, sizes, options.factor, options.max_size)
    notes += check_lenses(capture, height, width)
    scaled_dir = (cache_dir or default_cache_dir()) / "scaled"
    background = options.normalization.background or "white"
    pixels, alpha = np.empty((0, height, width, 3), np.float32), None
    for index, image in enumerate(
        load_pixels(capture.files, sizes, turned, height, width, scaled_dir, callback)
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
    return LoadedScene(scene, capture, (*capture.notes, *notes), tuple(turned))
