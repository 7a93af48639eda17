"""A smaller copy of a video, to embed in a page."""

import subprocess
import tempfile
from pathlib import Path

import imageio_ffmpeg

_FORMS = ((720, 26), (480, 32))  # longer side in pixels, and constant rate factor of H.264
_MAX_SECONDS = 300.0


def small_video(path: Path, max_bytes: int) -> bytes | None:
    """A video as it is, or encoded again with fewer pixels where it is larger than `max_bytes`.

    Args:
      path: the .mp4 file, which is not changed.
      max_bytes: the size that is asked for.

    Returns:
      The content of an .mp4 file. None if there is no video, no ffmpeg, the video is damaged, or
      it is larger even with 480 pixels on its longer side.
    """
    try:
        if path.stat().st_size <= max_bytes:
            return path.read_bytes()
        with tempfile.TemporaryDirectory() as folder:
            for side, factor in _FORMS:
                small = Path(folder) / f"{side}.mp4"
                _encode_again(path, small, side, factor)
                if small.stat().st_size <= max_bytes:
                    return small.read_bytes()
    except (OSError, RuntimeError, subprocess.SubprocessError):
        pass
    return None


def _encode_again(path: Path, small: Path, side: int, factor: int) -> None:
    """Writes the video with at most `side` pixels on its longer side.

    Raises:
      RuntimeError: if there is no ffmpeg.
      SubprocessError: if it cannot read the video.
    """
    scale = f"scale='min({side},iw)':'min({side},ih)':force_original_aspect_ratio=decrease"
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", "-i", path.absolute(),
        "-an", "-vf", f"{scale}:force_divisible_by=2", "-c:v", "libx264", "-pix_fmt", "yuv420p",
        "-crf", str(factor), "-movflags", "+faststart", small,
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=_MAX_SECONDS)
