"""Frames of a video: the sharpest of each part of it, without those that are alike or blurred.

The video is decoded twice by the ffmpeg program of the package imageio-ffmpeg: small and grey to
choose the frames, then only the chosen ones at their own size.
"""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
from PIL import Image

from nerf.errors import UserError
from nerf.posing.options import MIN_IMAGES
from nerf.runtime.events import Callback, Progress

_SHARPNESS_SIZE = 960  # pixels of the longer side, at which sharpness is measured
_THUMBNAIL = 32  # rows and columns, by which frames are compared
_MIN_DIFFERENCE = 1.0  # of 255, mean over a thumbnail; less means the same image
_MIN_SHARPNESS = 0.3  # of the median of the neighbours; less means blurred
_NUM_NEIGHBOURS = 5  # on each side
_JPEG_QUALITY = 95
# Containers of films alone: a playlist could name other files.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,gif,h264"
_READING_ERRORS = (OSError, RuntimeError, ValueError, KeyError, IndexError, AssertionError)


class FrameChoice(NamedTuple):
    """The frames of a video that are used.

    Attributes:
      chosen: indices of frames, in order.
      num_blurred, num_alike: how many of the candidates are left out, and why.
    """

    chosen: tuple[int, ...]
    num_blurred: int
    num_alike: int


def default_num_frames(seconds: float) -> int:
    """Two frames a second, at least 40 and at most 150.

    >>> default_num_frames(5), default_num_frames(45), default_num_frames(600)
    (40, 90, 150)
    """
    return min(150, max(40, round(2 * seconds)))


def laplacian_variance(grey: npt.NDArray[np.uint8]) -> float:
    """The sharpness of an image `[height, width]`: the variance of its Laplacian.

    >>> edge = np.array([[0, 0, 9, 9]] * 3, np.uint8)
    >>> laplacian_variance(edge), laplacian_variance(np.zeros((3, 4), np.uint8))
    (81.0, 0.0)
    """
    values = grey.astype(np.float32)
    around = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
    return float(np.var(around - 4.0 * values[1:-1, 1:-1]))


def choose_frames(
    sharpness: npt.NDArray[np.floating], thumbnails: npt.NDArray[np.floating], num_frames: int
) -> FrameChoice:
    """Chooses the sharpest frame of each part of a video.

    Args:
      sharpness: `[num_all]`, of every frame.
      thumbnails: `[num_all, size]`, small copies of the frames, 0 to 255.
      num_frames: the number of parts of equal length.

    Returns:
      The choice. Left out are frames that are much less sharp than the choices of the parts around
      them, and frames that look like the one before.
    """
    parts = np.array_split(np.arange(len(sharpness)), min(num_frames, len(sharpness)))
    candidates = [int(part[np.argmax(sharpness[part])]) for part in parts]
    sharp, num_blurred, num_alike = [], 0, 0
    for place, index in enumerate(candidates):
        around = candidates[max(0, place - _NUM_NEIGHBOURS) : place + _NUM_NEIGHBOURS + 1]
        if sharpness[index] < _MIN_SHARPNESS * np.median(sharpness[around]):
            num_blurred += 1
        else:
            sharp.append(index)
    chosen: list[int] = []
    for index in sharp:
        last = thumbnails[chosen[-1]] if chosen else None
        if last is not None and np.mean(np.abs(thumbnails[index] - last)) < _MIN_DIFFERENCE:
            num_alike += 1
        else:
            chosen.append(index)
    return FrameChoice(tuple(chosen), num_blurred, num_alike)


