"""The library's messages in the words of a command line: flags instead of parameters."""

import re
from collections.abc import Mapping

from absl import flags

# Parameters, settings and functions of the library whose flag has another name.
FLAG_OF: Mapping[str, str] = {
    "assignments": "set",
    "content": "video_content",
    "frame": "export_frame",
    "max_depth": "export_far",
    "max_faces": "mesh_faces",
    "max_seconds": "train_seconds",
    "nerf.train": "mode=train",
    "num_frames": "video_frames",
    "num_threads": "threads",
    "resolution": "mesh_resolution",
    "seconds": "train_seconds",
    "train.depth": "depth",
    "train.exposure": "exposure",
    "train.poses": "poses",
    "train.few_views": "few_views",
    "train.holdout": "holdout",
    "train.holdout_views": "holdout_views",
    "train.learning_rate": "lr",
    "train.num_rays": "rays",
    "train.num_steps": "steps",
}
# Only as a separate word, because the name of a file may contain backticks.
_IN_BACKTICKS = re.compile(
    r"(?<![^\s(])`(?P<name>[a-z_][\w.]*)(?:=(?P<value>[^`]*))?`(?=[,.:;)?!]*(?:\s|$))"
)
_QUOTED = re.compile(r"""(["'])(?P<text>.*)\1""", re.DOTALL)


def as_flags(message: str, flag_values: flags.FlagValues = flags.FLAGS) -> str:
    """Replaces the parameters that a message names in backticks by flags.

    A parameter becomes a flag where the program defines that flag; everything else in the message
    stays as it is.

        `near`                 --near
        `space="ndc"`          --space=ndc
        `resume=False`         --noresume
        `train.clip_norm=1`    --set=train.clip_norm=1

    Args:
      message: a message of the library, e.g. of a `UserError`.
      flag_values: the program's flags; they need not be parsed yet.

    Returns:
      The message with flags.
    """
    return _IN_BACKTICKS.sub(lambda match: _flag(match, flag_values), message)


def _flag(match: re.Match[str], known: flags.FlagValues) -> str:
    """The flag that sets what one pair of backticks encloses; the whole match if none does."""
    name, value = match["name"], match["value"]
    for spelling in (FLAG_OF.get(name, name), name):
        flag, _, fixed_value = spelling.partition("=")
        if flag in known:
            if known[flag].boolean and value in ("True", "False"):
                return f"--{flag}" if value == "True" else f"--no{flag}"
            value = fixed_value or value
            return f"--{flag}" if value is None else f"--{flag}={_unquoted(value)}"
    if "." in name and value is not None and "set" in known:
        return f"--set={name}={value}"
    return match[0]


def _unquoted(value: str) -> str:
    quoted = _QUOTED.fullmatch(value)
    return quoted["text"] if quoted else value
