"""The videos of a run folder, for its page: of all camera paths, of colour, depth and opacity."""

from collections.abc import Iterator
from pathlib import Path

from nerf.errors import counted
from nerf.output.report.content import VideoContent
from nerf.output.report.encoding import MAX_VIDEO_BYTES, data_uri
from nerf.output.small_video import small_video
from nerf.runs import run_folder

_STEM = Path(run_folder.VIDEO_FILE).stem
_FRAMES = "frame_*.png"
_UNREADABLE = "It is too large for this file, or damaged."


def run_videos(folder: Path) -> list[VideoContent]:
    """The videos in a run folder, the run's own first; they are not changed.

    They have `MAX_VIDEO_BYTES` together: one that does not fit is made smaller, or named alone.

    Args:
      folder: the run folder.
    """
    found, left = [], MAX_VIDEO_BYTES
    for path in _paths(folder):
        video = _frames(path) if path.is_dir() else _file(path, left)
        left -= 0 if video.uri is None else len(video.uri.partition(",")[2]) * 3 // 4
        found.append(video)
    return found


def _paths(folder: Path) -> Iterator[Path]:
    """video.mp4, video-orbit.mp4, video-orbit_depth.gif, and folders of frames."""

    def is_one(path: Path) -> bool:
        if not (path.stem == _STEM or path.stem.startswith((f"{_STEM}-", f"{_STEM}_"))):
            return False
        if path.is_dir():
            return not path.suffix and any(path.glob(_FRAMES))
        return path.suffix in (".mp4", ".gif") and path.is_file()

    try:
        every = [path for path in folder.iterdir() if is_one(path)]
    except OSError:
        return
    yield from sorted(every, key=lambda path: (path.name != run_folder.VIDEO_FILE, path.name))


def _file(path: Path, max_bytes: int) -> VideoContent:
    kind = "image/gif" if path.suffix == ".gif" else "video/mp4"
    content = _gif(path, max_bytes) if path.suffix == ".gif" else small_video(path, max_bytes)
    if content is None:
        return VideoContent(path.name, note=_UNREADABLE)
    is_whole = len(content) == path.stat().st_size
    note = None if is_whole else "It is smaller here than it was drawn."
    return VideoContent(path.name, data_uri(kind, content), is_image=kind == "image/gif", note=note)


def _gif(path: Path, max_bytes: int) -> bytes | None:
    try:
        return path.read_bytes() if 0 < path.stat().st_size <= max_bytes else None
    except OSError:
        return None


def _frames(path: Path) -> VideoContent:
    num = sum(1 for _ in path.glob(_FRAMES))
    return VideoContent(f"{path.name}/", note=f"A folder of {counted(num, 'frame')}.")
