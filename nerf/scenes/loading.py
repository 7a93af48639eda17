"""Loading a folder as a scene: reads the capture, loads its images, and normalises it."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.captures import scaled_images
from nerf.captures.capture import Capture
from nerf.captures.formats import read_capture
from nerf.captures.image_sizes import MatchedImages, check_lenses, match_sizes, target_sizes
from nerf.errors import UserError
from nerf.runtime import devices
from nerf.runtime.cache_dir import default_cache_dir
from nerf.runtime.events import Callback, log_event
from nerf.scenes.alpha import AlphaOption
from nerf.scenes.image_store import ImageStore, load_pixels, with_channels
from nerf.scenes.known_depths import depth_samples
from nerf.scenes.normalize import DEFAULT, NormalizeOptions, make_scene
from nerf.scenes.scene import Scene, Source
from nerf.scenes.used_pixels import MasksOption, select_pixels

MAX_SIZE = 1008  # pixels of the longer side of an image, by default


@dataclasses.dataclass(frozen=True)
class CaptureOptions:
    """How a folder is read.

    Attributes:
      format: a name of `nerf.captures.formats.FORMATS`; None chooses it by the files.
      factor: how many times smaller than the originals the images are; None leaves it to
        `max_size`, and chooses the smallest images of an LLFF folder.
      max_size: the longest allowed side of an image in pixels; 0 for no limit.
      normalization: space, bounds and background.
      up: which way is up in the files' coordinates, see `nerf.captures.orientation.with_up`.
      alpha: what the alpha of images means, see `nerf.scenes.alpha`.
      masks: `auto` leaves out the pixels that masks say; `ignore` reads no masks.
      image_memory: the largest share of the machine's memory for the images; larger ones are
        written to the cache and mapped into memory.
      follow_links: whether symbolic links that lead out of the folder are followed.
    """

    format: str | None = None
    factor: int | None = None
    max_size: int = MAX_SIZE
    normalization: NormalizeOptions = DEFAULT
    up: str = "auto"
    alpha: AlphaOption = "auto"
    masks: MasksOption = "auto"
    image_memory: float = devices.IMAGE_MEMORY
    follow_links: bool = False


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
    capture = read_capture(
        Path(folder),
        format=options.format,
        factor=options.factor,
        near=options.normalization.near,
        far=options.normalization.far,
        up=options.up,
        follow_links=options.follow_links,
    )
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
        options=options.normalization,
    )
    samples, depth_notes = depth_samples(capture, images, scene.unit_scale)
    scene = dataclasses.replace(scene, depth_samples=samples)
    notes += [*scene.exposure_notes, *depth_notes]
    return LoadedScene(scene, capture, (*capture.notes, *notes), matched.turned)


def _load_images(
    matched: MatchedImages,
    targets: npt.NDArray[np.int64],
    options: CaptureOptions,
    cache_dir: Path,
    callback: Callback,
) -> ImageStore:
    """The images in one array: in memory, or mapped from the cache if they are large."""
    capture, sizes, turned, has_alpha = matched
    ignore_alpha = options.alpha == "ignore"
    channels = 4 if has_alpha and not ignore_alpha else 3
    num_pixels = int(targets.prod(axis=1).sum())
    background = options.normalization.background or "white"
    file = None
    if num_pixels * channels > options.image_memory * devices.host_memory():
        ignored = ["alpha is ignored"] * ignore_alpha
        identities = tuple(scaled_images.file_identity(file) for file in capture.files)
        name = scaled_images.cache_name((identities, turned, targets.tolist(), channels, *ignored))
        file = cache_dir / "images" / f"{name}.npy"

    def read() -> Iterator[npt.NDArray[np.uint8]]:
        for image in scaled_images.load_pixels(
            capture.files,
            sizes,
            turned,
            targets,
            cache_dir / "scaled",
            callback,
            ignore_alpha=ignore_alpha,
        ):
            yield with_channels(image, channels)

    try:
        pixels = load_pixels(read, num_pixels, channels, file)
    except MemoryError as error:
        width, height = targets[0].tolist()
        raise UserError(
            f"{capture.num_views} images of {width} x {height} do not fit into the memory: give a "
            "smaller `max_size`, or a larger `factor`"
        ) from error
    return ImageStore(
        pixels,
        targets[:, 1],
        targets[:, 0],
        background,
    )
