"""Laws of the main functions: what `import nerf` offers, in memory and in a run folder."""

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import nerf
from nerf.runtime.events import Message, Preview, Progress, StepMetrics
from tests.support.command_line import call_successfully, contents, train_flags

pytestmark = pytest.mark.slow

TINY = {
    "field.width": 16,
    "field.rgb_width": 8,
    "field.skip_layer": 1,
    "field.num_layers": 3,
    "num_coarse": 8,
    "num_fine": 8,
    "num_rays": 32,
}


@pytest.fixture(scope="module")
def config(meadow):
    return nerf.fit_config("notebook", meadow, **TINY)


@pytest.fixture(scope="module")
def events():
    return []


@pytest.fixture(scope="module")
def memory(meadow, config, events):
    """Trained for four steps in memory."""
    return nerf.train(meadow, config, steps=4, callback=events.append)


@pytest.fixture(scope="module")
def run(meadow, config, tmp_path_factory):
    """The same in a run folder."""
    folder = tmp_path_factory.mktemp("runs") / "meadow"
    return nerf.train(meadow, config, steps=4, run_dir=folder, callback=lambda event: None)


def same(a, b):
    return all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))


def test_every_main_function_exists_and_is_documented():
    for name in nerf.__all__:
        assert name in dir(nerf)
        assert name == "__version__" or getattr(nerf, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nerf.nothing


def test_importing_the_package_loads_neither_jax_nor_a_backend():
    code = "import sys, nerf; print(*[m for m in ('jax', 'flax', 'haiku') if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""


def test_what_is_trained_in_memory_is_what_a_run_folder_holds(memory, run):
    assert memory.step == run.step == 4
    assert same(memory.params, run.params)
    assert memory.run_dir is None
    assert run.run_dir.is_dir()


def test_the_command_line_trains_the_same(memory, scene, tmp_path):
    """The command line is a thin layer on the library."""
    call_successfully(*train_flags(scene, "flax", f"--run_dir={tmp_path / 'run'}"))
    trained = nerf.load_run(tmp_path / "run")
    assert trained.config == memory.config
    assert same(trained.params, memory.params)


def test_a_finished_run_opens_in_one_line_and_draws_any_of_its_views(run, meadow):
    opened = nerf.load_run(run.run_dir)
    assert same(opened.params, run.params)
    assert opened.step == 4
    assert opened.config == run.config
    image = nerf.render_view(opened, opened.view(2))
    expected = nerf.render_view(run, meadow.view(2))
    for name in ("rgb", "depth", "acc"):
        np.testing.assert_array_equal(getattr(image, name), getattr(expected, name))
    assert opened.view(meadow.image_names[3]).index == 3
    with pytest.raises(nerf.UserError, match="no view"):
        opened.view("nothing")


def test_a_run_folder_keeps_names_and_the_transform_from_the_captures_coordinates(run, meadow):
    record = json.loads((run.run_dir / "scene.json").read_text())
    assert [view["name"] for view in record["views"]] == list(meadow.image_names)
    np.testing.assert_array_equal(record["capture_to_scene"], meadow.capture_to_scene)
    opened = nerf.load_run(run.run_dir)
    np.testing.assert_array_equal(opened.scene.cameras.camtoworlds, meadow.cameras.camtoworlds)
    np.testing.assert_array_equal(opened.scene.cameras.focal, meadow.cameras.focal)
    np.testing.assert_array_equal(opened.scene.cameras.bounds, meadow.cameras.bounds)
    assert opened.space == meadow.space


def test_an_image_has_the_size_that_is_asked_for(memory, meadow):
    image = nerf.render_view(memory, meadow.view(0), size=(20, 10))
    assert image.rgb.shape == (10, 20, 3)
    assert image.depth.shape == image.acc.shape == (10, 20)


def test_scores_are_means_over_the_held_out_views(memory, meadow, tmp_path):
    scores = nerf.evaluate(memory, meadow, folder=tmp_path)
    assert [view.index for view in scores.views] == list(scores.split.test) == [0]
    image = nerf.render_view(memory, meadow.view(0))
    error = np.mean(np.square(image.rgb.astype(np.float64) - meadow.images[0]))
    assert scores.psnr == pytest.approx(-10 * np.log10(error))
    written = json.loads((tmp_path / "eval.json").read_text())
    assert written["psnr"] == pytest.approx(scores.psnr)
    assert written["views"][0]["name"] == meadow.image_names[0]


def test_without_a_folder_nothing_is_written(meadow, config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained = nerf.train(meadow, config, steps=1)
    nerf.evaluate(trained, meadow)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_printed(meadow, config, capfd):
    trained = nerf.train(meadow, config, steps=1)
    nerf.render_view(trained, meadow.view(1))
    out, err = capfd.readouterr()
    assert out == err == ""


def test_parameters_are_saved_and_loaded_in_any_backend(memory, meadow, backend, tmp_path):
    path = tmp_path / "params.safetensors"
    nerf.save_params(path, memory)
    loaded = nerf.load_params(path, meadow, backend=backend)
    assert loaded.backend == backend
    a, b = (nerf.render_view(x, meadow.view(1)).rgb for x in (memory, loaded))
    np.testing.assert_allclose(a, b, atol=1e-5)
    alone = nerf.load_params(path, backend=backend)  # the file says its space
    np.testing.assert_array_equal(nerf.render_view(alone, meadow.view(1)).rgb, b)
    with pytest.raises(nerf.UserError, match="`scene`"):
        alone.view(0)


def test_the_callback_receives_progress_metrics_and_previews(events):
    progress = [event for event in events if isinstance(event, Progress)]
    assert (progress[0].task, progress[0].done, progress[0].total) == ("training", 0, 4)
    assert progress[-1].is_last
    assert progress[-1].done == 4
    steps = [event.step for event in events if isinstance(event, StepMetrics)]
    assert steps == [1, 4]
    assert any(isinstance(event, Message) and "rays of 4 views" in event.text for event in events)


def test_previews_are_images_of_a_held_out_view(meadow, config):
    events = []
    options = nerf.TrainOptions(eval_every=2)
    nerf.train(meadow, config, steps=2, callback=events.append, options=options)
    (preview,) = [event for event in events if isinstance(event, Preview)]
    assert (preview.step, preview.view) == (2, 0)
    assert preview.image.shape == meadow.images[0].shape


def test_a_callback_can_stop_training(meadow, config):
    def stop(event):
        if isinstance(event, StepMetrics) and event.step >= 10:
            raise nerf.StopTraining

    trained = nerf.train(meadow, config, steps=500, callback=stop)
    assert trained.step == 10


def test_training_resumes_in_a_run_folder(meadow, config, run, tmp_path):
    """Four steps and four more are eight."""
    whole = nerf.train(meadow, config, steps=8, run_dir=tmp_path / "whole")
    nerf.train(
        meadow,
        config,
        steps=8,
        run_dir=tmp_path / "parts",
        options=nerf.TrainOptions(stop_at=4),
    )
    parts = nerf.train(meadow, config, steps=8, run_dir=tmp_path / "parts")
    assert whole.step == parts.step == 8
    assert same(whole.params, parts.params)


def test_a_run_resumes_from_another_one_as_in_its_own_folder(meadow, config, run, tmp_path):
    shutil.copytree(run.run_dir, tmp_path / "own")
    opened = nerf.load_run(run.run_dir)
    before = contents(run.run_dir)
    elsewhere = nerf.train(
        meadow, config, steps=6, init_from=opened, run_dir=tmp_path / "elsewhere"
    )
    own = nerf.train(meadow, config, steps=6, run_dir=tmp_path / "own")
    assert elsewhere.step == own.step == 6
    assert same(elsewhere.params, own.params)
    assert contents(run.run_dir) == before


def test_what_a_run_keeps_is_told_only_if_it_resumes(meadow, config, run, tmp_path):
    """A refusal comes first, and alone."""
    shutil.copytree(run.run_dir, tmp_path / "run")
    moved = nerf.fit_config("notebook", meadow, **TINY, **{"train.exposure": "on"})
    other = nerf.fit_config("notebook", meadow, **{**TINY, "num_rays": 9, "train.exposure": "on"})

    def messages_of(settings):
        events = []
        with contextlib.suppress(nerf.UserError):
            nerf.train(meadow, settings, steps=5, run_dir=tmp_path / "run", callback=events.append)
        texts = [event.text for event in events if isinstance(event, Message)]
        return [text for text in texts if "the run keeps its own" in text]

    assert messages_of(other) == []
    assert len(messages_of(moved)) == 1


def test_settings_are_overridden_by_name(meadow):
    config = nerf.fit_config("planes", meadow, num_rays=7, **{"field.num_features": 3})
    assert config.train.num_rays == 7
    assert config.field.num_features == 3
    with pytest.raises(nerf.UserError, match="no setting 'nothing'"):
        nerf.fit_config("planes", meadow, nothing=1)
    with pytest.raises(nerf.UserError, match="choose one of mlp, notebook, paper, planes, quick"):
        nerf.fit_config("plane", meadow)


def test_few_views_are_smoother_unless_one_says_otherwise(meadow):
    def variation(**overrides):
        return nerf.fit_config("planes", meadow, **overrides).field.total_variation_weight

    usual = variation(few_views="off")
    assert variation(few_views="on") > usual
    assert variation(num_train_views=2) == variation(few_views="on", num_train_views=2) > usual
    assert variation(few_views="on", total_variation_weight=0.5) == 0.5


def test_errors_name_parameters_not_flags(meadow, config, run):
    with pytest.raises(nerf.UserError, match="`config`"):
        nerf.train(meadow)
    with pytest.raises(nerf.UserError, match=r"other settings.*`run_dir`"):
        nerf.train(meadow, config, steps=4, seed=1, run_dir=run.run_dir)


def test_stopping_at_the_first_event_trains_one_step_at_most(meadow, config):
    def stop(event):
        raise nerf.StopTraining

    assert nerf.train(meadow, config, steps=50, callback=stop).step <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, c, t: nerf.train(s, "mlp"), "nerf.fit_config"),
        (lambda s, c, t: nerf.train(s, c, init_from="pretrained"), "nerf.load_params"),
        (lambda s, c, t: nerf.train(s, c, seconds=-1.0), "`seconds`"),
        (lambda s, c, t: nerf.train(s, c, field="planes"), "not for the field 'planes'"),
        (lambda s, c, t: nerf.fit_config("mlp", "flower"), "nerf.load_scene"),
        (lambda s, c, t: nerf.TrainOptions(on_collapse="foo"), "`on_collapse`"),
        (lambda s, c, t: nerf.TrainOptions(save_every=0), "`save_every`"),
        (lambda s, c, t: nerf.render_view(t, s), "one camera"),
        (lambda s, c, t: nerf.render_view(t, s.cameras), "one camera"),
        (lambda s, c, t: nerf.render_view(t, 99), "no view 99"),
        (lambda s, c, t: nerf.render_view(t, 0, size=(0, 4)), "`size`"),
        (lambda s, c, t: nerf.render_view(t, 0, size=8), "`size`"),
        (lambda s, c, t: nerf.load_run("nowhere"), "no run folder"),
        (lambda s, c, t: nerf.load_params("pretrained"), "give `scene`"),
        (lambda s, c, t: nerf.load_scene("procedural:flower", factor=2), "`factor`"),
    ],
)
def test_a_wrong_guess_gets_a_sentence(call, message, meadow, config, memory):
    with pytest.raises(nerf.UserError, match=message):
        call(meadow, config, memory)


def test_parameters_of_another_shape_are_refused(meadow, config, memory):
    other = nerf.fit_config("notebook", meadow, **{**TINY, "field.width": 8})
    with pytest.raises(nerf.UserError, match=r"where .* is needed"):
        nerf.train(meadow, other, init_from=memory)


def test_a_run_folder_of_version_0_1_0_is_drawn_with_its_scene(meadow):
    folder = Path(__file__).parents[1] / "data" / "version_0_1_0" / "runs" / "flax-planes"
    with pytest.raises(nerf.UserError, match="give `scene`"):
        nerf.load_run(folder).view(0)
    image = nerf.render_view(nerf.load_run(folder, meadow), 0)
    assert image.rgb.shape == meadow.images[0].shape
