"""The poses that a run has corrected, in the coordinates of the capture that it was trained on."""

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nerf.captures.capture import Capture
from nerf.errors import UserError, counted, printable
from nerf.geometry.alignment import similarity_between
from nerf.geometry.poses import transform_poses
from nerf.jobs.load import stored_corrections, stored_scene
from nerf.runs import run_folder

_SAME = 1e-3  # scene units and radians, by which the poses of a capture may differ from a run's


def with_corrected_poses(capture: Capture, run: Path) -> tuple[Capture, list[str]]:
    """A capture with the poses that a run has corrected.

    Training views get their corrected poses. Held-out views get those that they were aligned to
    when the run was scored; where it was not, the similarity transform from the training poses of
    the capture to the corrected ones.

    Args:
      capture: what the run was trained on.
      run: a run folder.

    Returns:
      The capture, and a note on views whose poses no image has corrected.

    Raises:
      UserError: if the run has corrected no poses, or was trained on other ones.
    """
    record, scene = stored_corrections(run), stored_scene(run)
    if record is None or record.camtoworlds is None or scene is None:
        raise UserError(
            f"{run} has no corrected poses ({run_folder.CORRECTIONS_FILE} has none): train with "
            '`poses="on"`'
        )
    names = tuple(map(printable, capture.names))
    known = transform_poses(scene.capture_to_scene, capture.camtoworlds)
    if names != scene.view_names or not np.allclose(
        known, scene.cameras.camtoworlds, rtol=0.0, atol=_SAME
    ):
        raise UserError(
            f"{run} was trained on other images or poses than those of {capture.folder}: give the "
            "folder that it was trained on"
        )
    index = {name: number for number, name in enumerate(names)}
    trained = [index[name] for name in record.view_names]
    transform = similarity_between(known[trained], record.camtoworlds)
    poses = transform_poses(transform, known)
    poses[trained] = record.camtoworlds
    found = _aligned_poses(run)
    for number, pose in found.items():
        if number < len(names) and number not in trained:
            poses[number] = pose
    to_capture = np.asarray(np.linalg.inv(scene.capture_to_scene), np.float64)
    num_left = len(names) - len({*trained, *found})
    changed = dataclasses.replace(capture, camtoworlds=transform_poses(to_capture, poses))
    return changed, [
        f"{counted(num_left, 'view')} without a corrected pose: not trained on, and not scored"
    ] * (num_left > 0)


def _aligned_poses(run: Path) -> dict[int, npt.NDArray[np.float64]]:
    """The poses `[3, 4]`, in scene units, that held-out views were scored from, by their index."""
    file = run / run_folder.EVAL_FILE
    if not file.is_file():
        return {}
    found = {}
    try:
        for view in run_folder.read_json(file)["views"]:
            if "camtoworld" in view:
                pose = np.array(view["camtoworld"], np.float64).reshape(3, 4)
                found[int(view["index"])] = pose
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({error!r}): score the run again") from error
    return found
