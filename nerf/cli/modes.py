"""Which flags each mode uses; others on the command line are refused, and noted in a flagfile."""

from collections.abc import Callable, Collection, Iterable, Sequence

from absl import flags

from nerf.cli import commands
from nerf.cli.exits import exit_on_error
from nerf.errors import UserError, listed
from nerf.runtime.processes import JobOptions
from nerf.scenes.options import NAMES as CAPTURE_OPTIONS
from nerf.scenes.options import UNUSED_BY_BUNDLED

FLAGS = flags.FLAGS

_ALWAYS = {"mode", "backend", "field", "set", "preset", "precision", "compile_cache"}
_CAPTURE = {*CAPTURE_OPTIONS} - {"shard_images"}  # which is of a job
SCENE = _CAPTURE | {"scene", "data_dir", "offline", "download_url"}
_SPLIT = {"holdout", "holdout_views"}
_RUN = {"init_from", "run_dir", "debug"}
_VIDEO = {
    "renderer", "camera_path", "nerfstudio_transform", "video_frames", "video_size",
    "video_format", "video_content",
}  # fmt: skip
_TRAINING = {
    "steps", "train_seconds", "rays", "rays_per_microbatch", "steps_per_call", "lr", "resume",
    "stop_at", "save_every", "eval_every", "on_collapse", "tensorboard", "seed", "exposure",
    "poses", "depth", "few_views", "robust_loss",
}  # fmt: skip
_EXPORT = {
    "init_from", "run_dir", "out", "export", "export_frame", "export_far", "mesh_format",
    "mesh_resolution", "mesh_faces", "num_points",
}  # fmt: skip
_PAGE = {"host", "port"}
_JOB = {
    "distributed",
    "coordinator",
    "num_processes",
    "process_id",
    "start_seconds",
    "shard_images",
}
# What processes that draw images together must have the same of, beside settings and parameters.
IN_STEP = frozenset({"mode", "eval_views", "exposure", "poses"} | _VIDEO)
USED_BY = {
    "evaluate": _ALWAYS
    | SCENE
    | _RUN
    | _VIDEO
    | _SPLIT
    | _JOB
    | {"eval_views", "exposure", "poses"},
    "train": _ALWAYS
    | SCENE
    | _RUN
    | _VIDEO
    | _TRAINING
    | _SPLIT
    | _PAGE
    | _JOB
    | {"eval_views", "viewer"},
    "render": _ALWAYS | SCENE | _RUN | _VIDEO | _JOB,
    "convert": _ALWAYS - {"precision"} | SCENE | {"init_from", "out"},
    "export": _ALWAYS | SCENE | _EXPORT,
}
USED_BY_COMMAND = {
    "nerf.inspect": frozenset(_CAPTURE | _SPLIT | {"out"}),
    "nerf.pose": frozenset({"out", "max_size", "seed"}),
    "nerf.view": frozenset(SCENE | _PAGE | {"out", "compile_cache"}),
    "nerf.compare": frozenset({"out"}),
}
_OF_THE_MODES = set().union(*USED_BY.values())  # absl's own flags serve all
OF_FOLDERS = ("data_dir", *UNUSED_BY_BUNDLED)
# Settings of training that scoring uses as well.
_SCORED = ("train.holdout", "train.holdout_views", "train.exposure", "train.poses")
# Flags that set what `--set` can set, too.
_SAME_SETTING = {
    "rays": ("train.num_rays",),
    "steps": ("train.num_steps",),
    "lr": ("train.learning_rate", "train.final_learning_rate"),
    "precision": ("field.compute_dtype",),
    "background": ("render.background",),
    "robust_loss": ("train.robust_loss",),
    "holdout": ("train.holdout",),
    "holdout_views": ("train.holdout_views",),
    "exposure": ("train.exposure",),
    "depth": ("train.depth",),
    "poses": ("train.poses",),
    "few_views": ("train.few_views",),
}


def parse_flags(argv: Sequence[str]) -> list[str]:
    """Reads and checks the flags of `nerf.main`, for `app.run`; a mistake ends with a sentence."""
    rest = commands.parse_flags(argv)
    with exit_on_error():
        used = USED_BY[FLAGS.mode]
        if FLAGS.mode == "convert" and FLAGS.init_from != "pretrained":
            used = used - SCENE  # which only pretrained parameters belong to
        for note in check_combination(argv, f"--mode={FLAGS.mode}", used):
            print(f"note: {note}")
        _check_assignments(argv)
        _check_mode()
    return rest


def parser_of(command: str) -> Callable[[Sequence[str]], list[str]]:
    """What `parse_flags` is to `nerf.main`, for another command, a key of `USED_BY_COMMAND`."""

    def parse(argv: Sequence[str]) -> list[str]:
        rest = commands.parse_flags(argv)
        with exit_on_error():
            for note in check_combination(argv, command, USED_BY_COMMAND[command]):
                print(f"note: {note}")
        return rest

    return parse


