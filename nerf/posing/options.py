"""How the poses of images are found."""

import dataclasses

from nerf.errors import UserError

MATCHERS = ("auto", "exhaustive", "sequential")
CAMERA_MODELS = ("OPENCV", "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV_FISHEYE")
MAX_SIZE = 1200  # pixels of the longer side, at which features are found
MIN_IMAGES = 3


@dataclasses.dataclass(frozen=True)
class PoseOptions:
    """How the poses of images are found.

    Attributes:
      num_frames: about how many frames of a video are used; None means two a second, see
        `nerf.posing.frames.default_num_frames`.
      camera_model: the lens, one of `CAMERA_MODELS`. Images of one size, camera and focal length
        share one lens.
      matcher: which images are compared, see `nerf.posing.pairs`.
      max_size: features are found in images scaled down to this longer side in pixels; 0 means
        never scaled.
      seed: of the random choices in matching and mapping.
      num_threads: -1 means one for each core. With 1, a run gives the same poses again; with
        more, sums are in another order, and poses differ in their last digits.
      overwrite: whether an earlier result of this function is replaced.
    """

    num_frames: int | None = None
    camera_model: str = "OPENCV"
    matcher: str = "auto"
    max_size: int = MAX_SIZE
    seed: int = 0
    num_threads: int = -1
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name, known in (("matcher", MATCHERS), ("camera_model", CAMERA_MODELS)):
            value = getattr(self, name)
            if value not in known:
                raise UserError(f"unknown `{name}` {value!r}: choose one of {', '.join(known)}")
        if self.num_frames is not None and self.num_frames < MIN_IMAGES:
            raise UserError(f"poses need at least {MIN_IMAGES} frames, not {self.num_frames}")


DEFAULT_OPTIONS = PoseOptions()
