"""`nerf.load_scene`: from a name or a folder to a scene, with notes to the callback."""

import dataclasses
from pathlib import Path
from typing import Literal

from nerf.config.settings import Background
from nerf.errors import UserError
from nerf.runtime.devices import IMAGE_MEMORY
from nerf.runtime.events import Callback, log_event, note
from nerf.scenes import names
from nerf.scenes.alpha import AlphaOption
from nerf.scenes.loading import MAX_SIZE, CaptureOptions, ShardOption
from nerf.scenes.normalize import NormalizeOptions
from nerf.scenes.scene import Scene
from nerf.scenes.used_pixels import MasksOption

SpaceName = Literal["ndc", "world", "contracted"]


def load_scene(
    name: str | Path,
    *,
    data_dir: str | Path | None = None,
    format: str | None = None,
    factor: int | None = None,
    max_size: int = MAX_SIZE,
    space: SpaceName | None = None,
    near: float | None = None,
    far: float | None = None,
    background: Background | None = None,
    alpha: AlphaOption = "auto",
    masks: MasksOption = "auto",
    up: str = "auto",
    image_memory: float = IMAGE_MEMORY,
    shard_images: ShardOption = "auto",
    follow_links: bool = False,
    offline: bool = False,
    download_url: str | None = None,
    callback: Callback = log_event,
) -> Scene:
    """Loads a scene: posed images, in the project's conventions.

    Args:
      name: a folder, a name such as `flower`, `llff:NAME` for photographs alone, or
        `procedural:NAME[@WIDTHxHEIGHT]` for a bundled scene: flower, room, table, courtyard.
      data_dir: where named scenes are; None means `$NERF_DATA_DIR`, else `data/llff`.
      format: of a folder, a key of `nerf.captures.formats.FORMATS`; None finds it from the files.
      factor: downsamples images; see `nerf.scenes.loading.CaptureOptions`.
      max_size: scales images down to this longer side in pixels; 0 means never.
      space: that the field lives in; None means what suits the cameras.
      near, far: bounds of the depth in the files' unit; None means from the files.
      background: behind transparent images; None means white where there are any.
      alpha: what alpha means: `object`, transparent pixels show that nothing is there; `mask`, they
        are left out; `ignore`, alpha is not used; `auto` decides by the images.
      masks: `auto` leaves out the pixels that masks say; `ignore` reads no masks.
      up: which way is up, an axis of the files such as `z` or `-y`; `auto` finds it.
      image_memory: the largest share of the machine's memory, 0 to 1, for the images; larger ones
        are mapped into memory from the cache.
      shard_images: in a job of several processes, whether each reads only the images that it
        trains on: `on`, `off`, or `auto`, where they are larger than `image_memory`.
      follow_links: whether symbolic links that lead out of the folder are followed.
      offline: makes no network attempt; so does `NERF_OFFLINE=1`.
      download_url: base address of the published scenes; None means their own repository.
      callback: receives notes and the progress of downloads and scaling.

    Raises:
      UserError: if there is no such scene, or its data are broken.
    """
    _check_bundled(
        str(name),
        format,
        factor,
        max_size,
        space,
        near,
        far,
        background,
        alpha,
        masks,
        up,
        shard_images,
    )
    resolved = names.load_scene(
        str(name),
        data_dir=None if data_dir is None else Path(data_dir),
        offline=offline,
        options=CaptureOptions(
            format=format,
            factor=factor,
            max_size=max_size,
            normalization=NormalizeOptions(space, near, far, background),
            alpha=alpha,
            masks=masks,
            up=up,
            image_memory=image_memory,
            shard_images=shard_images,
            follow_links=follow_links,
        ),
        base_url=download_url,
        callback=callback,
    )
    for text in resolved.notes:
        note(callback, text)
    return dataclasses.replace(resolved.scene, folder=resolved.folder, notes=tuple(resolved.notes))


def _check_bundled(name: str, *options: object) -> None:
    """Refuses options that the bundled scenes do not use."""
    labels = (
        "format", "factor", "max_size", "space", "near", "far", "background", "alpha", "masks",
        "up", "shard_images",
    )  # fmt: skip
    defaults = dict.fromkeys(labels) | dict.fromkeys(("alpha", "masks", "up"), "auto")
    defaults |= {"max_size": MAX_SIZE, "shard_images": "auto"}
    given = [
        label for label, value in zip(labels, options, strict=True) if value != defaults[label]
    ]
    if name.startswith("procedural:") and given:
        raise UserError(
            f"the bundled scenes do not use {', '.join(f'`{label}`' for label in given)}: leave "
            "it out; a size is part of the name, e.g. procedural:flower@252x188"
        )
