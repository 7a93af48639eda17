"""The options of reading a capture and making a scene of it: names, defaults, what they mean.

`nerf.load_scene` has a parameter, and the command line a flag, of each name with the same default.
"""

import dataclasses
from typing import Literal, get_args

from nerf.config.settings import Background
from nerf.runtime.devices import IMAGE_MEMORY
from nerf.scenes.alpha import AlphaOption
from nerf.scenes.used_pixels import MasksOption

SpaceName = Literal["ndc", "world", "contracted"]
ShardOption = Literal["auto", "on", "off"]
SHARD_OPTIONS: tuple[ShardOption, ...] = get_args(ShardOption)
MAX_SIZE = 1008  # pixels of the longer side of an image, by default


@dataclasses.dataclass(frozen=True)
class CaptureOptions:
    """How a capture is read and a scene is made of it.

    Attributes:
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
    """

    format: str | None = None
    factor: int | None = None
    max_size: int = MAX_SIZE
    space: SpaceName | None = None
    near: float | None = None
    far: float | None = None
    background: Background | None = None
    alpha: AlphaOption = "auto"
    masks: MasksOption = "auto"
    up: str = "auto"
    image_memory: float = IMAGE_MEMORY
    follow_links: bool = False
    shard_images: ShardOption = "auto"


DEFAULT = CaptureOptions()
NAMES = tuple(field.name for field in dataclasses.fields(CaptureOptions))
_SERVE_BUNDLED = {"image_memory"}
UNUSED_BY_BUNDLED = tuple(name for name in NAMES if name not in _SERVE_BUNDLED)
