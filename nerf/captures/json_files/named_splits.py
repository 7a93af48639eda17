"""The split that lists of file names in a transforms.json define (nerfstudio)."""

from collections.abc import Mapping, Sequence, Set
from pathlib import Path, PurePosixPath
from typing import Any

from nerf.captures.capture import Split
from nerf.captures.images.index import index_of_names
from nerf.captures.safe_files.reading import IMAGE_SUFFIXES
from nerf.errors import UserError, counted, listed

_HELD_OUT = ("test", "val", "validation", "eval")  # values of the key `split` of a frame


def named_split(
    path: Path,
    content: Mapping[str, Any],
    names: Sequence[str],
    files: Sequence[Path],
    folder: Path,
) -> tuple[Split | None, list[str]]:
    """The split that lists of file names define.

    Args:
      path: of the file, for messages.
      content: what it holds: `train_filenames`, and `test_filenames` or `val_filenames`; else each
        frame may have a `split`.
      names: `[num_views]`, the `file_path` of each frame.
      files: `[num_views]`, the image of each; a list may write their names otherwise.
      folder: of the capture, which has them all.

    Returns:
      The split, None if the file has no lists; and a note if a list is not used.

    Raises:
      UserError: if a list is not a list of names, a name fits several images, or no view is
        left to train on
        or to test.
    """
    lists = {key: content.get(f"{key}_filenames") for key in ("train", "val", "test")}
    if lists["test"] is None and lists["val"] is None:
        lists["test"] = _held_out_by_frame(content)
    if lists["test"] is None and lists["val"] is None:
        unused = bool(lists["train"])
        note = "train_filenames is not used, since there is no test_filenames or val_filenames"
        return None, [note] if unused else []
    listed_stems: dict[str, set[str]] = {}
    for key, given in lists.items():
        if given is not None and not (
            isinstance(given, list) and all(isinstance(name, str) for name in given)
        ):
            raise UserError(f"{path}: {key}_filenames must be a list of names: make it again")
        listed_stems[key] = {_stem(name) for name in given or ()}
    stems = [_stem(name) for name in names]
    relative = [file.relative_to(folder) for file in files]
    for key, found in listed_stems.items():
        strange = index_of_names(relative, found.difference(stems))
        for name, indices in strange.items():
            if len(indices) > 1:
                raise UserError(
                    f"{path}: {name!r} in {key}_filenames may be each of "
                    f"{listed(relative[index].as_posix() for index in indices)}: give more of its "
                    "path"
                )
        found.difference_update(strange)
        found.update(stems[index] for indices in strange.values() for index in indices)
    held_out = listed_stems["test"] or listed_stems["val"]
    to_train = listed_stems["train"] if lists["train"] is not None else {*stems} - held_out
    train = tuple(i for i, stem in enumerate(stems) if stem in to_train)
    test = tuple(i for i, stem in enumerate(stems) if stem in held_out and i not in train)
    if not train or not test:
        raise UserError(
            f"{path}: train_filenames and test_filenames (or val_filenames) leave no view to "
            "train on, or none to test: remove them, or name images of frames"
        )
    return Split(train, test), _notes(path, stems, to_train, held_out, listed_stems)


def _held_out_by_frame(content: Mapping[str, Any]) -> list[str] | None:
    """The names of the frames whose `split` is one that is held out; None without any."""
    frames = [frame for frame in content["frames"] if isinstance(frame, dict)]
    names = [
        frame.get("file_path") for frame in frames if str(frame.get("split")).lower() in _HELD_OUT
    ]
    return [name for name in names if isinstance(name, str)] or None


def _notes(
    path: Path,
    stems: Sequence[str],
    to_train: Set[str],
    held_out: Set[str],
    listed_stems: Mapping[str, Set[str]],
) -> list[str]:
    """Notes on names that are of no frame, frames that no list names, and names in two lists."""
    notes = []
    strange = sorted(set().union(*listed_stems.values()).difference(stems))
    if strange:
        are = counted(len(strange), "name", "names")
        notes.append(f"{are} in the lists of {path.name} are of no image: {listed(strange)}")
    both = [stem for stem in stems if stem in to_train and stem in held_out]
    if both:
        views = counted(len(both), "view is", "views are")
        notes.append(f"{views} listed for training and held out, and trained on: {listed(both)}")
    rest = [s for s in stems if not any(s in found for found in (to_train, *listed_stems.values()))]
    if rest:
        views = counted(len(rest), "view is", "views are")
        notes.append(f"{views} in no list of {path.name}, and not used: {listed(rest)}")
    return notes


def _stem(name: str) -> str:
    """The name of an image without its suffix, with `/` between folders."""
    path = PurePosixPath(name.replace("\\", "/"))
    known = path.suffix.lower() in IMAGE_SUFFIXES
    return (path.with_suffix("") if known else path).as_posix()
