"""Loading a folder as a scene: reads the capture, loads its images, and normalises it."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.captures.capture import Capture
from nerf.captures.images.sizes import MatchedImages, check_lenses, match_sizes, target_sizes
from nerf.captures.reading import read_capture
from nerf.errors import UserError
from nerf.runtime import devices, processes
from nerf.runtime.cache_dir import default_cache_dir
from nerf.runtime.events import Callback, log_event
from nerf.scenes.image_reader import ImageReader
from nerf.scenes.image_store import ImageStore, empty_pixels
from nerf.scenes.known_depths import depth_samples
from nerf.scenes.normalize import make_scene
from nerf.scenes.options import DEFAULT, SHARD_OPTIONS, CaptureOptions
from nerf.scenes.scene import Scene, Source
from nerf.scenes.used_pixels import select_pixels


class LoadedScene(NamedTuple):
    """A scene and where it comes from.

    Attributes:
      scene: the scene.
      capture: the capture of which it was made.
      notes: notes for the user, those of the capture first.
      turned: `[num_views]`, which images were turned by their EXIF orientation.
      options: how it was read.
    """

    scene: Scene
    capture: Capture
    notes: tuple[str, ...]
    turned: tuple[bool, ...]
    options: CaptureOptions


def read_folder(folder: Path, options: CaptureOptions = DEFAULT) -> Capture:
    """Reads poses and lenses of a folder, but no pixels: `read_capture`, see there."""
    return read_capture(
        Path(folder),
        format=options.format,
        factor=options.factor,
        near=options.near,
        far=options.far,
        up=options.up,
        follow_links=options.follow_links,
    )


def load_folder(
    folder: Path,
    options: CaptureOptions = DEFAULT,
    *,
    name: str | None = None,
    source: Source = "photographs",
    cache_dir: Path | None = None,
    callback: Callback = log_event,
) -> LoadedScene:
    """Reads a folder as a scene: `read_folder`, then `load_capture`; see there."""
    capture = read_folder(folder, options)
    return load_capture(
        capture, options, name=name, source=source, cache_dir=cache_dir, callback=callback
    )


def load_capture(
    capture: Capture,
    options: CaptureOptions = DEFAULT,
    *,
    name: str | None = None,
    source: Source = "photographs",
    cache_dir: Path | None = None,
    callback: Callback = log_event,
) -> LoadedScene:
    """Reads the images of a capture and makes a scene.

    Args:
      capture: from `read_folder`.
      options: how the images are read and the scene is normalised.
      name: the name of the scene; None means the folder's name.
      source: whether the images are photographs.
      cache_dir: where scaled images are cached; None means the user's cache folder.
      callback: receives the progress of scaling.

    Raises:
      UserError: if an image is missing, unreadable or does not fit its lens, or if the cameras do
        not admit the space that is asked for.
    """
    matched = match_sizes(capture)
    capture = matched.capture
    sizes, notes = target_sizes(capture, matched.sizes, options.factor, options.max_size)
    notes += check_lenses(capture, sizes)
    images = _load_images(matched, sizes, options, cache_dir or default_cache_dir(), callback)
    images, used_notes = select_pixels(
        images, capture, matched.turned, alpha=options.alpha, masks=options.masks
    )
    notes += used_notes
    scene = make_scene(
        capture,
        images,
        name=capture.folder.resolve().name if name is None else name,
        source=source,
        origin=f"{capture.format}, {capture.files[0].parent}",
        options=options,
    )
    samples, depth_notes = depth_samples(capture, images, scene.unit_scale)
    scene = dataclasses.replace(scene, depth_samples=samples)
    notes += [*scene.exposure_notes, *depth_notes]
    return LoadedScene(scene, capture, (*capture.notes, *notes), matched.turned, options)


def _load_images(
    matched: MatchedImages,
    targets: npt.NDArray[np.int64],
    options: CaptureOptions,
    cache_dir: Path,
    callback: Callback,
) -> ImageStore:
    """The images in one array, in memory or mapped from the cache if they are large; or none of
    them, if each process of a job reads its own.
    """
    ignore_alpha = options.alpha == "ignore"
    channels = 4 if matched.is_transparent and not ignore_alpha else 3
    reader = ImageReader(
        matched, targets, channels, ignore_alpha, cache_dir, options.image_memory, callback
    )
    background = options.background or "white"
    sizes = targets[:, 1], targets[:, 0]
    if _are_sharded(reader, options):
        return ImageStore(empty_pixels(0, channels), *sizes, background, read=reader.read)
    return ImageStore(reader.read_all(), *sizes, background)


def _are_sharded(reader: ImageReader, options: CaptureOptions) -> bool:
    """Whether each process of a job reads its own images alone, see `CaptureOptions`.

    Raises:
      UserError: if that is asked for and cannot be.
    """
    option = options.shard_images
    if option not in SHARD_OPTIONS:
        known = ", ".join(SHARD_OPTIONS)
        raise UserError(f"unknown `shard_images` {option!r}: choose one of {known}")
    if option == "off" or (option == "auto" and not processes.is_distributed()):
        return False
    if not processes.is_distributed():
        raise UserError(
            '`shard_images="on"` shares the images over the processes of a job: start several '
            "processes, or leave it out"
        )
    uses_masks = options.masks == "auto" and any(reader.matched.capture.masks)
    if not uses_masks and reader.channels == 3:
        is_large = reader.num_bytes > options.image_memory * devices.host_memory()
        return option == "on" or is_large
    if option == "on":
        raise UserError(
            "`shard_images` works on images without masks and without alpha: use all pixels with "
            '`masks="ignore"` and `alpha="ignore"`, or let every process read all images with '
            '`shard_images="off"`'
        )
    return False
