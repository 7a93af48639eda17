"""Laws of a run that corrects exposure: exact resume, what its folder holds, scores."""

import json

import jax
import numpy as np
import pytest

import nerf
from nerf.runtime.events import ignore_event
from tests.jobs.test_main_functions import TINY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(meadow):
    return nerf.fit_config("notebook", meadow, exposure="on", **TINY)


def train(meadow, config, folder, **options):
    return nerf.train(
        meadow,
        config,
        steps=4,
        run_dir=folder,
        callback=ignore_event,
        options=nerf.TrainOptions(**options),
    )


@pytest.fixture(scope="module")
def whole(meadow, config, tmp_path_factory):
    """Trained in one go."""
    return train(meadow, config, tmp_path_factory.mktemp("whole") / "run")


def test_a_run_with_corrections_resumes_exactly(meadow, config, whole, tmp_path):
    stopped = train(meadow, config, tmp_path / "run", stop_at=2)
    assert stopped.step == 2
    assert not np.array_equal(stopped.corrections.gains, whole.corrections.gains)
    resumed = train(meadow, config, tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, resumed.params, whole.params)
    np.testing.assert_array_equal(resumed.corrections.gains, whole.corrections.gains)


def test_the_run_folder_says_the_gains_of_each_training_view(meadow, config, whole):
    opened = nerf.load_run(whole.run_dir)
    train_views = opened.needed_scene().split.train
    names = tuple(meadow.image_names[index] for index in sorted(train_views))
    assert opened.corrections.view_names == names
    np.testing.assert_allclose(opened.corrections.gains, whole.corrections.gains, atol=1e-5)
    assert np.abs(np.log(whole.corrections.gains)).max() > 1e-3
    np.testing.assert_allclose(np.log(whole.corrections.gains).mean(axis=0), 0.0, atol=1e-5)


def test_scores_say_what_was_corrected_and_what_they_are_without(meadow, whole, tmp_path):
    scores = nerf.evaluate(whole, meadow, folder=tmp_path, callback=ignore_event)
    written = json.loads((tmp_path / "eval.json").read_text())
    assert "left half" in written["corrected"]
    assert written["psnr_uncorrected"] == scores.uncorrected.psnr
    assert len(written["views"][0]["gains"]) == 3


def test_a_run_is_scored_with_and_without_the_exposure_of_views_as_one_asks(meadow, whole):
    corrected = nerf.evaluate(whole, meadow, exposure="on", callback=ignore_event)
    plain = nerf.evaluate(whole, meadow, exposure="off", callback=ignore_event)
    assert plain.corrected is None
    assert plain.views[0].gains is None
    assert corrected.uncorrected.psnr == plain.psnr
