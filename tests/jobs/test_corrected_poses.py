"""Laws of a run that corrects poses: exact resume, what its folder holds, scores, export."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import nerf
from nerf.captures.export import ExportImages, export
from nerf.captures.lenses.scaled import scaled_lens
from nerf.captures.reading import read_capture
from nerf.errors import UserError
from nerf.geometry.alignment import pose_errors
from nerf.geometry.poses import transform_poses
from nerf.jobs.exports.corrected_poses import with_corrected_poses
from nerf.jobs.scoring.held_out_poses import scene_as_trained, similarity_to_corrected
from nerf.runtime.events import ignore_event
from nerf.scenes.loading import load_folder
from tests.jobs.test_main_functions import TINY

pytestmark = pytest.mark.slow


def train(meadow, folder, *, steps=4, backend="flax", **options):
    return nerf.train(
        meadow,
        nerf.fit_config("notebook", meadow, poses="on", **TINY),
        backend=backend,
        steps=steps,
        run_dir=folder,
        callback=ignore_event,
        options=nerf.TrainOptions(**options),
    )


@pytest.fixture(scope="module")
def whole(meadow, tmp_path_factory):
    """Trained in one go, and scored."""
    trained = train(meadow, tmp_path_factory.mktemp("whole") / "run")
    nerf.evaluate(trained, meadow, folder=trained.run_dir, callback=ignore_event)
    return trained


def training_poses(trained):
    record = trained.needed_scene()
    return record.cameras.camtoworlds[sorted(record.split.train)]


def test_a_run_with_corrected_poses_resumes_exactly(meadow, whole, tmp_path):
    stopped = train(meadow, tmp_path / "run", stop_at=2)
    assert not np.array_equal(stopped.corrections.camtoworlds, whole.corrections.camtoworlds)
    resumed = train(meadow, tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, resumed.params, whole.params)
    np.testing.assert_array_equal(resumed.corrections.camtoworlds, whole.corrections.camtoworlds)


def test_the_run_folder_has_the_corrected_poses_to_the_last_bit(whole):
    opened = nerf.load_run(whole.run_dir)
    np.testing.assert_array_equal(opened.corrections.camtoworlds, whole.corrections.camtoworlds)
    assert opened.corrections.gains is None
    moved = np.abs(whole.corrections.camtoworlds - training_poses(whole)).max()
    assert 1e-4 < moved < 0.1


@pytest.mark.parametrize("backend", ["haiku", "nnx"])
def test_every_backend_corrects_poses(meadow, backend, tmp_path):
    trained = train(meadow, tmp_path / "run", steps=2, backend=backend)
    assert np.abs(trained.corrections.camtoworlds - training_poses(trained)).max() > 1e-4


def test_scores_say_that_views_are_aligned_and_what_they_are_without(meadow, whole):
    written = json.loads((whole.run_dir / "eval.json").read_text())
    assert written["corrected"].startswith("poses: aligned")
    view = written["views"][0]
    pose, own = np.array(view["camtoworld"]), meadow.cameras.camtoworlds[view["index"]]
    assert pose.shape == (3, 4)
    assert not np.array_equal(pose, own)
    plain = nerf.evaluate(whole, meadow, poses="off", callback=ignore_event)
    assert plain.corrected is None
    assert plain.views[0].camtoworld is None
    assert written["psnr_uncorrected"] == plain.psnr
    assert written["psnr"] >= plain.psnr


def test_corrected_poses_stay_where_the_scene_is(whole):
    np.testing.assert_allclose(similarity_to_corrected(whole), np.eye(4), atol=0.01)


def test_the_cameras_that_a_viewer_shows_are_the_corrected_ones(whole):
    """Held-out views, which have no correction of their own, move with the scene."""
    record, shown = whole.needed_scene(), scene_as_trained(whole)
    views = sorted(record.split.train)
    assert [record.view_names[view] for view in views] == list(whole.corrections.view_names)
    np.testing.assert_array_equal(shown.cameras.camtoworlds[views], whole.corrections.camtoworlds)
    others = list(record.split.test)
    moved = transform_poses(similarity_to_corrected(whole), record.cameras.camtoworlds[others])
    np.testing.assert_allclose(shown.cameras.camtoworlds[others], moved, atol=1e-6)
    assert not np.array_equal(shown.cameras.camtoworlds, record.cameras.camtoworlds)
    assert scene_as_trained(dataclasses.replace(whole, corrections=None)) is record


def exported(capture, loaded, export_format, out):
    scene = loaded.scene
    sizes = np.stack([scene.images.widths, scene.images.heights], axis=-1)
    images = ExportImages(sizes, [None] * scene.num_views, lambda index: scene.images[index])
    lens = scaled_lens(capture, scene.images.heights, scene.images.widths)
    export(capture, lens, capture.bounds, images, export_format, out)
    return read_capture(out)


@pytest.mark.parametrize("export_format", ["llff", "nerfstudio", "colmap"])
def test_corrected_poses_are_exported_and_read_again(scene, whole, export_format, tmp_path):
    loaded = load_folder(scene)
    capture, notes = with_corrected_poses(loaded.capture, whole.run_dir)
    assert notes == []
    record = whole.needed_scene()
    corrected = transform_poses(
        np.linalg.inv(record.capture_to_scene), whole.corrections.camtoworlds
    )
    again = exported(capture, loaded, export_format, tmp_path / "out")
    views = [again.names.index(name) for name in whole.corrections.view_names]
    np.testing.assert_allclose(again.camtoworlds[views], corrected, atol=1e-5)
    reloaded = nerf.load_scene(tmp_path / "out")
    errors = pose_errors(reloaded.cameras.camtoworlds[views], whole.corrections.camtoworlds)
    np.testing.assert_allclose(errors.angles, 0.0, atol=1e-5)
    np.testing.assert_allclose(errors.distances, 0.0, atol=1e-4)
    assert nerf.fit_config("notebook", reloaded).train.poses == "off"


def test_a_run_on_another_capture_is_refused(scene, whole, tmp_path):
    capture = load_folder(scene).capture
    other = dataclasses.replace(capture, camtoworlds=capture.camtoworlds[::-1])
    with pytest.raises(UserError, match="trained on other images or poses"):
        with_corrected_poses(other, whole.run_dir)
    with pytest.raises(UserError, match=r'has no corrected poses .* train with `poses="on"`'):
        with_corrected_poses(capture, tmp_path)
