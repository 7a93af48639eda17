"""Lenses: a general one is taken only where the images show it, and where cameras can have it."""

import numpy as np
import pytest

from nerf.posing.lens_models import first_model, general_models, general_parameters, refine
from nerf.posing.options import CAMERA_MODELS


@pytest.mark.parametrize("model", CAMERA_MODELS)
def test_a_general_model_begins_as_the_lens_of_the_simple_one(model):
    pycolmap = pytest.importorskip("pycolmap")
    first = pycolmap.Camera.create_from_model_name(1, first_model(model), 500.0, 640, 480)
    points = np.random.default_rng(0).uniform(-0.3, 0.3, (20, 2))
    points = np.concatenate([points, np.ones((20, 1))], axis=1)
    for name in general_models(model):
        parameters = [*first.params[:3], 0.05]
        simple = pycolmap.Camera(
            model=first_model(model), width=640, height=480, params=parameters, camera_id=1
        )
        general = pycolmap.Camera(
            model=name,
            width=640,
            height=480,
            params=general_parameters(name, parameters),
            camera_id=1,
        )
        np.testing.assert_allclose(general.img_from_cam(points), simple.img_from_cam(points))


def synthetic(distortion):
    """A model whose lens is simple, of images with a distortion, `[k1, k2, p1, p2]` of OPENCV."""
    pycolmap = pytest.importorskip("pycolmap")
    pycolmap.set_random_seed(0)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig = 1, 1
    options.num_frames_per_rig, options.num_points3D = 8, 300
    options.camera_model_id = pycolmap.CameraModelId.OPENCV
    options.camera_width, options.camera_height = 640, 480
    options.camera_params = [600.0, 600.0, 320.0, 240.0, *distortion]
    model = pycolmap.synthesize_dataset(options)
    rng = np.random.default_rng(0)
    for image in model.images.values():
        for point in image.points2D:
            point.xy = point.xy + rng.normal(0.0, 0.3, 2)
    for camera in model.cameras.values():
        camera.model = pycolmap.CameraModelId.SIMPLE_RADIAL
        camera.params = [600.0, 320.0, 240.0, 0.0]
    adjustment = pycolmap.BundleAdjustmentOptions()
    adjustment.print_summary, adjustment.refine_extra_params = False, False
    pycolmap.bundle_adjustment(model, adjustment)
    model.update_point_3d_errors()
    return model, pycolmap


def test_distortion_that_the_images_show_is_found():
    model, pycolmap = synthetic([0.5, -0.05, 0.003, -0.002])
    before = model.compute_mean_reprojection_error()
    refined = refine(model, "OPENCV", pycolmap)
    assert refined.compute_mean_reprojection_error() < 0.9 * before
    (camera,) = refined.cameras.values()
    assert camera.model_name == "OPENCV"
    np.testing.assert_allclose(camera.params[:2], 600.0, rtol=0.02)
    np.testing.assert_allclose(camera.params[4], 0.5, atol=0.1)


def test_a_lens_without_distortion_stays_simple():
    model, pycolmap = synthetic([0.0, 0.0, 0.0, 0.0])
    (camera,) = refine(model, "OPENCV", pycolmap).cameras.values()
    assert camera.model_name == "SIMPLE_RADIAL"
    assert camera.params[3] == 0.0


def test_pixels_that_are_not_square_are_refused():
    """Where images seem to show them, wrong poses are the better explanation."""
    model, pycolmap = synthetic([0.0, 0.0, 0.0, 0.0])
    for image in model.images.values():
        for point in image.points2D:
            point.xy = (point.xy - [320, 240]) * [1.0, 0.9] + [320, 240]
    model.update_point_3d_errors()
    (camera,) = refine(model, "OPENCV", pycolmap).cameras.values()
    assert camera.model_name == "SIMPLE_RADIAL"
