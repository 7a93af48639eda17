"""Writing a capture as `transforms.json` or as Blender's files, see `nerf.captures.export`."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerf.captures.capture import HALF_PIXEL
from nerf.captures.lenses.models import PANORAMA
from nerf.captures.readers import transforms
from nerf.captures.writers.task import IMAGES, ExportTask, Writer
from nerf.errors import counted
from nerf.geometry.lenses import Lens


def check_transforms(task: ExportTask) -> list[str]:
    num_lost = len(task.capture.points)
    return [f"{counted(num_lost, 'point is', 'points are')} not written"] if num_lost else []


def write_nerfstudio(task: ExportTask) -> None:
    split, names = task.capture.split, task.names
    content = _transforms(task, range(len(names)))
    if split is not None:
        chosen = {"train": split.train, "val": (), "test": split.test}
        for part, indices in chosen.items():
            content[f"{part}_filenames"] = [f"{IMAGES}/{names[i]}" for i in indices]
    _write_json(task.out / transforms.NERFSTUDIO_FILE, content)


def write_blender(task: ExportTask) -> None:
    split, names = task.capture.split, task.names
    parts: dict[str, Sequence[int]] = {"train": range(len(names))}
    if split is not None:
        train, test = split
        rest = [i for i in range(len(names)) if i not in {*train, *test}]
        parts = {"train": train, "test": test, **({"val": rest} if rest else {})}
    stems = [f"./{IMAGES}/{Path(name).with_suffix('').as_posix()}" for name in names]
    for part, indices in parts.items():
        content = _transforms(task, indices)
        for frame, index in zip(content["frames"], indices, strict=True):
            frame["file_path"] = stems[index]
        content["camera_angle_x"] = 2.0 * math.atan(
            0.5 * task.sizes[0, 0] / np.asarray(task.lens.focal)[0, 0]
        )
        _write_json(task.out / f"transforms_{part}.json", content)


def _transforms(task: ExportTask, indices: Sequence[int]) -> dict[str, Any]:
    """The content of a JSON file of some views; intrinsics that all share are written once."""
    capture, lens, bounds, sizes, names, _ = task
    intrinsics = [_intrinsics(lens, index, size) for index, size in enumerate(sizes.tolist())]
    shared = intrinsics[0] if all(values == intrinsics[0] for values in intrinsics) else {}
    frames = []
    for index in indices:
        matrix = np.vstack([capture.camtoworlds[index], [0.0, 0.0, 0.0, 1.0]])
        frame = {"file_path": f"{IMAGES}/{names[index]}", "transform_matrix": matrix.tolist()}
        if not shared:
            frame |= intrinsics[index]
        if bounds is not None:
            frame |= {"near": float(bounds[index, 0]), "far": float(bounds[index, 1])}
        frames.append(frame)
    return {**shared, "frames": frames}


def _intrinsics(lens: Lens, index: int, size: Sequence[int]) -> dict[str, Any]:
    """The keys of `transforms.json` that describe the lens of a view."""
    assert lens.distortion is not None
    assert lens.fisheye is not None
    focal, centre = np.asarray(lens.focal)[index], np.asarray(lens.centre)[index] + HALF_PIXEL
    pinhole = [*focal.tolist(), *centre.tolist()]
    values = dict(zip(("fl_x", "fl_y", "cx", "cy"), pinhole, strict=True))
    names = ("k1", "k2", "k3", "k4", "p1", "p2")
    distortion = dict(zip(names, np.asarray(lens.distortion)[index].tolist(), strict=True))
    if lens.panorama is not None and lens.panorama[index]:
        # nerfstudio counts half turns, not radians.
        values |= {"fl_x": float(np.pi * focal[0]), "fl_y": float(np.pi * focal[1])}
        return {"camera_model": PANORAMA, "w": size[0], "h": size[1], **values}
    model = "OPENCV_FISHEYE" if lens.fisheye[index] else "OPENCV"
    if not any(distortion.values()):
        distortion = {}
    return {"camera_model": model, "w": size[0], "h": size[1], **values, **distortion}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


NERFSTUDIO = Writer("nerfstudio", check_transforms, write_nerfstudio)
BLENDER = Writer("blender", check_transforms, write_blender, as_png=True)
