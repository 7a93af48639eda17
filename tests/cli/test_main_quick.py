"""The command line with the MLP's preset quick, in which a proposal says where to look."""

import json

import pytest

from nerf.config import text as config_text
from nerf.runs import parameters
from tests.support.command_line import (
    TINY,
    TINY_FIELD,
    assert_is_one_sentence,
    call,
    call_successfully,
)

pytestmark = pytest.mark.slow

QUICK = ("--preset=quick", "--set=field.proposal.resolution=[6, 6, 8]", *TINY)


@pytest.fixture(scope="module")
def trained(scene, tmp_path_factory):
    """A run folder of the Haiku backend, and its flags."""
    run_dir = tmp_path_factory.mktemp("trained") / "run"
    flags = (f"--scene={scene}", "--mode=train", *QUICK, "--steps=6", "--video_frames=0")
    call_successfully("--backend=haiku", *flags, f"--run_dir={run_dir}", "--stop_at=4")
    return run_dir, flags


def test_the_other_backend_resumes_with_proposal_and_optimiser(trained, tmp_path):
    run_dir, flags = trained
    own, others = tmp_path / "haiku", tmp_path / "flax"
    again = (*flags, f"--init_from={run_dir}")
    out = call_successfully("--backend=flax", *again, f"--run_dir={others}")
    assert f"resuming from {run_dir} at step 4 of 6" in out
    call_successfully("--backend=haiku", *again, f"--run_dir={own}")
    psnr = [json.loads((path / "eval.json").read_text())["psnr"] for path in (own, others)]
    assert psnr[0] == pytest.approx(psnr[1], abs=1e-3)


def test_its_parameters_are_scored_by_either_backend_from_a_file(scene, trained, tmp_path):
    run_dir, _ = trained
    scores = {}
    for backend in ("haiku", "flax"):
        out = call_successfully(
            *(f"--backend={backend}", f"--scene={scene}", "--video_frames=0"),
            *(f"--init_from={run_dir / 'params.safetensors'}", f"--run_dir={tmp_path / backend}"),
        )
        assert f"backend:    {backend}, field mlp, preset quick, " in out
        scores[backend] = json.loads((tmp_path / backend / "eval.json").read_text())["psnr"]
    assert scores["haiku"] == pytest.approx(scores["flax"], abs=1e-3)


def test_the_proposal_spans_the_box_of_the_scene(trained):
    run_dir, _ = trained
    proposal = parameters.load(run_dir, "flax").header.config.field.proposal
    assert proposal.low[2] == pytest.approx(-1.0, abs=0.01)  # NDC, from the near plane to infinity
    assert proposal.high[2] == pytest.approx(1.0, abs=0.01)
    assert -3.0 < proposal.low[0] < -1.0
    assert 1.0 < proposal.high[0] < 3.0


def test_any_preset_takes_a_proposal_with_the_box_of_the_scene(scene, tmp_path):
    together = ("networks=proposal", "fine_t=intervals", "coarse_t=bins")
    call_successfully(
        *("--mode=train", f"--scene={scene}", f"--run_dir={tmp_path / 'run'}", "--steps=2"),
        *("--rays=32", "--video_frames=0", *TINY_FIELD),
        *(f"--set=render.{assignment}" for assignment in together),
    )
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    config = config_text.from_json(record["config"])
    assert config.preset == "notebook"
    assert config.field.proposal.low[0] < -1.0


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (
            ["--mode=convert", "--backend=haiku", "--init_from={run}", "--out={out}"],
            "the published layout has no place for a proposal",
        ),
        (
            [
                *("--init_from=pretrained", "--preset=quick", "--scene=procedural:flower"),
                "--run_dir={tmp}/run",
            ],
            "but preset 'quick' with networks=proposal needs proposal, fine",
        ),
    ],
)
def test_what_does_not_go_with_it_is_refused(trained, tmp_path, flags, reason):
    run_dir, _ = trained
    out = tmp_path / "out"
    ended = call(*(flag.format(run=run_dir, out=out, tmp=tmp_path) for flag in flags))
    assert_is_one_sentence(ended, reason)
    assert not out.exists()


@pytest.mark.parametrize(
    ("flags", "is_told"),
    [([], True), (["--train_seconds=600"], True), (["--steps=9"], False), (QUICK, False)],
)
def test_what_takes_hours_on_a_cpu_names_what_takes_minutes(scene, tmp_path, flags, is_told):
    out = call_successfully(
        *("--mode=train", f"--scene={scene}", f"--run_dir={tmp_path / 'run'}", "--video_frames=0"),
        *("--set=train.num_rays=64", "--stop_at=1", *TINY_FIELD, *flags),
    )
    assert ("note: from scratch, preset notebook takes hours on a CPU" in out) == is_told