def read_video_frames(
    video: Path, folder: Path, num_frames: int | None, callback: Callback
) -> tuple[list[str], FrameChoice]:
    """Writes the chosen frames of a video as JPEG files.

    Args:
      video: the file.
      folder: where the frames go; it exists.
      num_frames: about how many; None means `default_num_frames`.
      callback: receives the progress.

    Returns:
      The names of the files, with the number of each frame in the video, and the choice.

    Raises:
      UserError: if the file cannot be read as a video, or has too few frames that differ.
    """
    choice = _choose(video, num_frames, callback)
    if len(choice.chosen) < MIN_IMAGES:
        raise UserError(
            f"{video} has only {len(choice.chosen)} sharp frames that differ, and poses need at "
            f"least {MIN_IMAGES}: film the scene while you walk around it slowly"
        )
    names = [f"frame_{index + 1:06d}.jpg" for index in choice.chosen]
    terms = "+".join(rf"eq(n\,{index})" for index in choice.chosen)
    total = len(names)
    with Progress.of(callback, "frames", total=total, unit="frame") as progress:
        frames = _decoded(video, f"select='{terms}'", "rgb24", 3)
        for name, pixels in zip(names, frames, strict=False):
            Image.fromarray(pixels).save(folder / name, quality=_JPEG_QUALITY, subsampling=0)
            progress.advance(1)
        if progress.done < total:
            raise _unreadable(video, f"only {progress.done} of {total} frames could be decoded")
    return names, choice


def _choose(video: Path, num_frames: int | None, callback: Callback) -> FrameChoice:
    """Measures all frames of a video, and chooses some."""
    meta = _metadata(video)
    seconds = float(meta.get("duration") or 0.0)
    total = max(1, round(seconds * float(meta.get("fps") or 0.0)))
    limit = str(_SHARPNESS_SIZE)
    smaller = f"scale='min({limit},iw)':'min({limit},ih)':force_original_aspect_ratio=decrease"
    sharpness: list[float] = []
    thumbnails: list[npt.NDArray[np.float32]] = []
    with Progress.of(callback, "choosing frames", total=total, unit="frame") as progress:
        for grey in _decoded(video, f"{smaller}:flags=area", "gray", 1):
            sharpness.append(laplacian_variance(grey[..., 0]))
            thumbnails.append(_thumbnail(grey[..., 0]))
            progress.advance(1)
    if not sharpness:
        raise _unreadable(video, "it has no frames")
    num_chosen = num_frames or default_num_frames(seconds or len(sharpness) / 30.0)
    return choose_frames(np.array(sharpness), np.stack(thumbnails), num_chosen)


def _thumbnail(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    small = Image.fromarray(grey).resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small, np.float32).ravel()


def _metadata(video: Path) -> dict[str, Any]:
    """What the header of a video says: `fps`, `duration` in seconds, and more."""
    with _reading(video), contextlib.closing(_reader(video, [], "gray", 8)) as reader:
        found: dict[str, Any] = next(reader)
        return found


def _decoded(
    video: Path, filters: str, pixel_format: str, channels: int
) -> Iterator[npt.NDArray[np.uint8]]:
    """The frames of a video `[height, width, channels]` after some of ffmpeg's filters."""
    # Else ffmpeg repeats frames, or leaves some out, to make the rate even.
    output = ["-vf", filters, "-fps_mode", "passthrough"]
    with _reading(video):
        reader = _reader(video, output, pixel_format, 8 * channels)
        with contextlib.closing(reader):
            width, height = next(reader)["size"]
            for frame in reader:
                yield np.frombuffer(frame, np.uint8).reshape(height, width, channels)


def _reader(video: Path, output: list[str], pixel_format: str, bits: int) -> Any:
    return imageio_ffmpeg.read_frames(
        str(video.resolve()),
        pix_fmt=pixel_format,
        bits_per_pixel=bits,
        input_params=["-format_whitelist", _CONTAINERS],
        output_params=output,
    )


@contextlib.contextmanager
def _reading(video: Path) -> Iterator[None]:
    """Turns the errors of the reader into one sentence."""
    try:
        with warnings.catch_warnings():  # JAX warns of every child process; this one is safe
            warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
            yield
    except UserError:
        raise
    except StopIteration as error:
        raise _unreadable(video, "it has no frames") from error
    except _READING_ERRORS as error:
        raise _unreadable(video, _reason(str(error))) from error


def _reason(text: str) -> str:
    """The last line of ffmpeg's report, which says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].rpartition(": ")[2][:200] if lines else "unknown format"


def _unreadable(video: Path, reason: str) -> UserError:
    return UserError(
        f"cannot read {video} as a video ({reason}): copy it again, or convert it to .mp4"
    )
