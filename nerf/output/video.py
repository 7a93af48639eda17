"""Encoding frames as an H.264 video, with the ffmpeg program of imageio-ffmpeg, or as a GIF."""

import contextlib
import math
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
from PIL import Image

from nerf.errors import UserError
from nerf.output.images import ByteImage, enlarge
from nerf.runtime import atomic

ENDINGS = (".mp4", ".gif")
_MIN_GIF_TIME = 2  # hundredths of a second; browsers show shorter frames much longer


def max_fps(path: Path) -> float:
    """The highest frame rate that a video of this name can have.

    >>> max_fps(Path("video.gif")), max_fps(Path("video.mp4"))
    (50.0, inf)
    """
    return 100.0 / _MIN_GIF_TIME if path.suffix == ".gif" else math.inf


def check_video_encoder() -> None:
    """Checks for ffmpeg, before hours are spent on frames.

    Raises:
      UserError: if there is no ffmpeg.
    """
    try:
        # Without a check, this may be the value of IMAGEIO_FFMPEG_EXE.
        found = shutil.which(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        found = None
    if found is None:
        raise UserError(
            "no ffmpeg program was found to encode the video: install the package imageio-ffmpeg "
            "with its binary, set IMAGEIO_FFMPEG_EXE, or ask for no video with `num_frames=0`"
        )


def frames_per_second(num_frames: int) -> int:
    """About four seconds of video, at 8 to 30 frames a second.

    >>> frames_per_second(120), frames_per_second(30)
    (30, 8)
    """
    return min(30, max(8, round(num_frames / 4)))


def write_video(path: Path, frames: Sequence[Path], fps: float | None = None) -> None:
    """Encodes frames as H.264, or as an animated GIF that repeats.

    Args:
      path: the .mp4 or .gif file to write. It is replaced as a whole.
      frames: PNG files of one size, in order.
      fps: frames a second; None means `frames_per_second`.

    Raises:
      UserError: if the encoding fails. The frames are not touched.
    """
    encode = _encode_gif if path.suffix == ".gif" else _encode
    try:
        with atomic.replacing(path) as partial:
            encode(partial, frames, fps or frames_per_second(len(frames)))
    except (OSError, RuntimeError, SyntaxError) as error:  # Pillow raises all of them
        raise UserError(
            f"the video {path} could not be encoded ({error}); its {len(frames)} frames are kept "
            f"in {frames[0].parent}"
        ) from error


def _encode(path: Path, frames: Sequence[Path], fps: float) -> None:
    images = (_even(enlarge(iio.imread(frame))) for frame in frames)
    first = next(images)
    height, width, _ = first.shape
    writer = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=fps,
        codec="libx264",
        pix_fmt_out="yuv420p",
        quality=8,
        macro_block_size=2,
        ffmpeg_log_level="error",
    )
    # Closing waits for the encoder, which would otherwise continue to write after a failure.
    with contextlib.closing(writer):
        with warnings.catch_warnings():  # JAX warns of every child process; this one is safe
            warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
            writer.send(None)
        writer.send(np.ascontiguousarray(first))
        for image in images:
            writer.send(np.ascontiguousarray(image))
    if not path.is_file() or path.stat().st_size == 0:
        raise OSError("the encoder wrote nothing")


def _encode_gif(path: Path, frames: Sequence[Path], fps: float) -> None:
    images = (_with_few_colours(enlarge(iio.imread(frame))) for frame in frames)
    first = next(images)
    time = 10 * max(_MIN_GIF_TIME, round(100.0 / fps))  # milliseconds
    first.save(
        path, format="GIF", save_all=True, append_images=images, duration=time, loop=0, disposal=1
    )


def _with_few_colours(image: ByteImage) -> Image.Image:
    """An image of 256 colours, its own, mixed by dithering."""
    whole = Image.fromarray(image)
    return whole.quantize(palette=whole.quantize(256), dither=Image.Dither.FLOYDSTEINBERG)


def _even(image: ByteImage) -> ByteImage:
    """Makes height and width even, as H.264 requires, by repeating the last row or column."""
    height, width, _ = image.shape
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
