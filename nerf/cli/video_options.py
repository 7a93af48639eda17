"""What the flags of the video become: what it shows, and where it goes."""

from pathlib import Path
from typing import Any

from nerf.cli.flags import FLAGS, VIDEO_FORMATS
from nerf.errors import UserError
from nerf.jobs.video import CONTENTS
from nerf.jobs.video_frames import KNOWN_PATHS, default_path
from nerf.runs import run_folder
from nerf.scenes.scene import Scene


def content() -> list[str]:
    """What the videos show.

    Raises:
      UserError: with the known names.
    """
    found = [name.strip().lower() for name in FLAGS.video_content]
    unknown = [name for name in found if name not in CONTENTS]
    if unknown or not found:
        raise UserError(
            f"--video_content is one or more of {', '.join(CONTENTS)}, not {', '.join(unknown)!r}"
        )
    return found


def file(scene: Scene, folder: Path) -> Path:
    """Where the video goes: video.mp4, or video-NAME.mp4 for a path that is not the run's own.

    Args:
      scene: the scene.
      folder: the run folder; its config.json says which path video.mp4 shows.
    """
    name, ending = Path(run_folder.VIDEO_FILE).stem, VIDEO_FORMATS[FLAGS.video_format]
    if FLAGS.mode != "train":
        own, path = (recorded(folder) or {}).get("path"), path_name(scene)
        if FLAGS.camera_path is not None or own not in (None, path):
            name += "-" + Path(path).stem.replace(".", "_")
    return folder / f"{name}{ending}"


def nerfstudio_transform() -> Path | None:
    """`--nerfstudio_transform`: the record of the frame that the camera path is in."""
    return None if FLAGS.nerfstudio_transform is None else Path(FLAGS.nerfstudio_transform)


def recorded(folder: Path) -> dict[str, Any] | None:
    """What config.json of a run folder says of its video."""
    try:
        values = run_folder.read_json(folder / run_folder.CONFIG_FILE).get("video")
    except UserError:
        return None
    return values if isinstance(values, dict) else None


def path_name(scene: Scene) -> str:
    """The name of the camera path; of a file without its folder, which a run folder never holds."""
    path: str = FLAGS.camera_path or default_path(scene)
    return path if path in KNOWN_PATHS else Path(path).name
