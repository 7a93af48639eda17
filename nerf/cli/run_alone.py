"""A run folder without its scene: enough for the modes that read no photograph."""

from pathlib import Path

from nerf.captures.camera_paths.nerfstudio import CAPTURE_FRAME, NERFSTUDIO_TRANSFORM
from nerf.captures.safe_files.reading import read_json_object
from nerf.cli import options
from nerf.cli.flags import FLAGS
from nerf.cli.modes import OF_FOLDERS
from nerf.config import text
from nerf.errors import UserError
from nerf.jobs.load import load_run
from nerf.jobs.trained_field import TrainedField
from nerf.jobs.videos.frames import KNOWN_PATHS
from nerf.runs import run_folder


def run_in_folder() -> TrainedField | None:
    """The field of the run folder that `--run_dir` names.

    Such a folder records its scene, backend and field, so that no photograph and no other flag is
    needed. None where the flags name a scene or parameters, which have to be compared,
    and where the folder holds no run and `--mode=render` draws pretrained parameters.

    Raises:
      UserError: if it holds no training, or another field or preset than the flags say.
    """
    of_scene = any(FLAGS[name].present for name in ("scene", *OF_FOLDERS))
    if not FLAGS.run_dir or FLAGS.init_from or of_scene:
        return None
    folder = Path(FLAGS.run_dir)
    if not run_folder.holds_training(folder):
        if FLAGS.mode == "render" and folder.exists():
            return None
        raise UserError(
            f"{FLAGS.run_dir} holds no training run with checkpoints: give the folder of a run, or "
            "--scene and --init_from"
        )
    _check_frame()
    trained = load_run(FLAGS.run_dir, backend=FLAGS.backend if FLAGS["backend"].present else None)
    for name, own in (("field", trained.field_name), ("preset", trained.config.preset)):
        if FLAGS[name].present and FLAGS[name].value != own:
            raise UserError(f"{FLAGS.run_dir} holds the {name} {own!r}: leave out --{name}")
    if trained.scene is None:
        raise UserError(
            f"{FLAGS.run_dir} does not say the cameras of its scene (scene.json): add --scene, "
            "--field and --backend as in the training"
        )
    config, precision = trained.config, trained.precision
    if FLAGS["precision"].present:
        config, precision = options.with_flags(config), FLAGS.precision
    return trained.with_settings(text.override(config, *options.assignments()), precision)


def _check_frame() -> None:
    """Refuses a path in nerfstudio's frame, which only the scene's files can convert."""
    if FLAGS.camera_path is None or FLAGS.camera_path in KNOWN_PATHS:
        return
    path = Path(FLAGS.camera_path)
    if path.suffix == ".json" and read_json_object(path).get("frame") == CAPTURE_FRAME:
        return
    if FLAGS.nerfstudio_transform or path.with_name(NERFSTUDIO_TRANSFORM).is_file():
        raise UserError(
            f"--camera_path={path} is in the frame of a run of nerfstudio, and converting it "
            "to the capture's frame needs the scene's files: add --scene"
        )
