"""Which views are held out: none, some by their names, those that the files name, or every N-th."""

import difflib
import operator
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from nerf.captures.capture import Split, named_views
from nerf.captures.safe_files.reading import IMAGE_SUFFIXES
from nerf.config.settings import TrainConfig
from nerf.errors import UserError, listed

_MAX_SUGGESTED = 3


class Holdout(NamedTuple):
    """Which views are held out.

    Attributes:
      every: every N-th view, from view 0 on; 0 for none.
      views: names of views. Where there are some, nothing else counts.
      use_file_split: whether a split that the files define comes before `every`.
      num_train: the most views to train on, evenly chosen among those not held out; 0 for all.
        The others are neither trained on nor held out.
    """

    every: int
    views: tuple[str, ...] = ()
    use_file_split: bool = True
    num_train: int = 0

    @classmethod
    def of(cls, config: TrainConfig) -> "Holdout":
        """The choice of held-out views that the settings of a run make."""
        return cls(
            config.holdout, config.holdout_views, config.use_file_split, config.num_train_views
        )


def make_split(names: Sequence[str], given: Split | None, holdout: Holdout) -> Split:
    """The views to train on and those held out.

    Args:
      names: of all views.
      given: the split that the files define, if they do.
      holdout: what is asked for.

    Raises:
      UserError: if a name is that of no view, or of several.
    """
    split = _whole_split(names, given, holdout)
    return split._replace(train=_evenly_chosen(split.train, holdout.num_train))


def _whole_split(names: Sequence[str], given: Split | None, holdout: Holdout) -> Split:
    """The split of all views."""
    if holdout.views:
        test = tuple(sorted({find_name(names, name) for name in holdout.views}))
    elif given is not None and holdout.use_file_split:
        return given
    else:
        test = tuple(range(0, len(names), holdout.every)) if holdout.every else ()
    held_out = frozenset(test)
    return Split(tuple(i for i in range(len(names)) if i not in held_out), test)


def _evenly_chosen(views: tuple[int, ...], num_views: int) -> tuple[int, ...]:
    """`num_views` of the views, evenly, from the first to the last; all for 0.

    Source: Niemeyer et al. 2022 (RegNeRF), section 4, and its published code.

    >>> _evenly_chosen((1, 2, 3, 5, 6, 7), 3)
    (1, 3, 7)
    """
    if num_views in (0, *range(len(views), num_views + 1)):
        return views
    places = np.linspace(0, len(views) - 1, num_views)
    return tuple(views[round(place)] for place in places)


def find_name(names: Sequence[str], view_name: str) -> int:
    """The index of the view that a user names: by the name or the file of its image.

    The folders of a path and the ending of a file may be left out.

    Raises:
      UserError: if there is no such view, or there are several.

    >>> find_name(["left/001", "left/002", "right/001"], "images/left/002.jpg")
    1
    """
    stem = PurePosixPath(view_name.replace("\\", "/"))
    if stem.suffix.lower() in IMAGE_SUFFIXES and view_name not in names:
        stem = stem.with_suffix("")
    parts = tuple(part for part in stem.parts if part != ".")
    paths = [PurePosixPath(name).parts for name in names]
    folded = [tuple(map(str.casefold, path)) for path in paths]
    for named_parts, known in ((parts, paths), (tuple(map(str.casefold, parts)), folded)):
        for is_same in (operator.eq, _is_suffix):
            found = [index for index, path in enumerate(known) if is_same(path, named_parts)]
            if len(found) == 1:
                return found[0]
            if found:
                raise UserError(
                    f"`holdout_views`: {view_name!r} may be {named_views(found, names)}: give more "
                    "of its path"
                )
    similar = difflib.get_close_matches(str(stem), names, _MAX_SUGGESTED)
    near = f"similar names are {listed(similar)}" if similar else f"there are {listed(names)}"
    raise UserError(f"`holdout_views`: no view is called {view_name!r}; {near}")


def _is_suffix(path: Sequence[str], end: Sequence[str]) -> bool:
    """Whether the shorter one of two paths is the end of the other."""
    length = min(len(path), len(end))
    return length > 0 and tuple(path[-length:]) == tuple(end[-length:])


def describe_rule(given: Split | None, holdout: Holdout) -> str:
    """How views are held out, in a few words."""
    if holdout.views:
        return "by name"
    if given is not None and holdout.use_file_split:
        return "from the files"
    ordinal = {2: "2nd", 3: "3rd"}.get(holdout.every, f"{holdout.every}th")
    return f"every {ordinal} from 0 on" if holdout.every else "all are for training"