def check_combination(argv: Sequence[str], user: str, used: Collection[str]) -> list[str]:
    """Refuses flags that a command does not use, and those that contradict each other.

    Args:
      argv: the program's arguments as they were typed, before flagfiles are read.
      user: what the command or mode is called.
      used: names of the flags that it uses.

    Returns:
      A note if the flagfile has flags that the command does not use; otherwise nothing.

    Raises:
      UserError: with the flags, and what to do.
    """
    given = {name for name in _OF_THE_MODES if FLAGS[name].present}
    unused = sorted(given.difference(used))
    typed = _typed(argv)
    refused = [name for name in unused if name in typed]
    if refused:
        modes = [f"--mode={mode}" for mode in USED_BY if set(refused) <= USED_BY[mode]]
        others = [mode for mode in modes if mode != user] if user in modes else modes
        others = others if user.startswith("--mode") or not others else ["nerf.main"]
        them = "it" if len(refused) == 1 else "them"
        are = "it is" if len(refused) == 1 else "they are"
        advice = f" ({are} for {' and '.join(others)})" if others else ""
        raise UserError(f"{user} does not use {_named(refused)}: leave {them} out{advice}")
    _check_contradictions(given.intersection(used))
    from_file = [name for name in unused if name not in typed]
    if not from_file:
        return []
    return [f"{user} does not use {_named(from_file)} of the flagfile"]


def _check_contradictions(given: set[str]) -> None:
    assigned = {text.partition("=")[0].strip() for text in FLAGS.set}
    for name, settings in _SAME_SETTING.items():
        for setting in sorted(assigned.intersection(settings)):
            if name in given:
                raise UserError(
                    f"--{name} and --set={setting} both set the same: give one of the two"
                )
    if "train_seconds" in given and "train.num_steps" in assigned:
        raise UserError(
            "--train_seconds ignores --set=train.num_steps: give --steps, which ends the "
            "training if it comes first, or one of the two"
        )
    if {"holdout", "holdout_views"} <= given:
        raise UserError("--holdout and --holdout_views both choose views: give one of the two")
    if FLAGS.offline and FLAGS.download_url is not None:
        raise UserError("--offline downloads nothing, so --download_url has no use: leave one out")
    if FLAGS.scene.startswith("procedural:"):
        useless = [name for name in OF_FOLDERS if name in given]
        if useless:
            raise UserError(
                f"{_named(useless)}: the bundled scenes do not use "
                f"{'it' if len(useless) == 1 else 'them'}; a size is part of their name, e.g. "
                "--scene=procedural:flower@252x188"
            )
    if FLAGS.video_frames == 0:
        useless = sorted(given & _VIDEO - {"renderer", "video_frames"})
        if useless:
            raise UserError(f"--video_frames=0 makes no video, so {_named(useless)} has no use")
    if FLAGS.near is not None and FLAGS.far is not None and FLAGS.near >= FLAGS.far:
        raise UserError(f"--near={FLAGS.near} must be less than --far={FLAGS.far}")


def _check_assignments(argv: Sequence[str]) -> None:
    """Refuses settings of training, where they are typed, in modes that do not train."""
    if FLAGS.mode == "train":
        return
    typed = [text for text in FLAGS.set if any(argument.endswith(text) for argument in argv)]
    names = (text.partition("=")[0].strip() for text in typed)
    unused = [name for name in names if name.startswith("train.") and name not in _SCORED]
    if unused:
        raise UserError(
            f"--mode={FLAGS.mode} does not use {listed(f'--set={name}' for name in unused)}: "
            "leave it out (it is for --mode=train)"
        )


def _check_mode() -> None:
    if None not in (FLAGS.steps, FLAGS.stop_at) and FLAGS.stop_at > FLAGS.steps:
        raise UserError(
            f"--stop_at={FLAGS.stop_at} is after the end of the run, --steps={FLAGS.steps}"
        )
    for name in sorted(_PAGE):
        if FLAGS.mode == "train" and FLAGS[name].present and not FLAGS.viewer:
            raise UserError(
                f"--{name} sets the address of the viewer: add --viewer, or leave it out"
            )
    job = job_options()
    job.check()
    if job.is_given:
        _check_job()
    if FLAGS.mode == "render" and FLAGS.video_frames == 0:
        raise UserError("--mode=render only writes a video, so --video_frames must be at least 1")


def job_options() -> JobOptions:
    """How this process finds the others of its job."""
    if not USED_BY[FLAGS.mode] >= _JOB:  # a flagfile may give the flags to other modes
        return JobOptions()
    return JobOptions(
        FLAGS.distributed,
        FLAGS.coordinator,
        FLAGS.num_processes,
        FLAGS.process_id,
        FLAGS.start_seconds,
    )


def _check_job() -> None:
    """Refuses what works in one process alone."""
    alone = {"viewer": FLAGS.viewer, "debug": FLAGS.debug}
    given = [name for name, is_on in alone.items() if is_on]
    if given:
        raise UserError(
            f"{_named(given)} works with one process alone: leave it out, or leave out "
            "--distributed and --coordinator"
        )


def _typed(argv: Sequence[str]) -> set[str]:
    """Names of the flags that stand on the command line itself."""
    names = set()
    for argument in argv:
        name = argument.lstrip("-").partition("=")[0]
        if argument == "--":
            break
        if argument.startswith("-"):
            names.update({name, name.removeprefix("no")})
    return names


def _named(names: Iterable[str]) -> str:
    return listed(f"--{name}" for name in names)
