"""A flag that a mode does not use is refused, or noted where it comes from a flagfile."""

import pytest

from nerf.cli.modes import USED_BY
from tests.support.command_line import assert_is_one_sentence, call, train_flags

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("mode", "flag"),
    [
        ("evaluate", "--steps=3"),
        ("evaluate", "--tensorboard"),
        ("evaluate", "--out=x.safetensors"),
        ("evaluate", "--noresume"),
        ("render", "--lr=0.1"),
        ("render", "--seed=1"),
        ("convert", "--video_frames=2"),
        ("convert", "--run_dir=x"),
        ("convert", "--precision=bfloat16"),
        ("convert", "--scene=flower"),
        ("train", "--out=x"),
    ],
)
def test_a_flag_that_the_mode_does_not_use_is_refused(mode, flag, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = flag.partition("=")[0].replace("--no", "--")
    assert_is_one_sentence(call(f"--mode={mode}", flag), f"--mode={mode} does not use {name}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", sorted(set(USED_BY) - {"train"}))
def test_a_setting_of_training_is_refused_elsewhere(mode, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = call(f"--mode={mode}", "--set=train.num_rays=7")
    assert_is_one_sentence(ended, f"--mode={mode} does not use --set=train.num_rays: leave it out")
    assert list(tmp_path.iterdir()) == []


def test_a_setting_of_training_in_a_flagfile_serves_the_other_modes(tmp_path):
    (tmp_path / "flags").write_text("--set=train.num_rays=7\n")
    ended = call(f"--flagfile={tmp_path / 'flags'}", "--mode=convert")
    assert_is_one_sentence(ended, "--mode=convert needs --out")


def test_the_sentence_names_the_modes_that_use_it():
    ended = call("--mode=evaluate", "--steps=3", "--lr=0.1")
    assert_is_one_sentence(ended, "--lr, --steps: leave them out (they are for --mode=train)")


def test_from_a_flagfile_it_is_a_note(scene, tmp_path):
    """A flagfile may serve several modes."""
    flagfile = tmp_path / "flags"
    flagfile.write_text("--out=x.safetensors\n")
    ended = call(
        f"--flagfile={flagfile}",
        *train_flags(scene, "flax", f"--run_dir={tmp_path / 'run'}", "--video_frames=0"),
    )
    assert ended.status == 0, ended.err
    assert "note: --mode=train does not use --out of the flagfile\n" in ended.out


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--rays=2", "--set=train.num_rays=3"), "--rays and --set=train.num_rays"),
        (("--steps=2", "--set=train.num_steps=3"), "--steps and --set=train.num_steps"),
        (("--train_seconds=2", "--set=train.num_steps=3"), "ignores --set=train.num_steps"),
        (("--lr=2", "--set=train.learning_rate=3"), "--lr and --set=train.learning_rate"),
        (("--offline", "--download_url=http://x"), "--offline downloads nothing"),
        (("--scene=procedural:flower", "--factor=2"), "--factor: the bundled scenes do not use it"),
        (("--video_frames=0", "--camera_path=orbit"), "so --camera_path has no use"),
        (("--near=2", "--far=1"), "--near=2.0 must be less than --far=1.0"),
        (("--steps=2", "--stop_at=5"), "--stop_at=5 is after the end of the run, --steps=2"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(flags, reason):
    assert_is_one_sentence(call("--mode=train", *flags), reason)


def test_every_flag_is_used_by_some_mode():
    from nerf.cli import flags
    from nerf.main import FLAGS

    defined = {flag.name for flag in FLAGS.flags_by_module_dict()[flags.__name__]}
    assert defined == set().union(*USED_BY.values())
