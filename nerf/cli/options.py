"""What the flags become: options of the library's functions."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nerf import field as field_lib
from nerf.cli import video_options
from nerf.cli.flags import FLAGS
from nerf.cli.name_lists import names_in
from nerf.config import presets, settings, text
from nerf.config.settings import Config
from nerf.errors import UserError
from nerf.field import Params
from nerf.geometry.camera_paths import GIVEN, PATHS
from nerf.geometry.upright import lies_on_its_side
from nerf.jobs.fit import fit_to_scene
from nerf.jobs.load import load_params, load_run
from nerf.jobs.trained_field import TrainedField, check_not_trained_on
from nerf.jobs.training_run.options import TrainOptions
from nerf.jobs.video import CONTENTS
from nerf.jobs.videos.frames import KNOWN_PATHS, check_path
from nerf.runs import parameters, run_folder
from nerf.runtime import devices
from nerf.runtime.cache_dir import with_home
from nerf.scenes.options import NAMES, CaptureOptions
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene

WatchFn = Callable[[Params, int], None]  # see `TrainOptions.watch`
_MAX_SIDE = 16384  # of a video's frames; more no encoder takes
_MAX_PIXELS = 2**25  # of a frame


def check_names() -> None:
    """Refuses an unknown backend, field, preset or camera path, and an invalid size.

    Raises:
      UserError: with the known names, or with what is wrong with the file of a camera path.
    """
    field_lib.check_names(FLAGS.backend, FLAGS.field)
    presets.preset_of(FLAGS.field, FLAGS.preset)
    video_size()
    names_in("video_content", CONTENTS)
    video_options.check_length()
    check_path(FLAGS.camera_path, video_options.nerfstudio_transform())


def capture_options() -> CaptureOptions:
    """How a folder is read."""
    return CaptureOptions(**{name: getattr(FLAGS, name) for name in NAMES})


def assignments() -> tuple[str, ...]:
    """What `--set`, `--holdout` and `--holdout_views` set, for `nerf.config.text.override`."""
    given = list(FLAGS.set)
    if holdout() is not None:
        given.append(f"train.holdout={holdout()}")
    for name in ("exposure", "poses", "depth", "few_views"):
        if FLAGS.mode == "train" and FLAGS[name].value != "auto":
            given.append(f"train.{name}={FLAGS[name].value}")
    names = holdout_views()
    if names:
        given.append(f"train.holdout_views={json.dumps(names)}")
    return text.with_implied(given)


def holdout() -> int | None:
    """`--holdout`, which must leave views for training."""
    every: int | None = FLAGS.holdout
    if every == 1:
        raise UserError("`holdout=1` holds out all views: give 0 for none, or 2 or more")
    return every


def holdout_views() -> tuple[str, ...]:
    """The names of `--holdout_views`, or those in the file that it names."""
    given = FLAGS.holdout_views
    if given is None:
        return ()
    names = given.split(",")
    if given.lower().endswith(".txt"):
        try:
            names = with_home(given).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise UserError(
                f"--holdout_views={given} cannot be read ({reason}): give a file with one name a "
                "line, or the names, separated by commas"
            ) from error
    found = tuple(name.strip() for name in names if name.strip())
    if not found:
        raise UserError(f"--holdout_views={given} has no names; --holdout=0 holds out no view")
    return found


def video_size() -> tuple[int, int] | None:
    """Width and height of the video; None for the scene's own."""
    if FLAGS.video_size is None:
        return None
    parts = FLAGS.video_size.lower().split("x")
    if len(parts) != 2 or not all(re.fullmatch("0*[1-9][0-9]{0,8}", part) for part in parts):
        raise UserError(f"--video_size={FLAGS.video_size}: write it as WIDTHxHEIGHT, e.g. 504x378")
    width, height = map(int, parts)
    if max(width, height) > _MAX_SIDE or width * height > _MAX_PIXELS:
        raise UserError(
            f"--video_size={FLAGS.video_size}: a frame has at most {_MAX_PIXELS} pixels, and at "
            f"most {_MAX_SIDE} a side"
        )
    return width, height


def num_frames() -> int | None:
    """Frames of the video, 0 for none; None for all of a file or of the training views."""
    if FLAGS.video_frames is not None:
        return int(FLAGS.video_frames)
    if FLAGS.camera_path is not None and FLAGS.camera_path not in (*PATHS, GIVEN):
        return None
    return 30 if devices.default_platform() == "cpu" else 120


def run_dir(scene: Scene) -> Path:
    """The run folder; a run that starts from given parameters gets a separate default."""
    if FLAGS.run_dir:
        return Path(FLAGS.run_dir)
    name = run_folder.default_name(scene.name, scene.source, FLAGS.backend, FLAGS.field)
    is_given = FLAGS.mode == "train" and FLAGS.init_from not in (None, "none")
    return Path(f"runs/{name}{'-retrained' if is_given else ''}")


def field_to_start_from(scene: Scene, folder: Path) -> TrainedField | None:
    """What a run starts from, with the settings that the flags ask for; None to train from scratch.

    Args:
      scene: the scene.
      folder: where the run's results go.

    Raises:
      UserError: if there are no such parameters, or a trained run would be scored with others
        than its own.
    """
    init_from = FLAGS.init_from
    holds_training = run_folder.holds_training(folder)
    if FLAGS.mode == "train":
        if init_from in (None, "none"):
            return None
        return with_flags_of(_load(init_from, scene, folder), scene)
    if init_from == "none":
        raise UserError("--init_from=none gives no parameters, and only --mode=train needs none")
    if holds_training and init_from and not _is_own(init_from, folder):
        raise UserError(
            f"{folder} holds a training run, which other parameters would overwrite: leave out "
            "--init_from to use the trained ones, or name another --run_dir"
        )
    if not holds_training and init_from is None and _is_missing_run(folder):
        raise UserError(
            f"{folder} holds no training run with checkpoints: give the folder of a run as "
            "--run_dir, or its parameters as --init_from=FOLDER/params.safetensors"
        )
    source = str(folder) if holds_training else init_from or "pretrained"
    return with_flags_of(_load(source, scene, folder), scene)


