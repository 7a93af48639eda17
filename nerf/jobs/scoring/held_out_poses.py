"""Aligns held-out views before they are scored, where poses are corrected.

Corrected training poses, and the field with them, are those of a slightly different scene. A
held-out view first gets the similarity transform between the training poses before and after the
correction; then its pose is moved until the field, which stays as it is, shows its image best.
"""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from nerf.geometry.alignment import similarity_between
from nerf.geometry.cameras import Cameras
from nerf.geometry.poses import transform_poses
from nerf.jobs.trained_field import TrainedField
from nerf.render.find_pose import PoseFinder
from nerf.runtime import parallel
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import View

CORRECTED = "poses: aligned on the whole image, with the field fixed"


@dataclasses.dataclass(frozen=True, eq=False)
class ViewAligner:
    """Finds the poses of held-out views.

    Attributes:
      finder: of the field.
      to_corrected: `[4, 4]`, from the poses of the files to the corrected ones, in scene units.
    """

    finder: PoseFinder
    to_corrected: npt.NDArray[np.float64]

    @classmethod
    def of(cls, trained: TrainedField) -> "ViewAligner":
        """The aligner for a field and the corrections of its training."""
        params: Any = parallel.replicate(parallel.make_mesh(1), trained.params)
        finder = PoseFinder(trained.field, params, trained.config.render, trained.needed_space())
        return cls(finder, similarity_to_corrected(trained))

    def aligned(self, view: View, log_gains: npt.NDArray[np.float32] | None = None) -> Cameras:
        """The camera of a view, with the pose that explains its image best.

        Args:
          view: with its image, of which at least one pixel counts.
          log_gains: `[3]`, of its camera where exposure is corrected.
        """
        assert view.image is not None
        start = transform_poses(self.to_corrected, np.asarray(view.camera.camtoworlds, np.float64))
        camera = dataclasses.replace(view.camera, camtoworlds=start.astype(np.float32))
        pixels = self.finder.choose_pixels(view.image, view.mask, log_gains)
        return dataclasses.replace(camera, camtoworlds=self.finder.find(camera, pixels))


def scene_as_trained(trained: TrainedField) -> SceneRecord:
    """The scene with the cameras that the field was trained on: corrected training views, and the
    other views moved by the same similarity transform.
    """
    scene, corrections = trained.needed_scene(), trained.corrections
    if corrections is None or corrections.camtoworlds is None:
        return scene
    before = np.asarray(scene.cameras.camtoworlds, np.float64)
    poses = transform_poses(similarity_to_corrected(trained), before)
    index = {name: number for number, name in enumerate(scene.view_names)}
    for name, pose in zip(corrections.view_names, corrections.camtoworlds, strict=True):
        if name in index:
            poses[index[name]] = pose
    cameras = dataclasses.replace(scene.cameras, camtoworlds=poses.astype(np.float32))
    return dataclasses.replace(scene, cameras=cameras)


def similarity_to_corrected(trained: TrainedField) -> npt.NDArray[np.float64]:
    """The similarity transform `[4, 4]` from the training poses of the files to corrected ones."""
    record = trained.corrections
    if record is None or record.camtoworlds is None or trained.scene is None:
        return np.eye(4)
    index = {name: number for number, name in enumerate(trained.scene.view_names)}
    views = [index[name] for name in record.view_names if name in index]
    if len(views) < len(record.view_names):
        return np.eye(4)
    before = np.asarray(trained.scene.cameras.camtoworlds)[views]
    return similarity_between(before, record.camtoworlds)
