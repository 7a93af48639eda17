"""`nerf.load_scene`: from a name or a folder to a scene, with notes to the callback."""

import dataclasses
from pathlib import Path

from nerf.config.settings import Background
from nerf.errors import UserError
from nerf.runtime.devices import IMAGE_MEMORY
from nerf.runtime.events import Callback, log_event, note
from nerf.scenes import names
from nerf.scenes.alpha import AlphaOption
from nerf.scenes.options import (
    DEFAULT,
    MAX_SIZE,
    UNUSED_BY_BUNDLED,
    CaptureOptions,
    ShardOption,
    SpaceName,
)
from nerf.scenes.scene import Scene
from nerf.scenes.used_pixels import MasksOption


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
    follow_links: bool = False,
    shard_images: ShardOption = "auto",
    offline: bool = False,
    download_url: str | None = None,
    callback: Callback = log_event,
) -> Scene:
    """Loads a scene: posed images, in the project's conventions.

    Args:
      name: a folder, a name such as `flower`, `llff:NAME` for photographs alone, or
        `procedural:NAME[@WIDTHxHEIGHT[xVIEWS]]` for a bundled scene: flower, room, table or
        courtyard.
      data_dir: where named scenes are; None means `$NERF_DATA_DIR`, else `data/llff`.
      format: of a folder, a key of `nerf.captures.formats.FORMATS`; None finds it from the files.
      factor: how many times smaller than the originals the images are; None leaves it to
        `max_size`, and chooses the smallest images of an LLFF folder.
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
      follow_links: whether symbolic links that lead out of the folder are followed.
      shard_images: in a job of several processes, whether each reads only the images that it
        trains on: `on`, `off`, or `auto`, where they are larger than `image_memory` and have
        neither masks nor alpha.
      offline: makes no network attempt; so does `NERF_OFFLINE=1`.
      download_url: base address of the published scenes; None means their own repository.
      callback: receives notes and the progress of downloads and scaling.

    Raises:
      UserError: if there is no such scene, or its data are broken.
    """
    options = CaptureOptions(
        format=format,
        factor=factor,
        max_size=max_size,
        space=space,
        near=near,
        far=far,
        background=background,
        alpha=alpha,
        masks=masks,
        up=up,
        image_memory=image_memory,
        follow_links=follow_links,
        shard_images=shard_images,
    )
    _check_bundled(str(name), options)
    resolved = names.resolve_scene(
        str(name),
        data_dir=None if data_dir is None else Path(data_dir),
        offline=offline,
        options=options,
        base_url=download_url,
        callback=callback,
    )
    for text in resolved.notes:
        note(callback, text)
    return dataclasses.replace(resolved.scene, folder=resolved.folder, notes=tuple(resolved.notes))


def _check_bundled(name: str, options: CaptureOptions) -> None:
    """Refuses options that the bundled scenes do not use."""
    given = [
        f"`{option}`"
        for option in UNUSED_BY_BUNDLED
        if getattr(options, option) != getattr(DEFAULT, option)
    ]
    if name.startswith("procedural:") and given:
        raise UserError(
            f"the bundled scenes do not use {', '.join(given)}: leave it out; a size is part of "
            "the name, e.g. procedural:flower@252x188"
        )
