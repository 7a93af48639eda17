"""The video's flags as options: the camera path, and the file."""

import os
from pathlib import Path
from typing import Any

from nerf.cli import video_names
from nerf.cli.flags import FLAGS, VIDEO_FORMATS
from nerf.cli.video_names import free_stem
from nerf.errors import UserError, printable
from nerf.jobs.videos.frames import KNOWN_PATHS, default_path
from nerf.runs import run_folder
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene

_MAX_BYTES = 200  # of a name of a file, which has 255 with what is put before and behind it


def file(scene: Scene | SceneRecord, folder: Path) -> Path:
    """The file of the video: video.mp4, or video-NAME.mp4 for a path that is not the run's own, or
    video-NAME-2.mp4 where that shows another path of the name.

    Args:
      scene: the scene.
      folder: the run folder; its config.json says which path video.mp4 shows.
    """
    name, ending = Path(run_folder.VIDEO_FILE).stem, VIDEO_FORMATS[FLAGS.video_format]
    if FLAGS.mode != "train":
        own, path = (recorded(folder) or {}).get("path"), path_name(scene)
        if FLAGS.camera_path is not None or own not in (None, path):
            name = free_stem(folder, _stem(path), _identity(scene))
    return folder / f"{name}{ending}"


def remember(scene: Scene | SceneRecord, video: Path) -> str | None:
    """Notes in the run folder which path a video shows.

    Args:
      scene: the scene.
      video: from `file`; its folder is there.

    Returns:
      A sentence, where its name is not the usual one.
    """
    if video.stem == Path(run_folder.VIDEO_FILE).stem:
        return None
    video_names.record_path(video.parent, video.stem, _identity(scene))
    usual = _stem(path_name(scene))
    if video.stem == usual:
        return None
    return f"{usual}{video.suffix} shows another path of this name, so this video is {video.name}"


def check_length() -> None:
    """Refuses a camera path file whose name is too long for the name of its video.

    Raises:
      UserError: with what to do.
    """
    path = FLAGS.camera_path
    if path is None or path in KNOWN_PATHS or FLAGS.mode == "train":  # then it is video.mp4
        return
    name = Path(path).name
    if len(os.fsencode(name)) > _MAX_BYTES:
        raise UserError(
            f"--camera_path: the name {printable(name[:20])}... has {len(name)} letters, too many "
            f"for a video that is named after it: give the file a name of at most {_MAX_BYTES}"
        )


def _stem(path: str) -> str:
    """The usual name of a path's video, without its ending."""
    return f"{Path(run_folder.VIDEO_FILE).stem}-{Path(path).stem.replace('.', '_')}"


def _identity(scene: Scene | SceneRecord) -> video_names.Identity:
    path = FLAGS.camera_path or default_path(scene)
    transform = nerfstudio_transform()
    files = [Path(path), *([] if transform is None else [transform])]
    return video_names.path_identity(path_name(scene), () if path in KNOWN_PATHS else files)


def nerfstudio_transform() -> Path | None:
    """`--nerfstudio_transform`: the record of the frame that the camera path is in."""
    return None if FLAGS.nerfstudio_transform is None else Path(FLAGS.nerfstudio_transform)


def recorded(folder: Path) -> dict[str, Any] | None:
    """The entry of a run folder's config.json for its video."""
    try:
        values = run_folder.read_json(folder / run_folder.CONFIG_FILE).get("video")
    except UserError:
        return None
    return values if isinstance(values, dict) else None


def path_name(scene: Scene | SceneRecord) -> str:
    """The name of the camera path; of a file without its folder, which a run folder never holds."""
    path: str = FLAGS.camera_path or default_path(scene)
    return path if path in KNOWN_PATHS else Path(path).name
