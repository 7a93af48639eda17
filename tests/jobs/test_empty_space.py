"""Training on an object with a transparent background: what is known to be empty, and stays so."""

import jax
import numpy as np
import pytest

import nerf
from nerf.jobs.training_run import attempts as attempts
from nerf.render.rays import known_occupancy
from nerf.runtime.events import Message
from nerf.scenes.visual_hull import visual_hull

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table():
    return nerf.load_scene("procedural:table@24x18")


@pytest.fixture(scope="module")
def config(table):
    sizes = {
        "field.num_levels": 1,
        "field.num_features": 4,
        "field.width": 8,
        "num_rays": 64,
        "field.proposal.resolution": [12, 12, 12],
    }
    return nerf.fit_config("planes", table, **sizes)


def train(scene, config, **options):
    texts = []

    def listen(event):
        if isinstance(event, Message):
            texts.append(str(event.text))

    trained = nerf.train(
        scene, config, callback=listen, options=nerf.TrainOptions(eval_every=0), **options
    )
    return trained, "\n".join(texts)


def hull_of(scene, config):
    grid, views = config.field.proposal, scene.split(config.train.holdout).train
    cells = tuple(count - 1 for count in grid.resolution)
    return visual_hull(scene.cameras, scene.images, views, (grid.low, grid.high), cells)


def test_training_says_what_is_empty_and_never_forgets_it(table, config):
    found = []
    for steps in (1, 6):
        trained, text = train(table, config, steps=steps)
        assert "the object is within" in text
        found.append(
            known_occupancy(trained.field, trained.params, config.render, table.space).occupied
        )
    np.testing.assert_array_equal(*found)
    hull = hull_of(table, config)
    assert 0.01 < hull.mean() < 0.7
    assert np.all(np.asarray(found[0])[hull])
    assert np.asarray(found[0]).sum() < 1.2 * hull.sum()  # and cells between others


def test_given_parameters_forget_what_was_empty_in_another_scene(table, config):
    trained, _ = train(table, config, steps=1)
    log_density = np.array(trained.params["proposal"]["grid"]["log_density"])
    elsewhere = np.where(np.arange(len(log_density))[:, None] % 3 == 0, -1e4, log_density)
    params = {**trained.params, "proposal": {"grid": {"log_density": elsewhere}}}
    other = trained.with_params(params, None)
    again, _ = train(table, config, steps=1, init_from=other)
    hull = hull_of(table, config)
    occupancy = known_occupancy(again.field, again.params, config.render, table.space)
    assert np.all(np.asarray(occupancy.occupied)[hull])


def test_the_fields_box_is_that_of_the_hull():
    scene = nerf.load_scene("procedural:table@64x48")
    field = nerf.fit_config("planes", scene).field
    for part in (field, field.proposal):
        low, high = np.array(part.low), np.array(part.high)
        assert np.all(low >= -1.0)
        assert np.all(high <= 1.0)
        assert np.all(high - low < 1.95)
        assert np.all(high - low > 0.2)


def test_a_run_that_resumes_is_the_run_that_was_not_stopped(table, config, tmp_path):
    whole, _ = train(table, config, steps=4, run_dir=tmp_path / "whole")
    options = nerf.TrainOptions(eval_every=0, stop_at=2)
    nerf.train(
        table, config, steps=4, run_dir=tmp_path / "parts", callback=lambda _: None, options=options
    )
    resumed, _ = train(table, config, steps=4, run_dir=tmp_path / "parts")
    jax.tree.map(np.testing.assert_array_equal, resumed.params, whole.params)


def test_images_that_leave_no_place_are_noted_and_nothing_is_skipped(table, config, monkeypatch):
    def nothing(cameras, images, views, box, resolution, are_exact):
        return np.zeros(resolution, bool)

    monkeypatch.setattr(attempts, "visual_hull", nothing)
    trained, text = train(table, config, steps=1)
    assert "the poses may be wrong; empty space is not skipped" in text
    occupancy = known_occupancy(trained.field, trained.params, config.render, table.space)
    assert np.all(occupancy.occupied)


def test_a_scene_without_transparency_has_no_hull(table):
    scene = nerf.load_scene("procedural:courtyard@16x12")
    assert (table.has_hull, scene.has_hull) == (True, False)
    config = nerf.fit_config("planes", scene)
    assert config.field.proposal.outside == "border"
    fewer = nerf.fit_config("planes", table).render
    assert fewer.num_coarse < config.render.num_coarse
    assert fewer.num_fine < config.render.num_fine
