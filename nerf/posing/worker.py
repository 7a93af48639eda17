"""One step of COLMAP in a process of its own: `python -m nerf.posing.worker JOB`.

COLMAP's programs write to the console, end the process when something is wrong inside, and cannot
be interrupted. So they run here, and `nerf.posing.process` watches. JOB is a JSON file with the
step and its values; what a step finds is written beside it.
"""

import importlib
import json
import os
import sqlite3
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nerf.posing.lens_models import first_model, refine

DATABASE = "database.db"
IMAGES = "images"
PAIRS = "pairs.txt"
PLACED = "placed.txt"
MODEL = "model"
RESULT = "result.json"
_MIN_MODEL_SIZE = 3
_MIN_SHARE = 0.9  # of the images that are placed, or they are placed again with distortion


def safe_name(index: int, suffix: str) -> str:
    """The name of an image in COLMAP's database, which sorts in order and has no spaces."""
    return f"{index:06d}{suffix}"


def extract(job: Mapping[str, Any], folder: Path, colmap: Any) -> None:
    """Finds features in images, one camera for each group; those already found are kept."""
    extraction = colmap.FeatureExtractionOptions()
    extraction.max_image_size = job["max_size"] or -1
    extraction.num_threads = job["num_threads"]
    for group in job["groups"]:
        reading = colmap.ImageReaderOptions()
        reading.camera_model = first_model(job["camera_model"])
        known = _camera_of(folder / DATABASE, group)
        if known is not None:
            reading.existing_camera_id = known
        colmap.extract_features(
            folder / DATABASE,
            folder / IMAGES,
            image_names=group,
            camera_mode=colmap.CameraMode.SINGLE,
            reader_options=reading,
            extraction_options=extraction,
        )


def _camera_of(database: Path, names: Sequence[str]) -> int | None:
    """The camera that an interrupted run has made for some of these images."""
    if not database.exists():
        return None
    try:
        with sqlite3.connect(database) as connection:
            rows = dict(connection.execute("SELECT name, camera_id FROM images").fetchall())
    except sqlite3.Error:
        return None
    return next((int(rows[name]) for name in names if name in rows), None)


def match(job: Mapping[str, Any], folder: Path, colmap: Any) -> None:
    """Compares the pairs of images in `PAIRS`; pairs already compared are kept."""
    matching = colmap.FeatureMatchingOptions()
    matching.num_threads = job["num_threads"]
    pairing = colmap.ImportedPairingOptions()
    pairing.match_list_path = folder / PAIRS
    verification = colmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = job["seed"]
    colmap.match_image_pairs(
        folder / DATABASE,
        matching_options=matching,
        pairing_options=pairing,
        verification_options=verification,
    )


def place(job: Mapping[str, Any], folder: Path, colmap: Any) -> None:
    """Places the images in models; writes the largest, and figures of all.

    Lenses get no distortion first, see `nerf.posing.lens_models`. If that leaves out many images,
    the lens must have distortion, and they are placed again.
    """
    models = _run_mapper(job, folder, colmap, distorts=False)
    if _size(models) < _MIN_SHARE * len(job["names"]):
        again = _run_mapper(job, folder, colmap, distorts=True)
        models = again if _size(again) > _size(models) else models
    result: dict[str, Any] = {"sizes": [model.num_reg_images() for model in models]}
    if models:
        largest = refine(models[0], job["camera_model"], colmap)
        result |= _write_model(largest, job["names"], folder / MODEL)
    (folder / RESULT).write_text(json.dumps(result))


def _size(models: Sequence[Any]) -> int:
    return int(models[0].num_reg_images()) if models else 0


def _run_mapper(job: Mapping[str, Any], folder: Path, colmap: Any, *, distorts: bool) -> list[Any]:
    """Models, the largest first; of the others, those that place more images."""
    options = colmap.IncrementalPipelineOptions()
    options.min_model_size = _MIN_MODEL_SIZE
    options.num_threads = job["num_threads"]
    options.random_seed = job["seed"]
    options.ba_refine_extra_params = distorts
    options.mapper.abs_pose_refine_extra_params = distorts
    count = 0

    def report(added: int, first: bool = False) -> None:
        nonlocal count
        count = added if first else count + added
        (folder / PLACED).write_text(str(count))

    (folder / "models").mkdir(exist_ok=True)
    models = colmap.incremental_mapping(
        folder / DATABASE,
        folder / IMAGES,
        folder / "models",
        options=options,
        initial_image_pair_callback=lambda: report(2, first=True),
        next_image_callback=lambda: report(1),
    )
    large = [model for model in models.values() if model.num_reg_images() >= _MIN_MODEL_SIZE]
    found = sorted(large, key=lambda m: (-m.num_reg_images(), -m.num_points3D()))
    placed = set(found[0].reg_image_ids()) if found else set()
    return [*found[:1], *(model for model in found[1:] if set(model.reg_image_ids()) - placed)]


def _write_model(model: Any, names: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Writes a model with the images' own names; returns its figures."""
    for image in model.images.values():
        image.name = names[image.name]
    folder.mkdir(exist_ok=True)
    model.write_binary(folder)
    placed = [model.images[index].name for index in model.reg_image_ids()]
    lenses = [
        [float(camera.mean_focal_length()), int(camera.width), int(camera.height)]
        for camera in model.cameras.values()
    ]
    return {
        "placed": placed,
        "num_points": model.num_points3D(),
        "error": float(model.compute_mean_reprojection_error()),
        "lenses": lenses,
    }


STEPS = {"extract": extract, "match": match, "place": place}


def _end_with_parent() -> None:
    """Ends this process when the one that started it does."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


def main(path: str) -> None:
    """Runs the step that a job file describes."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    job = json.loads(Path(path).read_text())
    colmap: Any = importlib.import_module("pycolmap")
    colmap.set_random_seed(job["seed"])
    STEPS[job["step"]](job, Path(path).parent, colmap)


if __name__ == "__main__":
    main(sys.argv[1])
