"""Laws of a run that trains on known depths: when it does, exact resume, what it says."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import nerf
from nerf.errors import UserError
from nerf.runtime.events import Message, ignore_event
from nerf.scenes.depth_samples import DepthSamples
from tests.jobs.test_main_functions import TINY

pytestmark = pytest.mark.slow

STEPS = 4


@pytest.fixture(scope="session")
def plain(scene):
    """Without known depths."""
    return nerf.load_scene(scene)


@pytest.fixture(scope="module")
def meadow(plain):
    """The scene with a few depths in the middle of two views, of which view 0 is held out."""
    views = np.repeat(np.arange(2, dtype=np.int32), 5)
    middle = np.full(10, 3.0, np.float32)
    depth = np.linspace(2.0, 4.0, 10, dtype=np.float32)
    samples = DepthSamples(views, middle, middle, depth, 0.01 * depth, np.ones_like(depth), "tests")
    return dataclasses.replace(plain, depth_samples=samples)


@pytest.fixture(scope="module")
def config(meadow):
    return nerf.fit_config("notebook", meadow, num_depth_rays=8, **TINY)


def train(meadow, config, folder, callback=ignore_event, **options):
    return nerf.train(
        meadow,
        config,
        steps=STEPS,
        run_dir=folder,
        callback=callback,
        options=nerf.TrainOptions(eval_every=0, **options),
    )


@pytest.fixture(scope="module")
def whole(meadow, config, tmp_path_factory):
    """Trained in one go, and what was said."""
    messages = []
    folder = tmp_path_factory.mktemp("whole") / "run"
    return train(meadow, config, folder, callback=messages.append), messages


def test_depth_is_trained_on_where_that_of_training_views_is_known(plain, meadow):
    assert 0 in meadow.split(nerf.fit_config("notebook", meadow).train.holdout).test
    assert nerf.fit_config("notebook", meadow).train.depth == "on"
    assert nerf.fit_config("notebook", meadow, depth="off").train.depth == "off"
    assert nerf.fit_config("notebook", plain).train.depth == "off"
    held_out = meadow.depth_samples.of_views([0])
    of_test = dataclasses.replace(meadow, depth_samples=held_out)
    assert nerf.fit_config("notebook", of_test).train.depth == "off"


def test_a_run_with_depth_resumes_exactly(meadow, config, whole, tmp_path):
    stopped = train(meadow, config, tmp_path / "run", stop_at=2)
    assert stopped.step == 2
    resumed = train(meadow, config, tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, resumed.params, whole[0].params)
    with pytest.raises(AssertionError):
        jax.tree.map(np.testing.assert_array_equal, resumed.params, stopped.params)


def test_a_run_says_on_which_depths_it_trains_and_its_folder_does(whole):
    trained, messages = whole
    texts = [event.text for event in messages if isinstance(event, Message)]
    (line,) = (text for text in texts if "known depths" in text)
    assert line.startswith("and on 5 known depths in 1 of them, from tests: 8 more rays a step")
    record = json.loads((trained.run_dir / "config.json").read_text())
    assert record["known_depths"] == {"count": 5, "source": "tests"}
    assert record["config"]["train"]["depth"] == "on"
    nerf.write_report(trained.run_dir, callback=ignore_event)
    page = (trained.run_dir / "report.html").read_text()
    assert "known depths" in page
    assert "5, from tests" in page


def test_a_run_does_not_resume_with_other_depths(meadow, config, whole, tmp_path):
    train(meadow, config, tmp_path / "run", stop_at=2)
    fewer = dataclasses.replace(meadow, depth_samples=meadow.depth_samples.subset(np.arange(8)))
    with pytest.raises(UserError, match="known_depths was"):
        train(fewer, config, tmp_path / "run")


def test_depth_without_any_that_is_known_is_refused(plain, config):
    with pytest.raises(UserError, match="needs known depths, and the scene meadow has none"):
        nerf.train(plain, config, steps=1, callback=ignore_event)