def _is_missing_run(folder: Path) -> bool:
    """Whether a run folder that was asked for by name is missing, or has lost its states."""
    named = FLAGS.run_dir is not None and FLAGS.mode in ("render", "export") and not folder.exists()
    return named or run_folder.has_lost_states(folder)


def _load(init_from: str, scene: Scene, folder: Path) -> TrainedField:
    path = Path(init_from)
    if init_from != "pretrained" and path.is_dir() and run_folder.holds_training(path):
        loaded = load_run(path, backend=FLAGS.backend)
        if FLAGS.mode == "train" and _is_own(init_from, folder):
            return dataclasses.replace(loaded, run_dir=None)
        return loaded
    return load_params(init_from, scene, backend=FLAGS.backend, config=published_config(scene))


def published_config(scene: Scene | None) -> Config:
    """The settings of parameters that come without any, those in the published layout."""
    config = presets.preset_of(FLAGS.field, FLAGS.preset)
    if scene is None:
        return text.override(config, *assignments())
    return fit_to_scene(config, scene, assignments())


def _is_own(init_from: str, folder: Path) -> bool:
    """Whether `init_from` leads to the parameters that the run folder itself holds."""
    own = folder.resolve()
    return Path(init_from).resolve() in (own, own / parameters.FILE_NAME)


def with_flags_of(trained: TrainedField, scene: Scene | None) -> TrainedField:
    """A loaded field with the flags' settings on top; its scene is the one that is drawn."""
    if FLAGS.field != trained.field_name:
        raise UserError(
            f"the parameters are of the field {trained.field_name!r}: add "
            f"--field={trained.field_name}"
        )
    if FLAGS.preset not in (None, trained.config.preset):
        raise UserError(
            f"the parameters were trained with preset {trained.config.preset!r}, not "
            f"{FLAGS.preset!r}: leave out --preset, or train anew"
        )
    other = trained.with_settings(with_flags(trained.config), FLAGS.precision, scene)
    if FLAGS.mode != "train" and trained.run_dir is not None and trained.scene is not None:
        record = other.needed_scene()
        if record.name == trained.scene.name and not record.has_coordinates_of(trained.scene):
            raise UserError(
                f"{trained.run_dir} was trained in other coordinates: give --up, --near, --far and "
                "--space as in the training, and the same poses"
            )
        check_not_trained_on(trained.scene, record.view_names, record.split)
    return other


def fresh_config(scene: Scene) -> Config:
    """The preset, fitted to the scene, with the flags' settings on top."""
    config = presets.preset_of(FLAGS.field, FLAGS.preset)
    return with_flags(fit_to_scene(config, scene, assignments()))


def with_flags(config: Config) -> Config:
    """Settings that the flags give on top of others."""
    train = config.train
    if FLAGS.mode != "train":  # a flagfile may give flags of training to other modes
        return _with_precision(config)
    if FLAGS.lr is not None:
        ratio = train.final_learning_rate / train.learning_rate
        train = dataclasses.replace(
            train, learning_rate=FLAGS.lr, final_learning_rate=FLAGS.lr * ratio
        )
    if FLAGS.steps is not None:
        train = dataclasses.replace(train, num_steps=FLAGS.steps)
    if FLAGS.rays is not None:
        train = dataclasses.replace(train, num_rays=FLAGS.rays)
    if FLAGS.robust_loss is not None:
        train = dataclasses.replace(train, robust_loss=FLAGS.robust_loss)
    return _with_precision(dataclasses.replace(config, train=train))


def _with_precision(config: Config) -> Config:
    """The settings with the precision, and `--set` on top."""
    dtype = settings.compute_dtype(FLAGS.precision)
    field = dataclasses.replace(config.field, compute_dtype=dtype)
    return text.override(dataclasses.replace(config, field=field), *assignments())


def train_options(scene: Scene, started: float, watch: WatchFn) -> TrainOptions:
    """How the run is trained."""
    return TrainOptions(
        save_every=FLAGS.save_every,
        eval_every=FLAGS.eval_every,
        stop_at=FLAGS.stop_at,
        steps_per_call=FLAGS.steps_per_call,
        rays_per_microbatch=FLAGS.rays_per_microbatch,
        image_memory=FLAGS.image_memory,
        on_collapse=FLAGS.on_collapse,
        tensorboard=FLAGS.tensorboard,
        resume=FLAGS.resume,
        renderer=FLAGS.renderer,
        precision=FLAGS.precision,
        debug=FLAGS.debug,
        started=started,
        record=video_record(scene),
        watch=watch,
    )


def video_record(scene: Scene | SceneRecord) -> dict[str, Any]:
    """The entry of `config.json` for the video."""
    cameras = scene.cameras
    own = cameras.width, cameras.height
    width, height = video_size() or (own[::-1] if lies_on_its_side(cameras.camtoworlds) else own)
    size: list[int] | None = [height, width]
    path = video_options.path_name(scene)
    if path not in KNOWN_PATHS:
        size = size if video_size() else None  # that of the file
    return {"video": {"path": path, "num_frames": num_frames(), "size": size}}
