"""From images without poses, or a video, to a folder that trains.

images or frames -> features -> pairs that match -> models -> the largest model
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nerf.captures.advice.other_programs import unsupported_kind, unsupported_message
from nerf.captures.advice.unposed import find_images, is_video
from nerf.captures.formats import formats_in, pose_suffixes
from nerf.captures.reading import read_capture
from nerf.captures.safe_files.reading import IMAGE_SUFFIXES
from nerf.errors import UserError, listed
from nerf.posing import frames, process, result, worker
from nerf.posing.diagnosis import diagnose
from nerf.posing.options import DEFAULT_OPTIONS, MIN_IMAGES, PoseOptions
from nerf.posing.out_folder import RESULT, OutFolder, open_out, remove
from nerf.posing.pairs import chosen_matcher, image_pairs
from nerf.posing.result import PoseResult
from nerf.posing.sources import camera_groups, copy_images
from nerf.runtime import atomic
from nerf.runtime.events import Callback, Progress, log_event, note, say

_PLACED_SHARE = 0.8  # of the images; if fewer are placed, all pairs are compared
_MAX_COMPARED = 250  # images, of which all pairs are compared then


def find_poses(
    source: str | Path,
    out: str | Path,
    options: PoseOptions = DEFAULT_OPTIONS,
    *,
    callback: Callback = log_event,
) -> PoseResult:
    """Finds the poses of images with COLMAP, and writes a folder that trains.

    Args:
      source: a folder of images, or a video. It is not changed.
      out: the folder to write, see `nerf.posing.out_folder`. What an interrupted call has written
        there is used.
      options: how.
      callback: receives messages and progress.

    Raises:
      UserError: if pycolmap is missing, there are too few images, the video cannot be read, no
        image can be placed, or `out` cannot be used.
    """
    source, path = Path(source), Path(out)
    _check_source(source)
    process.check_installed()
    settings = {**dataclasses.asdict(options), "source": str(source.resolve())}
    del settings["overwrite"]
    folder = open_out(path, source, settings, overwrite=options.overwrite)
    notes: list[str] = []
    try:
        names = _images(source, folder, options, notes, callback)
    except UserError:
        remove(path)
        raise
    for text in notes:
        note(callback, text)
    found = _run_colmap(folder, names, options, not source.is_dir(), callback)
    reason = diagnose(folder.work, len(names)).reason
    if not found["sizes"]:
        raise UserError(f"no image of {source} could be placed: {reason}")
    finished = _finish(folder, names, found, notes)
    more = [*result.advice(finished, reason)]
    for text in more:
        note(callback, text)
    return dataclasses.replace(finished, notes=(*notes, *more))


def _check_source(source: Path) -> None:
    """Refuses what is neither a folder of images nor a file, and what has poses already."""
    if not source.exists():
        raise UserError(f"there is no {source}: give a folder of images, or a video")
    if not source.is_dir():
        if source.suffix.lower() in IMAGE_SUFFIXES:
            raise UserError(f"{source} is one image: give the folder of all images")
        found = [] if is_video(source) else formats_in(source.parent)
        if found and source.suffix.lower() in pose_suffixes():
            raise UserError(
                f"{source} is a file of poses: {source.parent} has poses already (format "
                f"{found[0]}), so use that folder as a scene"
            )
        kind = unsupported_kind(source)
        if kind is not None:
            raise UserError(unsupported_message(source, kind))
        return
    found = formats_in(source)
    if found:
        raise UserError(
            f"{source} has poses already (format {found[0]}): use it as a scene, or give the "
            "folder of its images"
        )
    _, names = find_images(source)
    if len(names) < MIN_IMAGES:
        videos = [path for path in sorted(source.iterdir()) if is_video(path)]
        if videos and not names:
            raise UserError(f"{source} has no images but a video: give {videos[0]} itself")
        there = f"has {listed(names)}" if names else "has no images"
        raise UserError(
            f"{source} {there}, and poses need at least {MIN_IMAGES} images: take 30 to 100, each "
            "a step from the one before"
        )


def _images(
    source: Path, folder: OutFolder, options: PoseOptions, notes: list[str], callback: Callback
) -> list[str]:
    """Copies the images, or writes frames of the video; returns their names."""
    recorded = folder.recorded_images()
    if recorded is not None:
        say(callback, f"continuing with the {len(recorded['names'])} images in {folder.images}")
        notes += recorded["notes"]
        return list(recorded["names"])
    if source.is_dir():
        names = _copy_images(source, folder, notes, callback)
    else:
        names, choice = frames.read_video_frames(
            source, folder.images, options.num_frames, callback
        )
        left_out = f"{choice.num_blurred} blurred and {choice.num_alike} that are alike"
        say(callback, f"{len(names)} frames of the video are used; left out: {left_out}")
    folder.record_images({"names": names, "notes": notes})
    return names


def _copy_images(
    source: Path, folder: OutFolder, notes: list[str], callback: Callback
) -> list[str]:
    root, images = find_images(source)
    with Progress.of(callback, "images", total=len(images), unit="image") as progress:
        names, problems = copy_images(root, images, folder.images, lambda: progress.advance(1))
    if len(names) < MIN_IMAGES:
        raise UserError(
            f"only {len(names)} of {len(images)} images in {source} can be read, and poses "
            f"need at least {MIN_IMAGES}: {problems[0]}"
        )
    if problems:
        notes.append(f"{len(problems)} of {len(images)} images left out: {'; '.join(problems[:3])}")
    return names


def _run_colmap(
    folder: OutFolder,
    names: Sequence[str],
    options: PoseOptions,
    is_video: bool,
    callback: Callback,
) -> dict[str, Any]:
    """Runs COLMAP's steps; returns what `nerf.posing.worker.place` has found."""
    safe = _link_images(folder, names)
    groups = [[safe[i] for i in group] for group in camera_groups(folder.images, names)]
    values = {
        "seed": options.seed,
        "num_threads": options.num_threads,
        "camera_model": options.camera_model,
    }
    extraction = values | {"groups": groups, "max_size": options.max_size}
    process.run_step("extract", folder.work, extraction, len(names), callback)
    matcher = chosen_matcher(options.matcher, len(names), is_video=is_video)
    found = _match_and_place(folder, names, safe, matcher, values, callback)
    is_poor = max(found["sizes"], default=0) < _PLACED_SHARE * len(names)
    may_compare_all = options.matcher == "auto" and matcher == "sequential"
    if is_poor and may_compare_all and len(names) <= _MAX_COMPARED:
        say(callback, "not all images could be placed: comparing every image with every other")
        found = _match_and_place(folder, names, safe, "exhaustive", values, callback)
    return found


def _match_and_place(
    folder: OutFolder,
    names: Sequence[str],
    safe: Sequence[str],
    matcher: str,
    shared: dict[str, Any],
    callback: Callback,
) -> dict[str, Any]:
    """Compares pairs of images and places the images."""
    work = folder.work
    pairs = image_pairs(len(names), matcher)
    lines = [f"{safe[i]} {safe[j]}\n" for i, j in pairs]
    (work / worker.PAIRS).write_text("".join(lines))
    process.run_step("match", work, shared, len(pairs), callback)
    (work / worker.PLACED).unlink(missing_ok=True)
    for name in ("models", worker.MODEL):
        shutil.rmtree(work / name, ignore_errors=True)
    place_job = shared | {"names": dict(zip(safe, names, strict=True))}
    process.run_step("place", work, place_job, len(names), callback)
    found: dict[str, Any] = json.loads((work / worker.RESULT).read_text())
    return found


def _link_images(folder: OutFolder, names: Sequence[str]) -> list[str]:
    """Gives the images the names of `worker.safe_name`, as links; returns these names."""
    links = folder.work / worker.IMAGES
    links.mkdir(exist_ok=True)
    safe = []
    for index, name in enumerate(names):
        link = links / worker.safe_name(index, Path(name).suffix.lower())
        if not link.exists():
            try:
                os.link(folder.images / name, link)
            except OSError:  # a file system without links
                shutil.copyfile(folder.images / name, link)
        safe.append(link.name)
    return safe


def _finish(
    folder: OutFolder, names: Sequence[str], found: Mapping[str, Any], notes: Sequence[str]
) -> PoseResult:
    """Moves the model to its place, and reads the folder as a scene."""
    placed = set(found["placed"])
    finished = PoseResult(
        out=folder.path,
        placed=tuple(name for name in names if name in placed),
        not_placed=tuple(name for name in names if name not in placed),
        model_sizes=tuple(found["sizes"]),
        num_points=found["num_points"],
        error=found["error"],
        lenses=tuple((f, w, h) for f, w, h in found["lenses"]),
        notes=tuple(notes),
    )
    shutil.rmtree(folder.model, ignore_errors=True)
    folder.model.parent.mkdir(exist_ok=True)
    (folder.work / worker.MODEL).rename(folder.model)  # which is not there any more
    read_capture(folder.path, format="colmap")  # raises if this is no scene
    atomic.write_text(folder.path / RESULT, json.dumps(finished.to_json(), indent=1))
    shutil.rmtree(folder.work)
    return finished
